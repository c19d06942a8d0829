#include "storage/base/digest.h"

#include <openssl/evp.h>

#include <cstring>
#include <string>

#include "absl/strings/escaping.h"
#include "storage/base/status.h"

namespace ballast {

struct Sha256::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
};

namespace {

// Fetched once: EVP_sha256() looks the algorithm up anew at each init (OpenSSL 3).
const EVP_MD* Algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

}  // namespace

Sha256::Sha256() : impl_(new Impl) { EVP_DigestInit_ex2(impl_->context, Algorithm(), nullptr); }
Sha256::~Sha256() { EVP_MD_CTX_free(impl_->context); }

void Sha256::Update(absl::string_view bytes) {
  EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size());
}

Digest Sha256::Finish() {
  Digest digest;
  EVP_DigestFinal_ex(impl_->context, digest.bytes.data(), nullptr);
  EVP_DigestInit_ex2(impl_->context, Algorithm(), nullptr);
  return digest;
}

// To make a context takes as long as to hash some hundred bytes with it.
Digest Sha256Of(absl::string_view bytes) {
  thread_local Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

std::string Digest::Hex() const { return absl::BytesToHexString(View()); }

absl::StatusOr<Digest> Digest::FromHex(absl::string_view hex) {
  const bool all_hex = hex.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
  if (hex.size() != 2 * kBytes || !all_hex) {
    return MalformedError("digest: \"", Printable(hex.substr(0, 80)),
                          "\" is not a digest, want 64 lower-case hex digits");
  }
  return FromBytes(absl::HexStringToBytes(hex));
}

absl::StatusOr<Digest> Digest::FromBytes(absl::string_view raw) {
  if (raw.size() != kBytes) {
    return MalformedError("digest: length is ", raw.size(), " bytes, want ", kBytes);
  }
  Digest digest;
  std::memcpy(digest.bytes.data(), raw.data(), kBytes);
  return digest;
}

}  // namespace ballast

#include "server/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Certificates and keys are small; this bounds a wrong file name.
constexpr uint64_t kPemBytesMax = 1u << 20;

template <auto free_function>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free_all>>;

Memory MemoryOf(const std::string& text) {
  return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// OpenSSL would ask on the terminal.
int NoPassphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

// Gathers what is wrong, and the flag that is to blame.
class Problems {
 public:
  void Add(const char* flag, const std::string& path, absl::string_view what) {
    lines_.push_back(absl::StrCat(flag, " ", Printable(path), ": ", what));
  }
  // For messages that name the file themselves.
  void AddError(const char* flag, const absl::Status& error) {
    lines_.push_back(absl::StrCat(flag, ": ", error.message()));
  }
  std::vector<std::string> Take() { return std::move(lines_); }

 private:
  std::vector<std::string> lines_;
};

std::optional<std::string> Read(const char* flag, const std::string& path, Problems* problems) {
  absl::StatusOr<std::string> text = ReadPem(path);
  if (text.ok()) return *std::move(text);
  problems->AddError(flag, text.status());
  return std::nullopt;
}

void CheckValidNow(const char* flag, const std::string& path, const X509& certificate,
                   Problems* problems) {
  if (X509_cmp_current_time(X509_get0_notBefore(&certificate)) > 0) {
    problems->Add(flag, path, "the certificate is not valid yet");
  }
  if (X509_cmp_current_time(X509_get0_notAfter(&certificate)) < 0) {
    problems->Add(flag, path, "the certificate has expired");
  }
}

// The first certificate of the file, which is the server's own or an authority's.
Certificate FirstCertificate(const char* flag, const std::string& path, Problems* problems) {
  const std::optional<std::string> text = Read(flag, path, problems);
  if (!text) return nullptr;
  const Memory memory = MemoryOf(*text);
  Certificate certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (certificate == nullptr) {
    problems->Add(flag, path, "holds no certificate, want PEM");
  } else {
    CheckValidNow(flag, path, *certificate, problems);
  }
  return certificate;
}

Key PrivateKey(const char* flag, const std::string& path, Problems* problems) {
  const std::optional<std::string> text = Read(flag, path, problems);
  if (!text) return nullptr;
  bool asked = false;
  const Memory memory = MemoryOf(*text);
  Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, &NoPassphrase, &asked));
  ERR_clear_error();
  if (key == nullptr) {
    problems->Add(flag, path,
                  asked ? "the key is encrypted, want one without a passphrase"
                        : "holds no private key, want PEM");
  }
  return key;
}

}  // namespace

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, OpenFile(path), "TLS");
  if (file->size_bytes() > kPemBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("TLS: ", Printable(path), " is too large for a PEM file"));
  }
  std::string pem(file->size_bytes(), '\0');
  RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(pem)), "TLS");
  return pem;
}

std::vector<std::string> TlsProblems(const TlsFiles& tls) {
  Problems problems;
  if (tls.certificate.empty()) return {};
  const Certificate certificate = FirstCertificate("--tls-cert", tls.certificate, &problems);
  const Key key = PrivateKey("--tls-key", tls.key, &problems);
  if (certificate != nullptr && key != nullptr &&
      X509_check_private_key(certificate.get(), key.get()) != 1) {
    problems.Add("--tls-key", tls.key, "is not the key of the certificate of --tls-cert");
  }
  ERR_clear_error();
  if (!tls.client_ca.empty()) FirstCertificate("--tls-client-ca", tls.client_ca, &problems);
  return problems.Take();
}

}  // namespace ballast

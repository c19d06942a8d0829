// SHA-256 digests, the names of everything immutable.
#ifndef BALLAST_STORAGE_BASE_DIGEST_H_
#define BALLAST_STORAGE_BASE_DIGEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ballast {

struct Digest {
  static constexpr size_t kBytes = 32;
  std::array<uint8_t, kBytes> bytes{};

  // 64 lower-case hex digits.
  std::string Hex() const;
  // The 32 raw bytes.
  absl::string_view View() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // Errors: InvalidArgument  not 64 hex digits (FromHex), not 32 bytes (FromBytes).
  static absl::StatusOr<Digest> FromHex(absl::string_view hex);
  static absl::StatusOr<Digest> FromBytes(absl::string_view raw);

  friend bool operator==(const Digest& a, const Digest& b) { return a.bytes == b.bytes; }
  friend bool operator!=(const Digest& a, const Digest& b) { return a.bytes != b.bytes; }
  friend bool operator<(const Digest& a, const Digest& b) { return a.bytes < b.bytes; }
  template <typename H>
  friend H AbslHashValue(H h, const Digest& d) {
    return H::combine(std::move(h), d.bytes);
  }
};

// Incremental SHA-256. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(absl::string_view bytes);
  // The digest of everything so far; the object starts anew afterwards.
  Digest Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

Digest Sha256Of(absl::string_view bytes);

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_DIGEST_H_

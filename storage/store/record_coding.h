// Little pieces that the values of records are made of: varint = unsigned LEB128,
// bytes = varint length, then the bytes.
#ifndef BALLAST_STORAGE_STORE_RECORD_CODING_H_
#define BALLAST_STORAGE_STORE_RECORD_CODING_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "storage/base/digest.h"

namespace ballast {

inline void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

inline void PutBytes(absl::string_view bytes, std::string* out) {
  PutVarint(bytes.size(), out);
  out->append(bytes.data(), bytes.size());
}

inline void PutDigest(const Digest& digest, std::string* out) {
  out->append(digest.View().data(), Digest::kBytes);
}

// Reads front to back. After the first piece that is not there everything is empty
// or zero, and ok() is false.
class RecordReader {
 public:
  explicit RecordReader(absl::string_view bytes) : left_(bytes) {}

  absl::string_view Take(uint64_t n) {
    if (n > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    const absl::string_view out = left_.substr(0, n);
    left_.remove_prefix(n);
    return out;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const absl::string_view byte = Take(1);
      if (byte.empty()) return 0;
      const auto b = static_cast<uint8_t>(byte[0]);
      value |= uint64_t{b & 0x7Fu} << shift;
      if ((b & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }
  std::string Bytes() { return std::string(Take(Varint())); }
  Digest TakeDigest() {
    const auto digest = Digest::FromBytes(Take(Digest::kBytes));
    return digest.ok() ? *digest : Digest{};
  }
  size_t left() const { return left_.size(); }
  bool ok() const { return ok_; }
  // True if everything was there and nothing is left.
  bool Done() const { return ok_ && left_.empty(); }

 private:
  absl::string_view left_;
  bool ok_ = true;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_RECORD_CODING_H_

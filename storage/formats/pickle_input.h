// The bytes of a pickle, read forward: opcodes and their arguments.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_INPUT_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_INPUT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"

namespace ballast {

// Memory as a stream. Borrows: the bytes must outlive this.
class ViewStream : public ByteStream {
 public:
  explicit ViewStream(absl::string_view bytes) : bytes_(bytes) {}
  absl::StatusOr<size_t> Read(absl::Span<char> out) override;

 private:
  absl::string_view bytes_;
};

// Buffers a stream; it may have read past the position(), so a caller that goes
// on behind the pickle starts there again. Not thread-safe.
//
// The readers return false (or nullopt) at the end of the input, over the limit
// or when the stream failed; Error() says which.
class PickleInput {
 public:
  // `stream` must outlive this. At most `limit_bytes` are read as the pickle's.
  PickleInput(ByteStream* stream, uint64_t limit_bytes);

  // One little-endian integer, or one byte.
  template <typename T>
  [[nodiscard]] bool Fixed(T* out) {
    char raw[sizeof(T)];
    if (!Copy(sizeof(T), raw)) return false;
    std::make_unsigned_t<T> value = 0;
    for (size_t i = sizeof(T); i-- > 0;) {
      value = static_cast<std::make_unsigned_t<T>>((uint64_t{value} << 8) |
                                                   static_cast<unsigned char>(raw[i]));
    }
    *out = static_cast<T>(value);
    return true;
  }
  // `size` bytes to memory of that size.
  [[nodiscard]] bool Copy(uint64_t size, char* out);
  // `size` bytes appended to `out`, whose memory grows with what was received.
  [[nodiscard]] bool Append(uint64_t size, std::string* out);
  // A line without its '\n'; false also if it is longer than `limit`.
  [[nodiscard]] bool Line(size_t limit, std::string* out);
  // Bytes that can be copied without reading on: a claim above it is unproven.
  size_t buffered() const { return end_ - begin_; }

  // Bytes taken so far.
  uint64_t position() const { return position_; }
  absl::Status Error() const;

 private:
  bool Fill();

  ByteStream* stream_;  // Must outlive this.
  const uint64_t limit_;
  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t position_ = 0;
  bool long_line_ = false;
  absl::Status status_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_INPUT_H_

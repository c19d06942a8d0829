// Bytes read front to back with small look-ahead, from a file or a stream, for
// parsers that want to be the same code for both. Skipping costs nothing where
// there is random access.
#ifndef BALLAST_STORAGE_FORMATS_FORWARD_INPUT_H_
#define BALLAST_STORAGE_FORMATS_FORWARD_INPUT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/base/byte_io.h"

namespace ballast {

// Not thread-safe. Errors of every call: those of the source or stream, and
// InvalidArgument/TRUNCATED naming the offset, what was being read and how many
// bytes are missing.
class ForwardInput {
 public:
  // Either must outlive this.
  explicit ForwardInput(const ByteSource* source) : source_(source) {}
  explicit ForwardInput(ByteStream* stream) : stream_(stream) {}

  // Of the next byte.
  uint64_t offset_bytes() const { return buffer_offset_ + used_; }

  // The next byte; `what` is named if there is none.
  absl::StatusOr<uint8_t> Byte(absl::string_view what);
  // Fills all of `out`.
  absl::Status Read(absl::Span<char> out, absl::string_view what);
  // Appends the next `size_bytes` to `out`, growing it as they arrive: a claimed
  // size allocates nothing by itself.
  absl::Status Append(uint64_t size_bytes, absl::string_view what, std::string* out);
  absl::Status Skip(uint64_t size_bytes, absl::string_view what);
  absl::StatusOr<bool> AtEnd();
  // Bytes that are there already, without taking them; may be fewer than follow,
  // and is empty only at the end.
  absl::StatusOr<absl::string_view> Peek();

 private:
  // Makes at least one byte buffered; false at the end.
  absl::StatusOr<bool> Fill();
  absl::StatusOr<size_t> ReadDirect(absl::Span<char> out);
  absl::Status Missing(uint64_t size_bytes, absl::string_view what) const;

  const ByteSource* source_ = nullptr;  // Must outlive this.
  ByteStream* stream_ = nullptr;        // Must outlive this.
  std::string buffer_;
  uint64_t buffer_offset_ = 0;  // of buffer_[0] in the input
  size_t used_ = 0;             // bytes of buffer_ handed out
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_FORWARD_INPUT_H_

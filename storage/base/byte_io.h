// Where bytes come from and go to: random access, forward only, and a sink.
#ifndef BALLAST_STORAGE_BASE_BYTE_IO_H_
#define BALLAST_STORAGE_BASE_BYTE_IO_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ballast {

// Random access to immutable bytes of known size. Thread-safe.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size_bytes() const = 0;
  // Fills all of `out` from `offset`.
  // Errors: InvalidArgument/TRUNCATED  the range ends behind size_bytes(), or the
  //         file shrank meanwhile. Unavailable  the device failed.
  virtual absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const = 0;
};

// Bytes that can be read once, forward. Not thread-safe.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Reads 1..out.size() bytes; 0 means the end (out must not be empty).
  virtual absl::StatusOr<size_t> Read(absl::Span<char> out) = 0;
};

// Takes bytes in order. Not thread-safe.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual absl::Status Write(absl::string_view bytes) = 0;
};

// Memory as a source; owns its string.
class StringSource : public ByteSource {
 public:
  explicit StringSource(std::string bytes) : bytes_(std::move(bytes)) {}
  uint64_t size_bytes() const override { return bytes_.size(); }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override;

 private:
  std::string bytes_;
};

// Reads a source forward from `offset`. Borrows: `source` must outlive this.
class SourceStream : public ByteStream {
 public:
  explicit SourceStream(const ByteSource* source, uint64_t offset_bytes = 0)
      : source_(source), offset_(offset_bytes) {}
  absl::StatusOr<size_t> Read(absl::Span<char> out) override;

 private:
  const ByteSource* source_;  // Must outlive this.
  uint64_t offset_;
};

// Appends to a string. Borrows: `out` must outlive this.
class StringSink : public ByteSink {
 public:
  explicit StringSink(std::string* out) : out_(out) {}
  absl::Status Write(absl::string_view bytes) override;

 private:
  std::string* out_;  // Must outlive this.
};

// Fills `out` from the stream; fewer bytes only at its end. Returns how many.
absl::StatusOr<size_t> ReadFull(ByteStream* stream, absl::Span<char> out);

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_BYTE_IO_H_

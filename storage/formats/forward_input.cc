#include "storage/formats/forward_input.h"

#include <algorithm>
#include <cstring>

#include "storage/base/status.h"

namespace ballast {
namespace {

// Headers of entries are small and their data is skipped: a big look-ahead into a
// file would read data for nothing. A stream has to be read anyway.
constexpr size_t kSourceLookAheadBytes = 8 << 10;
constexpr size_t kStreamLookAheadBytes = 64 << 10;
constexpr size_t kAppendStepBytes = 1 << 20;

}  // namespace

absl::StatusOr<size_t> ForwardInput::ReadDirect(absl::Span<char> out) {
  if (stream_ != nullptr) return ReadFull(stream_, out);
  const uint64_t offset = offset_bytes();
  const uint64_t left = source_->size_bytes() - std::min(offset, source_->size_bytes());
  const size_t n = std::min<uint64_t>(left, out.size());
  if (n > 0) RETURN_IF_ERROR(source_->ReadAt(offset, out.subspan(0, n)));
  return n;
}

absl::StatusOr<bool> ForwardInput::Fill() {
  if (used_ < buffer_.size()) return true;
  std::string next(stream_ != nullptr ? kStreamLookAheadBytes : kSourceLookAheadBytes, '\0');
  size_t n = 0;
  if (stream_ != nullptr) {
    ASSIGN_OR_RETURN(n, stream_->Read(absl::MakeSpan(&next[0], next.size())));
  } else {
    ASSIGN_OR_RETURN(n, ReadDirect(absl::MakeSpan(&next[0], next.size())));
  }
  next.resize(n);
  buffer_offset_ = offset_bytes();
  used_ = 0;
  buffer_.swap(next);
  return n > 0;
}

absl::Status ForwardInput::Missing(uint64_t size_bytes, absl::string_view what) const {
  return TruncatedError("byte ", offset_bytes(), ": input ends inside ", what, ", want ",
                        size_bytes, size_bytes == 1 ? " more byte" : " more bytes");
}

absl::StatusOr<uint8_t> ForwardInput::Byte(absl::string_view what) {
  ASSIGN_OR_RETURN(const bool more, Fill());
  if (!more) return Missing(1, what);
  return static_cast<uint8_t>(buffer_[used_++]);
}

absl::Status ForwardInput::Read(absl::Span<char> out, absl::string_view what) {
  while (!out.empty()) {
    const size_t buffered = std::min(out.size(), buffer_.size() - used_);
    if (buffered > 0) {
      std::memcpy(out.data(), buffer_.data() + used_, buffered);
      used_ += buffered;
      out.remove_prefix(buffered);
    } else if (out.size() < kSourceLookAheadBytes) {
      ASSIGN_OR_RETURN(const bool more, Fill());
      if (!more) return Missing(out.size(), what);
    } else {
      ASSIGN_OR_RETURN(const size_t n, ReadDirect(out));
      buffer_offset_ = offset_bytes() + n;
      used_ = 0;
      buffer_.clear();
      out.remove_prefix(n);
      if (!out.empty()) return Missing(out.size(), what);
    }
  }
  return absl::OkStatus();
}

absl::Status ForwardInput::Append(uint64_t size_bytes, absl::string_view what, std::string* out) {
  while (size_bytes > 0) {
    const size_t step = std::min<uint64_t>(size_bytes, kAppendStepBytes);
    const size_t old_size = out->size();
    out->resize(old_size + step);
    RETURN_IF_ERROR(Read(absl::MakeSpan(&(*out)[old_size], step), what));
    size_bytes -= step;
  }
  return absl::OkStatus();
}

absl::Status ForwardInput::Skip(uint64_t size_bytes, absl::string_view what) {
  const size_t buffered = std::min<uint64_t>(size_bytes, buffer_.size() - used_);
  used_ += buffered;
  size_bytes -= buffered;
  if (size_bytes == 0) return absl::OkStatus();
  if (source_ != nullptr) {
    const uint64_t offset = offset_bytes();
    const uint64_t left = source_->size_bytes() - std::min(offset, source_->size_bytes());
    if (size_bytes > left) return Missing(size_bytes - left, what);
    buffer_offset_ = offset + size_bytes;
    used_ = 0;
    buffer_.clear();
    return absl::OkStatus();
  }
  while (size_bytes > 0) {
    ASSIGN_OR_RETURN(const bool more, Fill());
    if (!more) return Missing(size_bytes, what);
    const size_t step = std::min<uint64_t>(size_bytes, buffer_.size() - used_);
    used_ += step;
    size_bytes -= step;
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> ForwardInput::Peek() {
  ASSIGN_OR_RETURN(const bool more, Fill());
  return more ? absl::string_view(buffer_).substr(used_) : absl::string_view();
}

absl::StatusOr<bool> ForwardInput::AtEnd() {
  ASSIGN_OR_RETURN(const bool more, Fill());
  return !more;
}

}  // namespace ballast

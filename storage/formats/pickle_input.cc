#include "storage/formats/pickle_input.h"

#include <algorithm>
#include <cstring>

#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr size_t kBufferBytes = 64u << 10;

}  // namespace

absl::StatusOr<size_t> ViewStream::Read(absl::Span<char> out) {
  const size_t n = std::min(out.size(), bytes_.size());
  std::copy_n(bytes_.data(), n, out.data());
  bytes_.remove_prefix(n);
  return n;
}

PickleInput::PickleInput(ByteStream* stream, uint64_t limit_bytes)
    : stream_(stream), limit_(limit_bytes), buffer_(new char[kBufferBytes]) {}

bool PickleInput::Fill() {
  if (!status_.ok()) return false;
  absl::StatusOr<size_t> n = stream_->Read(absl::MakeSpan(buffer_.get(), kBufferBytes));
  begin_ = 0;
  end_ = n.ok() ? *n : 0;
  if (!n.ok()) status_ = n.status();
  return end_ > 0;
}

bool PickleInput::Copy(uint64_t size, char* out) {
  if (size > limit_ - position_) {
    status_ = LimitError("byte ", position_, ": pickle is longer than ", limit_,
                         " bytes, want at most pickle_bytes_max");
    return false;
  }
  position_ += size;
  while (size > 0) {
    if (begin_ == end_ && !Fill()) {
      position_ -= size;
      return false;
    }
    const size_t n = std::min<uint64_t>(size, end_ - begin_);
    std::memcpy(out, buffer_.get() + begin_, n);
    begin_ += n;
    out += n;
    size -= n;
  }
  return true;
}

bool PickleInput::Append(uint64_t size, std::string* out) {
  while (size > 0) {
    const size_t n = std::min<uint64_t>(size, kBufferBytes);
    const size_t before = out->size();
    out->resize(before + n);
    if (!Copy(n, out->data() + before)) return false;
    size -= n;
  }
  return true;
}

bool PickleInput::Line(size_t limit, std::string* out) {
  out->clear();
  char c = 0;
  while (Copy(1, &c)) {
    if (c == '\n') return true;
    if (out->size() == limit) {
      long_line_ = true;
      return false;
    }
    *out += c;
  }
  return false;
}

absl::Status PickleInput::Error() const {
  if (!status_.ok()) return status_;
  if (long_line_) return MalformedError("byte ", position_, ": line is too long");
  return TruncatedError("byte ", position_, ": pickle ends before its STOP");
}

}  // namespace ballast

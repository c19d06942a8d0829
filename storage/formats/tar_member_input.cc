#include "storage/formats/tar_member_input.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr uint64_t kSmallPickleBytesMax = 1024;

// A range of a source, forward.
class RangeStream : public ByteStream {
 public:
  RangeStream(const ByteSource* source, uint64_t begin, uint64_t end)
      : source_(source), position_(begin), end_(end) {}
  absl::StatusOr<size_t> Read(absl::Span<char> out) override {
    const size_t n = std::min<uint64_t>(out.size(), end_ - position_);
    if (n == 0) return n;
    RETURN_IF_ERROR(source_->ReadAt(position_, out.first(n)));
    position_ += n;
    return n;
  }

 private:
  const ByteSource* source_;  // Must outlive this.
  uint64_t position_;
  const uint64_t end_;
};

}  // namespace

absl::StatusOr<PickleGraph> TarMemberInput::Take(absl::StatusOr<PickleResult> result) {
  if (!result.ok()) {
    return WithContext(result.status(),
                       absl::StrCat("pickle at byte ", position_ - member_->offset_bytes));
  }
  position_ += result->size_bytes;
  return std::move(result->graph);
}

absl::StatusOr<PickleGraph> TarMemberInput::ReadPickle(ClassIds class_ids) {
  RangeStream stream(source_, position_, end_);
  return Take(RunPickle(&stream, *limits_, class_ids));
}

absl::StatusOr<PickleGraph> TarMemberInput::ReadSmallPickle() {
  std::string head(std::min(end_ - position_, kSmallPickleBytesMax), '\0');
  if (!head.empty())
    RETURN_IF_ERROR(source_->ReadAt(position_, absl::MakeSpan(&head[0], head.size())));
  absl::StatusOr<PickleResult> result = RunPickle(head, *limits_);
  if (GetReason(result.status()) == Reason::kTruncated && head.size() < end_ - position_) {
    return MalformedError("pickle at byte ", position_ - member_->offset_bytes, " is longer than ",
                          kSmallPickleBytesMax, " bytes, want a number or a tuple of three");
  }
  return Take(std::move(result));
}

absl::Status TarMemberInput::CheckLeft(uint64_t size_bytes) const {
  if (size_bytes <= end_ - position_) return absl::OkStatus();
  return TruncatedError("member of ", member_->size_bytes, " bytes ends too early, want ",
                        size_bytes, " bytes more at byte ", position_ - member_->offset_bytes);
}

absl::StatusOr<int64_t> TarMemberInput::ReadInteger(size_t width) {
  char raw[sizeof(int64_t)];
  RETURN_IF_ERROR(CheckLeft(width));
  RETURN_IF_ERROR(source_->ReadAt(position_, absl::MakeSpan(raw, width)));
  position_ += width;
  uint64_t value = 0;
  for (size_t i = width; i-- > 0;) value = value << 8 | static_cast<unsigned char>(raw[i]);
  return width == sizeof(int32_t) ? static_cast<int32_t>(value) : static_cast<int64_t>(value);
}

absl::Status TarMemberInput::Skip(uint64_t size_bytes) {
  RETURN_IF_ERROR(CheckLeft(size_bytes));
  position_ += size_bytes;
  return absl::OkStatus();
}

absl::Status TarMemberInput::CheckEnd() const {
  if (position_ == end_) return absl::OkStatus();
  return MalformedError(end_ - position_, " bytes follow the content at byte ",
                        position_ - member_->offset_bytes, ", want none");
}

}  // namespace ballast

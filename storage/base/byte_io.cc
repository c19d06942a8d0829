#include "storage/base/byte_io.h"

#include <algorithm>

#include "storage/base/checked.h"
#include "storage/base/status.h"

namespace ballast {

absl::Status StringSource::ReadAt(uint64_t offset, absl::Span<char> out) const {
  if (!InRange(offset, out.size(), bytes_.size())) {
    return TruncatedError("reading ", out.size(), " bytes at offset ", offset, ": input is ",
                          bytes_.size(), " bytes long");
  }
  std::copy_n(bytes_.data() + offset, out.size(), out.begin());
  return absl::OkStatus();
}

absl::StatusOr<size_t> SourceStream::Read(absl::Span<char> out) {
  const uint64_t left = source_->size_bytes() - std::min(offset_, source_->size_bytes());
  const size_t n = std::min<uint64_t>(left, out.size());
  if (n == 0) return 0;
  RETURN_IF_ERROR(source_->ReadAt(offset_, out.subspan(0, n)));
  offset_ += n;
  return n;
}

absl::Status StringSink::Write(absl::string_view bytes) {
  out_->append(bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::StatusOr<size_t> ReadFull(ByteStream* stream, absl::Span<char> out) {
  size_t filled = 0;
  while (filled < out.size()) {
    ASSIGN_OR_RETURN(const size_t n, stream->Read(out.subspan(filled)));
    if (n == 0) break;
    filled += n;
  }
  return filled;
}

}  // namespace ballast

#include "storage/base/concatenated_source.h"

#include <algorithm>
#include <utility>

#include "storage/base/checked.h"
#include "storage/base/status.h"

namespace ballast {

ConcatenatedSource::ConcatenatedSource(std::vector<Part> parts) : parts_(std::move(parts)) {
  for (Part& part : parts_) {
    part.begin_bytes = size_;
    size_ += part.source->size_bytes();
  }
}

absl::Status ConcatenatedSource::ReadAt(uint64_t offset, absl::Span<char> out) const {
  if (!InRange(offset, out.size(), size_)) {
    return TruncatedError("reading ", out.size(), " bytes at offset ", offset, ": the files are ",
                          size_, " bytes long together");
  }
  auto part = std::upper_bound(parts_.begin(), parts_.end(), offset,
                               [](uint64_t at, const Part& p) { return at < p.begin_bytes; });
  if (part != parts_.begin()) --part;
  for (; !out.empty(); ++part) {
    const uint64_t in_part = offset - part->begin_bytes;
    const uint64_t n = std::min<uint64_t>(out.size(), part->source->size_bytes() - in_part);
    RETURN_IF_ERROR(part->source->ReadAt(in_part, out.first(n)), Printable(part->name));
    out.remove_prefix(n);
    offset += n;
  }
  return absl::OkStatus();
}

}  // namespace ballast

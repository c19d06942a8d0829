#include "client/laid_out_file.h"

#include <algorithm>
#include <string>
#include <utility>

#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr uint64_t kWritebackStepBytes = 8u << 20;
constexpr uint64_t kZerosBytes = 64u << 10;

}  // namespace

LaidOutFile::LaidOutFile(AtomicFile* file, FileLayout layout, size_t entries)
    : file_(file), layout_(std::move(layout)), places_(entries) {
  uint64_t file_offset = 0;
  for (const Extent& extent : layout_.extents) {
    if (extent.kind == Extent::Kind::kTensor) {
      places_[extent.entry].push_back({extent.offset, file_offset, extent.size_bytes});
    }
    file_offset += extent.size_bytes;
  }
}

absl::Status LaidOutFile::WriteFrame() {
  const absl::string_view literals = layout_.literals;
  const std::string zeros(kZerosBytes, '\0');
  uint64_t file_offset = 0;
  for (const Extent& extent : layout_.extents) {
    if (extent.kind == Extent::Kind::kLiteral) {
      RETURN_IF_ERROR(WriteAt(file_offset, literals.substr(extent.offset, extent.size_bytes)));
    }
    for (uint64_t done = 0; extent.kind == Extent::Kind::kZeros && done < extent.size_bytes;) {
      const uint64_t n = std::min(kZerosBytes, extent.size_bytes - done);
      RETURN_IF_ERROR(WriteAt(file_offset + done, absl::string_view(zeros).substr(0, n)));
      done += n;
    }
    file_offset += extent.size_bytes;
  }
  return absl::OkStatus();
}

absl::Status LaidOutFile::WriteTensor(uint32_t entry, uint64_t offset, absl::string_view bytes) {
  for (const Place& place : places_[entry]) {
    const uint64_t begin = std::max(offset, place.tensor_offset);
    const uint64_t end = std::min(offset + bytes.size(), place.tensor_offset + place.size_bytes);
    if (begin >= end) continue;
    RETURN_IF_ERROR(WriteAt(place.file_offset + begin - place.tensor_offset,
                            bytes.substr(begin - offset, end - begin)));
  }
  return absl::OkStatus();
}

absl::Status LaidOutFile::WriteAt(uint64_t file_offset, absl::string_view bytes) {
  RETURN_IF_ERROR(file_->WriteAt(file_offset, bytes));
  dirty_bytes_ += bytes.size();
  if (dirty_bytes_ >= kWritebackStepBytes) {
    file_->StartWriteback(0, layout_.size_bytes);
    dirty_bytes_ = 0;
  }
  return absl::OkStatus();
}

}  // namespace ballast

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"
#include "storage/formats/layout.h"

namespace ballast {
namespace {

constexpr uint64_t kWriteStepBytes = 1 << 20;
constexpr size_t kGatherWriteBytes = 256 << 10;

constexpr std::array<char, 64 << 10> kZeroBytes{};

// Small pieces become one write: a file of many small tensors costs no call each.
class CoalescingSink {
 public:
  explicit CoalescingSink(ByteSink* sink) : sink_(sink) {}
  absl::Status Write(absl::string_view bytes) {
    if (held_.size() + bytes.size() > kGatherWriteBytes) RETURN_IF_ERROR(Flush());
    if (bytes.size() >= kGatherWriteBytes) return sink_->Write(bytes);
    held_.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status Flush() {
    if (held_.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(sink_->Write(held_));
    held_.clear();
    return absl::OkStatus();
  }

 private:
  ByteSink* sink_;  // Must outlive this.
  std::string held_;
};

// Knows the CRCs of what went by, and fills them into literals.
class CrcFiller {
 public:
  explicit CrcFiller(const FileLayout* layout) : layout_(layout) {
    for (const CrcHole& hole : layout->crc_holes) sums_.try_emplace(hole.entry, 0);
  }
  void Sum(const Extent& extent, absl::string_view bytes) {
    const auto it = sums_.find(extent.entry);
    if (it != sums_.end()) it->second = Crc32(bytes, it->second);
  }
  // `bytes` begin at `offset` in the literals. Holes do not cross pieces.
  absl::StatusOr<std::string> Fill(uint64_t offset, absl::string_view bytes) {
    std::string out(bytes);
    while (next_ < layout_->crc_holes.size() &&
           layout_->crc_holes[next_].literal_offset < offset + bytes.size()) {
      const CrcHole& hole = layout_->crc_holes[next_++];
      if (hole.literal_offset < offset || offset + bytes.size() - hole.literal_offset < 4) {
        return absl::InternalError("a CRC hole crosses pieces of a literal");
      }
      const uint32_t crc = sums_[hole.entry];
      for (size_t i = 0; i < 4; ++i) {
        out[hole.literal_offset - offset + i] = static_cast<char>(crc >> (8 * i));
      }
    }
    return out;
  }

 private:
  const FileLayout* layout_;  // Must outlive this.
  absl::flat_hash_map<uint32_t, uint32_t> sums_;
  size_t next_ = 0;
};

}  // namespace

const Extent* LayoutReader::extent() const {
  return index_ < layout_->extents.size() ? &layout_->extents[index_] : nullptr;
}

absl::Status LayoutReader::Seek(uint64_t offset) {
  if (offset > layout_->size_bytes) {
    return absl::OutOfRangeError(absl::StrCat("offset is ", offset, ", want at most the size of ",
                                              layout_->size_bytes, " bytes"));
  }
  if (starts_.empty()) {
    starts_.reserve(layout_->extents.size() + 1);
    uint64_t start = 0;
    for (const Extent& extent : layout_->extents) {
      starts_.push_back(start);
      start += extent.size_bytes;
    }
    starts_.push_back(start);
  }
  const auto next = std::upper_bound(starts_.begin(), starts_.end() - 1, offset);
  index_ = next == starts_.begin() ? 0 : next - starts_.begin() - 1;
  if (offset == layout_->size_bytes) index_ = layout_->extents.size();
  extent_offset_ = offset - starts_[index_];
  position_ = offset;
  return absl::OkStatus();
}

absl::StatusOr<Chunk> LayoutReader::Next(uint64_t max_bytes) {
  const Extent* const current = extent();
  if (current == nullptr || max_bytes == 0) return Chunk();
  const uint64_t n = std::min(max_bytes, current->size_bytes - extent_offset_);
  const uint64_t offset = current->offset + extent_offset_;
  Chunk chunk;
  switch (current->kind) {
    case Extent::Kind::kLiteral:
      chunk.bytes = absl::string_view(layout_->literals).substr(offset, n);
      break;
    case Extent::Kind::kZeros:
      chunk.bytes = absl::string_view(kZeroBytes.data(), std::min<uint64_t>(n, kZeroBytes.size()));
      break;
    case Extent::Kind::kTensor: {
      ASSIGN_OR_RETURN(chunk, source_->Read(current->entry, offset, n));
      break;
    }
  }
  position_ += chunk.bytes.size();
  extent_offset_ += chunk.bytes.size();
  if (extent_offset_ == current->size_bytes) {
    ++index_;
    extent_offset_ = 0;
  }
  return chunk;
}

absl::Status WriteLayout(const FileLayout& layout, TensorSource* source, ByteSink* sink,
                         const std::function<bool(uint64_t)>& progress) {
  LayoutReader reader(&layout, source);
  CrcFiller crcs(&layout);
  CoalescingSink out(sink);
  while (const Extent* extent = reader.extent()) {
    const uint64_t offset = extent->offset + reader.extent_offset();
    const bool literal = extent->kind == Extent::Kind::kLiteral;
    // A literal goes in one piece, so that no hole is cut.
    ASSIGN_OR_RETURN(const Chunk chunk, reader.Next(literal ? UINT64_MAX : kWriteStepBytes));
    if (literal && !layout.crc_holes.empty()) {
      ASSIGN_OR_RETURN(const std::string filled, crcs.Fill(offset, chunk.bytes));
      RETURN_IF_ERROR(out.Write(filled));
    } else {
      if (extent->kind == Extent::Kind::kTensor) crcs.Sum(*extent, chunk.bytes);
      RETURN_IF_ERROR(out.Write(chunk.bytes));
    }
    if (progress && !progress(reader.position())) return absl::CancelledError("cancelled");
  }
  return out.Flush();
}

}  // namespace ballast

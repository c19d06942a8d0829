#include "server/use_cases/store_tensor_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Larger blocks cost little beside their bytes; a run is at most one full block.
constexpr uint64_t kSmallBlockBytes = 64u << 10;
constexpr uint64_t kAheadBytes = kBlockBytes;
constexpr size_t kAheadBlocks = 4096;

}  // namespace

void StoreTensorSource::ReadInOrder(const std::vector<uint32_t>& entries) {
  order_ = entries;
  places_.assign(manifest_->entries.size(), UINT32_MAX);
  for (uint32_t i = 0; i < order_.size(); ++i) places_[order_[i]] = i;
}

// The digests of this block and of small ones behind it; their places go to ahead_.
std::vector<Digest> StoreTensorSource::PlanAhead(uint32_t entry, uint64_t block) {
  std::vector<Digest> digests;
  ahead_.clear();
  ahead_next_ = 0;
  uint64_t sum = 0;
  for (size_t place = places_.empty() ? UINT32_MAX : places_[entry]; place < order_.size();
       ++place, block = 0) {
    const ManifestEntry& tensor = manifest_->entries[order_[place]];
    const uint64_t size = CheckedTensorBytes(tensor.spec);
    for (; block < tensor.blocks.size(); ++block) {
      const uint64_t bytes = BlockSize(size, block);
      sum += bytes;
      if (bytes > kSmallBlockBytes || sum > kAheadBytes || digests.size() == kAheadBlocks) {
        return digests;
      }
      digests.push_back(tensor.blocks[block].digest);
      ahead_.push_back({order_[place], block, {}});
    }
  }
  return digests;
}

absl::StatusOr<Chunk> StoreTensorSource::Fetch(uint32_t entry, uint64_t block) {
  const auto is_next = [&] {
    return ahead_next_ < ahead_.size() && ahead_[ahead_next_].entry == entry &&
           ahead_[ahead_next_].block == block;
  };
  if (!is_next()) {
    const std::vector<Digest> digests = PlanAhead(entry, block);
    absl::StatusOr<std::vector<Chunk>> chunks(std::vector<Chunk>{});
    if (digests.size() > 1) chunks = blobs_->GetMany(digests);
    // A later block that fails is told when its turn comes.
    if (!chunks.ok() || chunks->empty()) {
      ahead_.clear();
      return blobs_->Get(manifest_->entries[entry].blocks[block].digest);
    }
    for (size_t i = 0; i < ahead_.size(); ++i) ahead_[i].chunk = std::move((*chunks)[i]);
  }
  return std::move(ahead_[ahead_next_++].chunk);
}

absl::Status StoreTensorSource::CheckHeld(const ManifestEntry& tensor) {
  if (held_checked_) return absl::OkStatus();
  const uint32_t want = tensor.blocks[held_block_].crc32;
  const uint32_t crc = Crc32(held_.bytes);
  if (crc != want) {
    return absl::DataLossError(absl::StrCat(
        "reading ", QuotedKey(tensor.spec.key), ": CRC-32 of block ", held_block_, " is ",
        absl::Hex(crc, absl::kZeroPad8), ", want ", absl::Hex(want, absl::kZeroPad8)));
  }
  held_checked_ = true;
  return absl::OkStatus();
}

absl::StatusOr<Chunk> StoreTensorSource::Read(uint32_t entry, uint64_t offset, uint64_t max_bytes) {
  const ManifestEntry& tensor = manifest_->entries[entry];
  const uint64_t block = offset / kBlockBytes;
  if (entry != held_entry_ || block != held_block_) {
    const Digest& digest = tensor.blocks[block].digest;
    absl::StatusOr<Chunk> chunk = Fetch(entry, block);
    if (absl::IsNotFound(chunk.status())) {
      return absl::DataLossError(absl::StrCat("reading ", QuotedKey(tensor.spec.key), ": block ",
                                              digest.Hex(), " is not in the store"));
    }
    if (!chunk.ok()) {
      return WithContext(chunk.status(), absl::StrCat("reading ", QuotedKey(tensor.spec.key)));
    }
    const uint64_t want = BlockSize(CheckedTensorBytes(tensor.spec), block);
    if (chunk->bytes.size() != want) {
      return absl::DataLossError(absl::StrCat("reading ", QuotedKey(tensor.spec.key), ": block ",
                                              digest.Hex(), " is ", chunk->bytes.size(),
                                              " bytes, want ", want));
    }
    held_ = *std::move(chunk);
    held_entry_ = entry;
    held_block_ = block;
    held_checked_ = false;
  }
  const bool whole = offset % kBlockBytes == 0 && max_bytes >= held_.bytes.size();
  if (!whole || checks_all_) RETURN_IF_ERROR(CheckHeld(tensor));
  return held_.Sub(offset % kBlockBytes, max_bytes);
}

}  // namespace ballast

#include "server/use_cases/store_tensor_source.h"

#include "absl/strings/str_cat.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {

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
    absl::StatusOr<Chunk> chunk = blobs_->Get(digest);
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
  if (!whole) RETURN_IF_ERROR(CheckHeld(tensor));
  return held_.Sub(offset % kBlockBytes, max_bytes);
}

}  // namespace ballast

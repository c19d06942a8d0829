// A version's tensors, read from the store block by block without a copy.
#ifndef BALLAST_SERVER_USE_CASES_STORE_TENSOR_SOURCE_H_
#define BALLAST_SERVER_USE_CASES_STORE_TENSOR_SOURCE_H_

#include <cstdint>
#include <vector>

#include "storage/formats/tensor_source.h"
#include "storage/model/manifest.h"
#include "storage/store/blob_store.h"

namespace ballast {

// Chunks are pinned blocks or parts of one. A whole block travels with the manifest's
// CRC-32, which its receiver checks; a block that is cut is checked here, because a part
// has a CRC of its own. Not thread-safe.
class StoreTensorSource : public TensorSource {
 public:
  // Both must outlive this.
  StoreTensorSource(BlobStore* blobs, const Manifest* manifest)
      : blobs_(blobs), manifest_(manifest) {}

  // The order in which entries are going to be read: small blocks are then read ahead, many
  // at a time. Any other order works too, block by block.
  void ReadInOrder(const std::vector<uint32_t>& entries);

  // From now on whole blocks are checked too: for who computes with them.
  void CheckWholeBlocks() { checks_all_ = true; }

  // Errors: DataLoss  the block is gone, damaged, or of another size or CRC than the
  //         manifest says; names the key. Unavailable.
  absl::StatusOr<Chunk> Read(uint32_t entry, uint64_t offset, uint64_t max_bytes) override;
  bool RawRange(uint32_t, uint64_t*) const override { return false; }

 private:
  struct Ahead {
    uint32_t entry = 0;
    uint64_t block = 0;
    Chunk chunk;
  };

  absl::Status CheckHeld(const ManifestEntry& tensor);
  absl::StatusOr<Chunk> Fetch(uint32_t entry, uint64_t block);
  std::vector<Digest> PlanAhead(uint32_t entry, uint64_t block);

  BlobStore* blobs_;          // Must outlive this.
  const Manifest* manifest_;  // Must outlive this.
  // The block read last, kept because small reads come in runs.
  uint32_t held_entry_ = UINT32_MAX;
  uint64_t held_block_ = 0;
  bool held_checked_ = false;
  bool checks_all_ = false;
  Chunk held_;

  std::vector<uint32_t> order_;
  std::vector<uint32_t> places_;  // of each entry in order_; UINT32_MAX: none
  std::vector<Ahead> ahead_;      // what was read ahead, in that order
  size_t ahead_next_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_STORE_TENSOR_SOURCE_H_

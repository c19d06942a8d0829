// BlobStore and BlobBatch in RocksDB.
//
// Order of a flush: finish the block file (fsync) · ingest it · index it · sync the
// log. A crash before the last step leaves blocks that nobody refers to; the ingested
// file among them is dropped when the folder is opened.
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_BLOBS_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_BLOBS_H_

#include <atomic>
#include <memory>
#include <mutex>

#include "storage/store/blob_store.h"
#include "storage/store/rocksdb/block_files.h"

namespace ballast {

class RocksBlobs : public BlobStore {
 public:
  // Everything in `context` must outlive this.
  explicit RocksBlobs(BlobContext context) : context_(std::move(context)) {}

  absl::StatusOr<std::unique_ptr<BlobBatch>> NewBatch(Epoch epoch) override;
  absl::StatusOr<Chunk> Get(const Digest& digest) override;
  // One piece of memory for all: the blocks are copied.
  absl::StatusOr<std::vector<Chunk>> GetMany(absl::Span<const Digest> digests) override;
  absl::StatusOr<std::vector<std::optional<BlobInfo>>> Touch(absl::Span<const Digest> digests,
                                                             Epoch epoch) override;
  absl::StatusOr<BlobCheck> Check(const Digest& digest) override;
  absl::StatusOr<uint64_t> RemoveIfOlder(absl::Span<const Digest> digests, Epoch epoch) override;
  absl::StatusOr<std::vector<bool>> HasCrcs(absl::Span<const uint32_t> crcs,
                                            const DigestFilter& counts) override {
    return context_.index->HasCrcs(crcs, counts);
  }
  absl::StatusOr<std::vector<Digest>> Scan(uint32_t shard, std::string* cursor) override;
  absl::Status ReturnSpace() override;

 private:
  // A block as it is stored, and what the index says of it.
  struct Stored {
    Chunk chunk;
    BlobInfo info;
  };
  absl::StatusOr<std::optional<Chunk>> Read(const Digest& digest, const BlockEntry& entry,
                                            const rocksdb::ReadOptions& options);
  absl::StatusOr<Stored> Fetch(const Digest& digest, const rocksdb::ReadOptions& options);
  void Remember(const Digest& digest, BlobCheck::State state);
  absl::Status AppendBlock(const Digest& digest, class BlockWalk* walk, std::string* out);
  void RewriteThinFiles();

  const BlobContext context_;
  std::mutex rewrite_mutex_;           // one rewrite at a time
  std::atomic<bool> removed_ = false;  // since the last ReturnSpace
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_BLOBS_H_

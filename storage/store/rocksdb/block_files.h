// Block files: SSTs that are written beside the database, finished, and ingested
// whole. One file is one container, so files never overlap and never need compaction.
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_BLOCK_FILES_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_BLOCK_FILES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/sst_file_writer.h"
#include "storage/store/rocksdb/block_index.h"
#include "storage/store/rocksdb/database.h"

namespace ballast {

// Called between the steps of a commit; tests end the process there.
using StepHook = std::function<void(absl::string_view step)>;

// What all parts of the blob store share. Everything must outlive its users.
struct BlobContext {
  Database* database = nullptr;
  BlockIndex* index = nullptr;
  std::string tmp_dir;
  uint64_t file_bytes = 0;  // a block file is finished at this size
  StepHook step;            // never null

  // Drops a whole block file that the index does not refer to.
  absl::Status DropFile(uint64_t file) const;
  // Drops every ingested file that the index does not refer to. Nobody may be writing.
  absl::Status DropOrphans() const;
};

// Writes one block file. Not thread-safe. Destroyed unfinished, it leaves nothing.
class BlockFileWriter {
 public:
  // A file holds at most this many blocks: bounds what is kept in memory per block.
  static constexpr size_t kBlocksMax = 1u << 16;

  // `context` must outlive the writer.
  static absl::StatusOr<std::unique_ptr<BlockFileWriter>> Create(const BlobContext* context);
  ~BlockFileWriter();

  // Errors: ResourceExhausted  the disk is full. Unavailable.
  absl::Status Append(const Digest& digest, uint32_t crc32, absl::string_view bytes);
  bool full() const { return bytes_ >= context_->file_bytes || blocks_.size() >= kBlocksMax; }

  // Makes the file durable and part of the database. The index does not know it yet.
  absl::Status FinishAndIngest();

  uint64_t container() const { return container_; }
  uint64_t bytes() const { return bytes_; }
  const std::vector<WrittenBlock>& blocks() const { return blocks_; }

 private:
  BlockFileWriter(const BlobContext* context, uint64_t container);

  const BlobContext* const context_;
  const uint64_t container_;
  const std::string path_;
  rocksdb::SstFileWriter writer_;
  std::vector<WrittenBlock> blocks_;
  uint64_t bytes_ = 0;
};

// Copies what is alive in `file` to a new file and drops `file`. Does nothing while the
// database takes no files.
absl::Status RewriteFile(const BlobContext& context, uint64_t file);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_BLOCK_FILES_H_

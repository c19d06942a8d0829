// Where every block is, and how much of each block file is alive.
//
// Keys and values of the column family `index` (integers little-endian unless said):
//   'b' digest          u8 where (0 small, 1 file) | u64 container | u32 sequence |
//                       u32 size_bytes | u32 crc32 | u64 epoch
//   'f' u64be file      u64 live_blocks | u64 live_bytes | u64 total_bytes
//   's'                 u64 blocks | u64 bytes: the small blocks; counted when it is missing
//   'n'                 u64 the first container number that was never handed out
//   'c' u32be crc32 digest   empty: a block of kCrcKnownBytes or more with that CRC-32
//   'C'                 "1": all of those are there; without it they are made anew
//   'd' digest          "1": the block is damaged
//   'w'                 "1": a block with wrong bytes and a right checksum was found once
// Keys of `blocks` and `small`: u64be container | u32be sequence | digest. A container
// is one block file, or one flush of small blocks; its number is never used again.
// The digest in the key makes a wrong location miss instead of giving wrong bytes,
// and tells a rewrite which block it holds.
//
// A block file without an 'f' key was ingested but never finished: nobody refers to
// it, and it is dropped when the folder is opened.
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_BLOCK_INDEX_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_BLOCK_INDEX_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/base/digest.h"
#include "storage/store/blob_store.h"
#include "storage/store/rocksdb/database.h"
#include "storage/store/store_monitor.h"

namespace ballast {

struct BlockLocation {
  enum class Where : uint8_t { kSmall = 0, kFile = 1 };
  Where where = Where::kSmall;
  uint64_t container = 0;
  uint32_t sequence = 0;
  friend bool operator==(const BlockLocation&, const BlockLocation&) = default;
};

struct BlockEntry {
  BlockLocation location;
  BlobInfo info;
};

// A block that was just written to a container.
struct WrittenBlock {
  Digest digest;
  uint32_t sequence = 0;
  uint32_t size_bytes = 0;
  uint32_t crc32 = 0;
};

// Key of a block in `blocks` or `small`.
std::string BlockKey(uint64_t container, uint32_t sequence, const Digest& digest);
// The container of such a key, or of any key that begins with u64be.
uint64_t ContainerOfKey(absl::string_view key);
// The digest of a block key.
absl::StatusOr<Digest> DigestOfKey(absl::string_view key);
// What all block keys of a container begin with.
std::string ContainerPrefix(uint64_t container);

// Thread-safe. Writes are visible at once and durable after Database::Sync().
class BlockIndex {
 public:
  // `database` must outlive the index.
  static absl::StatusOr<std::unique_ptr<BlockIndex>> Open(Database* database);

  absl::StatusOr<std::optional<BlockEntry>> Find(const Digest& digest);
  // As BlobStore::HasCrcs.
  absl::StatusOr<std::vector<bool>> HasCrcs(absl::Span<const uint32_t> crcs,
                                            const BlobStore::DigestFilter& counts);

  // A number no container ever had.
  absl::StatusOr<uint64_t> NewContainer();

  // Makes the blocks of an ingested file known with `epoch`. A block that is known
  // already stays where it is (its epoch is raised) and counts as dead in this file; one
  // that is damaged is from now on where its new copy is. Returns the files that are not
  // referred to any more, this one or others: drop them.
  absl::StatusOr<std::vector<uint64_t>> AddFile(uint64_t file,
                                                absl::Span<const WrittenBlock> blocks, Epoch epoch);
  // The same for small blocks; writes those that are new, and their entries, at once.
  // bytes[i] belongs to blocks[i].
  absl::StatusOr<std::vector<uint64_t>> AddSmall(uint64_t container,
                                                 absl::Span<const WrittenBlock> blocks,
                                                 absl::Span<const std::string> bytes, Epoch epoch);

  // Remembers that a block is damaged (at most kDamagedMax of them: more are found again),
  // or that it is not; durable on return. `wrong_bytes`: its checksum was right.
  static constexpr size_t kDamagedMax = 1u << 20;
  absl::Status MarkDamaged(const Digest& digest, bool wrong_bytes);
  absl::Status MarkSound(const Digest& digest);
  bool IsDamaged(const Digest& digest);
  // Whether the key at a place is enough to know its bytes: not since a block with wrong
  // bytes was found, because a copy that was replaced keeps its key.
  bool trusts_keys() const { return trusts_keys_; }

  // Raises epochs that are lower; answers what is known then, of damaged blocks nothing.
  absl::StatusOr<std::vector<std::optional<BlobInfo>>> Raise(absl::Span<const Digest> digests,
                                                             Epoch epoch);

  struct Removed {
    uint64_t blocks = 0;
    std::vector<uint64_t> dead_files;  // not referred to any more: drop them
  };
  absl::StatusOr<Removed> RemoveIfOlder(absl::Span<const Digest> digests, Epoch epoch);

  // Points the blocks that are still in `from` at their copies in `to`, and forgets
  // `from`. Returns false if none was: then `to` is not referred to either.
  absl::StatusOr<bool> MoveFile(uint64_t from, uint64_t to, absl::Span<const WrittenBlock> blocks);

  // The first file with a number above `after` of which less than half is alive.
  std::optional<uint64_t> NextThinFile(uint64_t after);
  bool HasFile(uint64_t file);
  // All blocks, and the bytes in block files that are not alive: kept, nothing is read.
  BlockTotals totals();
  uint64_t dead_bytes();
  // As StoreMonitor::CountBlocks.
  absl::StatusOr<BlockTotals> CountBlocks();
  // As BlobStore::Scan.
  absl::StatusOr<std::vector<Digest>> Scan(uint32_t shard, std::string* cursor);

 private:
  struct FileUse {
    uint64_t live_blocks = 0;
    uint64_t live_bytes = 0;
    uint64_t total_bytes = 0;
  };
  class Change;

  explicit BlockIndex(Database* database) : database_(database) {}
  absl::Status Load();
  absl::Status LoadFiles();
  absl::Status LoadSmall();
  absl::Status LoadDamaged();
  void LoadCrcs();
  absl::Status IndexCrcs();
  absl::StatusOr<std::optional<BlockEntry>> FindSound(const Digest& digest);
  absl::StatusOr<BlockTotals> Count(const std::function<bool(const BlockEntry&)>& counts);

  Database* const database_;
  // Serialises all read-modify-write of the index; never held across an fsync.
  std::mutex mutex_;
  std::map<uint64_t, FileUse> files_;
  BlockTotals small_;
  uint64_t next_container_ = 1;
  uint64_t reserved_ = 1;  // the value of 'n'
  bool knows_crcs_ = false;

  std::mutex damaged_mutex_;  // taken behind mutex_
  std::set<Digest> damaged_;
  std::atomic<size_t> damaged_count_ = 0;  // so that nobody waits while there is no damage
  std::atomic<bool> trusts_keys_ = true;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_BLOCK_INDEX_H_

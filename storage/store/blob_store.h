// Immutable blocks, named by their SHA-256. One of the two engine interfaces;
// RecordStore is the other. Small enough that a distributed engine fits.
//
// Epochs serve garbage collection: every block carries the highest epoch in
// which a push added or touched it, and only blocks older than an epoch can be
// removed. Nothing here knows about versions, models or time.
//
// Damage: a block that Get or Check finds not to be what its digest says, or cannot read, is
// remembered as damaged, durably if the engine can still write. From then on Touch and Add
// take it for a block that is not there, so the next push that has its content stores it
// anew, and that ends the damage. Wrong bytes are never given out: what is remembered as
// damaged is compared with its digest first. To remember a sound block by mistake
// costs one more copy, nothing else.
//
// There is no ordered scan, no overwrite of what is sound, no transaction over two blocks.
#ifndef BALLAST_STORAGE_STORE_BLOB_STORE_H_
#define BALLAST_STORAGE_STORE_BLOB_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/base/chunk.h"
#include "storage/base/digest.h"

namespace ballast {

using Epoch = uint64_t;

// What the store knows of a block without reading it.
struct BlobInfo {
  uint64_t size_bytes = 0;
  uint32_t crc32 = 0;
  Epoch epoch = 0;
  friend bool operator==(const BlobInfo&, const BlobInfo&) = default;
};

// What came of reading a block to see whether it is sound.
struct BlobCheck {
  enum class State : uint8_t {
    kSound,
    kUnreadable,  // the engine's checksum fails, or the disk
    kWrongBytes,  // it reads, and is not what its digest says
    kMissing,     // no such block
  };
  State state = State::kMissing;
  uint64_t size_bytes = 0;  // that were read
  std::string problem;      // one line; "" if it is sound
};

// Blocks on their way in. Not thread-safe; destroyed uncommitted, what was not
// yet durable is gone (what was is swept by gc).
class BlobBatch {
 public:
  virtual ~BlobBatch() = default;

  // Adds a block of 1 byte to kBlockBytes. The caller has computed digest and crc32
  // over `bytes` itself. A block that the store (undamaged) or this batch has already is
  // not written again (but its epoch is raised by Commit). Returns true if it was new.
  // Errors: ResourceExhausted  the disk is full. Unavailable.
  virtual absl::StatusOr<bool> Add(const Digest& digest, uint32_t crc32,
                                   absl::string_view bytes) = 0;

  // Makes everything added so far durable and visible; may be called many times.
  // Engines also do it on their own whenever enough has gathered.
  // Errors: as Add. After an error the batch takes nothing more.
  virtual absl::Status Flush() = 0;

  // Bytes added that are durable now; grows as the engine writes block files.
  virtual uint64_t durable_bytes() const = 0;
};

// Thread-safe.
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // `epoch` is read by the caller *after* its push intent is recorded.
  virtual absl::StatusOr<std::unique_ptr<BlobBatch>> NewBatch(Epoch epoch) = 0;

  // The block's bytes, pinned for as long as the chunk's owner is held.
  // Errors: NotFound  no such block. DataLoss  the stored bytes fail their
  //         checksum (never served). Unavailable.
  virtual absl::StatusOr<Chunk> Get(const Digest& digest) = 0;

  // Several small blocks, in this order; what follows each other in `digests` may lie in one
  // piece of memory. For blocks that were pushed together an engine may have a cheaper
  // way than Get for each, which is what this does.
  // Errors: as Get, of the first block that fails.
  virtual absl::StatusOr<std::vector<Chunk>> GetMany(absl::Span<const Digest> digests) {
    std::vector<Chunk> chunks;
    for (const Digest& digest : digests) {
      absl::StatusOr<Chunk> chunk = Get(digest);
      if (!chunk.ok()) return chunk.status();
      chunks.push_back(*std::move(chunk));
    }
    return chunks;
  }

  // Raises the epoch of the blocks that exist to at least `epoch` (durable on
  // return) and answers what is known of each; nullopt: no such block, or it is damaged.
  virtual absl::StatusOr<std::vector<std::optional<BlobInfo>>> Touch(
      absl::Span<const Digest> digests, Epoch epoch) = 0;

  // Whether there is a block of kCrcKnownBytes or more with each of these CRC-32s that counts:
  // what is surely new need not be hashed to be known as new. What a batch has not made durable
  // yet may be missing. `counts` is asked until it says yes.
  // Errors: FailedPrecondition  the engine cannot tell. DataLoss  a damaged index. Unavailable.
  using DigestFilter = std::function<bool(const Digest&)>;
  virtual absl::StatusOr<std::vector<bool>> HasCrcs(absl::Span<const uint32_t> crcs,
                                                    const DigestFilter& counts) = 0;

  // Reads a block from where it lies and compares it with its digest and its CRC-32; what
  // is not sound is remembered. Leaves the engine's cache as it is.
  // Errors: Unavailable.
  virtual absl::StatusOr<BlobCheck> Check(const Digest& digest) = 0;

  // Removes those whose epoch is < `epoch`; others and absent ones are left.
  // Returns how many were removed.
  virtual absl::StatusOr<uint64_t> RemoveIfOlder(absl::Span<const Digest> digests, Epoch epoch) = 0;

  // Pages through the digests of shard `shard` of kShards, in any order; may miss or
  // repeat what changes meanwhile. `cursor` starts empty and is empty at the end.
  static constexpr uint32_t kShards = 16;
  virtual absl::StatusOr<std::vector<Digest>> Scan(uint32_t shard, std::string* cursor) = 0;

  // Called after many removals: gives back what they freed, as far as it pays.
  virtual absl::Status ReturnSpace() = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_BLOB_STORE_H_

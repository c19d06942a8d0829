// Packs: files of blocks in a portable folder, each written once and never changed.
//
// Layout:  "BLPACK1\n" | blocks, back to back | index | u64le offset of the index |
//          u64le number of blocks | SHA-256 of the index | "BLPEND1\n"
//          index: per block 32 digest bytes | u64le offset | u32le size
// A block's checksum is its name. Packs are packs/00000001.pack … in the folder; one appears
// when it is whole and on the disk.
#ifndef BALLAST_CLIENT_BACKUP_PACK_H_
#define BALLAST_CLIENT_BACKUP_PACK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"
#include "storage/base/digest.h"
#include "storage/base/file.h"
#include "storage/base/limits.h"

namespace ballast {

// Writes one. Not thread-safe. Destroyed uncommitted, it leaves nothing.
class PackWriter {
 public:
  // Errors: those of AtomicFile::Create.
  static absl::StatusOr<std::unique_ptr<PackWriter>> Create(const std::string& path);
  // Errors: ResourceExhausted  the disk is full.
  absl::Status Add(const Digest& digest, absl::string_view bytes);
  // Makes it visible and durable.
  absl::Status Commit();

  struct Block {
    Digest digest;
    uint64_t offset = 0;
    uint32_t size_bytes = 0;
  };
  const std::vector<Block>& blocks() const { return blocks_; }
  uint64_t size_bytes() const { return offset_; }

 private:
  explicit PackWriter(std::unique_ptr<AtomicFile> file) : file_(std::move(file)) {}
  std::unique_ptr<AtomicFile> file_;
  std::vector<Block> blocks_;
  uint64_t offset_ = 0;
};

// The blocks of all packs of a folder; in memory some 64 bytes for each. Reading is
// thread-safe.
class PackedBlocks {
 public:
  enum class Damaged { kRefused, kLeftOut };

  // `dir` is the folder's packs/. Reads the indexes; nothing in them is trusted.
  // Errors: DataLoss  a pack is none, its index fails its checksum, or entries of it lie outside
  //         the file; only if such packs are refused. Those of reading files.
  static absl::StatusOr<std::unique_ptr<PackedBlocks>> Open(const std::string& dir,
                                                            const Limits& limits, Damaged damaged);

  bool Has(const Digest& digest) const { return places_.contains(digest); }
  // Errors: DataLoss  no pack has it (and one that was left out, if any), or the bytes fail
  //         their SHA-256. Unavailable.
  absl::StatusOr<std::string> Read(const Digest& digest) const;
  // What a pack under this name has, once it is committed.
  absl::Status AddPack(const std::string& name);
  // For the next pack.
  std::string NextName() const;
  const std::string& dir() const { return dir_; }

 private:
  struct Pack {
    std::string path;
    std::unique_ptr<ByteSource> file;
  };
  struct Place {
    uint32_t pack = 0;
    uint32_t size_bytes = 0;
    uint64_t offset = 0;
  };

  explicit PackedBlocks(std::string dir) : dir_(std::move(dir)) {}

  const std::string dir_;
  absl::Status left_out_;  // why the first damaged pack was
  uint64_t last_number_ = 0;
  std::vector<Pack> packs_;
  absl::flat_hash_map<Digest, Place> places_;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_BACKUP_PACK_H_

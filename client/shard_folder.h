// A folder of shards being written while their tensors arrive in the order of the state
// dict: the bytes of a tensor go to their places in the files at once.
#ifndef BALLAST_CLIENT_SHARD_FOLDER_H_
#define BALLAST_CLIENT_SHARD_FOLDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/base/file.h"
#include "storage/base/folder.h"
#include "storage/formats/shard_plan.h"
#include "storage/model/manifest.h"

namespace ballast {

// The names of the files: shards in the order of their numbers, the index behind.
std::vector<std::string> NamesOf(const ShardedLayout& layout);

// Writes the index, if there is one. Errors: those of AtomicFile.
absl::Status WriteIndex(const ShardedLayout& layout, const AtomicFolder& folder);

// Puts shards into a folder that is not visible yet. Not thread-safe.
class ShardFolder {
 public:
  // `folder` must outlive this. The layout must have no CRC holes.
  ShardFolder(const AtomicFolder* folder, ShardedLayout layout, const Manifest& manifest);

  // The next bytes of the tensors, one after the other in the order of the manifest.
  // Errors: those of writing; DataLoss  more than the tensors have.
  absl::Status Write(absl::string_view bytes);
  // Writes the index, and the shards without tensor bytes.
  // Errors: those of writing; DataLoss  fewer bytes came than the tensors have.
  absl::Status Finish();

  uint64_t size_bytes() const { return layout_.size_bytes; }
  std::vector<std::string> Names() const { return NamesOf(layout_); }
  const std::vector<std::string>& warnings() const { return layout_.warnings; }

 private:
  // Where a piece of a tensor goes.
  struct Place {
    uint32_t shard = 0;
    uint64_t tensor_offset = 0;
    uint64_t file_offset = 0;
    uint64_t size_bytes = 0;
  };
  struct Shard {
    std::unique_ptr<AtomicFile> file;  // while it is being written
    uint64_t left_bytes = 0;           // of its tensors
    uint64_t dirty_bytes = 0;          // written since the disk was last told to begin
    bool done = false;
  };

  absl::Status WriteTensor(uint32_t entry, uint64_t offset, absl::string_view bytes);
  absl::Status WriteTo(const Place& place, uint64_t offset, absl::string_view bytes);
  absl::Status OpenShard(uint32_t shard);
  absl::Status CloseShard(uint32_t shard);

  const AtomicFolder* const folder_;
  const ShardedLayout layout_;
  std::vector<uint64_t> sizes_;             // of the tensors
  std::vector<std::vector<Place>> places_;  // by tensor
  std::vector<Shard> shards_;
  uint32_t entry_ = 0;   // whose bytes come next
  uint64_t offset_ = 0;  // in it
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_SHARD_FOLDER_H_

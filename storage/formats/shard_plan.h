// Writes a state dict as shards: which tensor goes into which file, the layout of each, and
// the index.
//
// The split is huggingface_hub's (`serialization/_base.py`): in the order of the state dict a
// shard is filled until the next tensor would go over the limit; a tensor above the limit
// is a shard of its own, at once, while the current one stays open; tied tensors go where
// the first of them is and count once. The limit is on tensor bytes, so a file is larger by
// its header, and a safetensors file also by the repetition of tied tensors. One shard has
// no number and no index. Within a shard the order of the state dict is kept.
#ifndef BALLAST_STORAGE_FORMATS_SHARD_PLAN_H_
#define BALLAST_STORAGE_FORMATS_SHARD_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/base/limits.h"
#include "storage/formats/layout.h"

namespace ballast {

// Positions in `input.tensors`, ascending, shard by shard; at least one shard.
std::vector<std::vector<uint32_t>> SplitIntoShards(const LayoutInput& input,
                                                   uint64_t max_shard_bytes);

struct ShardLayout {
  std::string name;   // "model-00001-of-00003.safetensors"
  FileLayout layout;  // entries are those of the whole input
};

struct ShardedLayout {
  std::vector<ShardLayout> shards;
  std::string index_name;  // "" if there is one shard only
  std::string index_text;
  uint64_t size_bytes = 0;            // of all files
  std::vector<std::string> warnings;  // those of the layouts, each once
};

// True for the formats that Hugging Face's libraries read in shards.
bool CanShard(Format format);

// Whether files of this name are what such a layout consists of: a later one may replace them.
bool IsShardedName(absl::string_view name);

// Errors: as LayOut; Unimplemented/UNSUPPORTED  a format that is not sharded.
//         ResourceExhausted  limits.shards_max.
absl::StatusOr<ShardedLayout> LayOutShards(Format format, const LayoutInput& input,
                                           uint64_t max_shard_bytes, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SHARD_PLAN_H_

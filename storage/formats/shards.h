// Reads the files of a sharded checkpoint to one state dict.
#ifndef BALLAST_STORAGE_FORMATS_SHARDS_H_
#define BALLAST_STORAGE_FORMATS_SHARDS_H_

#include "absl/status/statusor.h"
#include "storage/base/concatenated_source.h"
#include "storage/base/limits.h"
#include "storage/formats/shard_index.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// The parts of `source` are the shards, by the names of their files. Entries come shard by
// shard, in the order of each; offsets are those of `source`, so that everything which
// reads the state dict of one file reads this. With an index (may be null; its files are
// the parts, in the same order) the keys must be exactly those that it names, each where
// it says. A shard that is called `.safetensors` must be that, unless `format` says
// otherwise; others are found by content.
//
// Ties hold within a shard. Leaves and globals that are equal in several shards appear
// once; `_metadata` is the union, a module's first one counts. A wrong total_size is a
// warning.
// Errors: as ReadStateDict, the shard's name in front. InvalidArgument/MALFORMED  a key in
//         two shards, or not where the index says. ResourceExhausted  entries_max,
//         metadata_bytes_max.
absl::StatusOr<SourceStateDict> ReadShards(const ConcatenatedSource& source,
                                           const ShardIndex* index, Format format,
                                           const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SHARDS_H_

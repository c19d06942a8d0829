// The index of a sharded checkpoint: which key is in which file.
//
//   { "metadata":   { "total_size": 123, …other members },
//     "weight_map": { "<key>": "<file name>", … } }
// Source: huggingface_hub `serialization/_torch.py`. Stricter: keys and members once each,
// file names without any path, all of one kind. `total_size` is a hint: files of the wild
// have it wrong, as a float, as a string or not at all.
#ifndef BALLAST_STORAGE_FORMATS_SHARD_INDEX_H_
#define BALLAST_STORAGE_FORMATS_SHARD_INDEX_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"

namespace ballast {

struct ShardIndex {
  struct Key {
    std::string key;
    uint32_t file = 0;  // index into files
  };
  std::vector<std::string> files;            // ascending by name
  std::vector<Key> keys;                     // in the order of the weight_map, each once
  std::optional<uint64_t> total_size_bytes;  // what the index claims
  std::vector<SourceLeaf> leaves;            // the other members of "metadata"
  std::vector<std::string> warnings;
};

// `extension` is what the index's own name says of its shards (".safetensors", ".bin"); "":
// as the first one has it.
// Errors: InvalidArgument/MALFORMED  not JSON, no weight_map, a key or member twice, shards
//         of two kinds. InvalidArgument/UNSAFE  a file name that is a path, a `.bin` among
//         safetensors. ResourceExhausted  shard_index_bytes_max, entries_max, shards_max,
//         metadata_bytes_max.
absl::StatusOr<ShardIndex> ParseShardIndex(absl::string_view json, absl::string_view extension,
                                           const Limits& limits);

// Whether a JSON text has a member "weight_map": an index, or what wants to be one.
bool HasWeightMap(absl::string_view json);

// The text of an index as transformers writes it: members and keys sorted, indented by
// two, a line end behind. `weight_map` is (key, file name), in any order.
std::string ShardIndexText(uint64_t total_size_bytes,
                           std::vector<std::pair<std::string, std::string>> weight_map);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SHARD_INDEX_H_

// The names that Hugging Face's libraries give to shards and their indexes.
//
//   model-00001-of-00003.safetensors          shard 1 of 3
//   model.safetensors.index.json              which key is in which shard
//   pytorch_model-00001-of-00002.bin, pytorch_model.bin.index.json
//   diffusion_pytorch_model.fp16-00001-of-00002.safetensors     a variant, in diffusers
//   diffusion_pytorch_model.safetensors.index.fp16.json
//   model-00001-of-00002.fp16.safetensors     a variant, in older transformers
//   shard-00001-model-00001-of-00001.safetensors   one rank's slices
//                                             (torch.distributed.checkpoint)
// Source: huggingface_hub `serialization/_base.py`, transformers `_add_variant`,
// torch `distributed/checkpoint/_hf_utils.py`. Numbers have five digits or more.
#ifndef BALLAST_STORAGE_FORMATS_SHARD_NAMES_H_
#define BALLAST_STORAGE_FORMATS_SHARD_NAMES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast {

// "model-00002-of-00003.fp16.safetensors", taken apart. Shards of one stem and suffix are
// one series.
struct ShardName {
  std::string stem;         // "model"
  std::string number_text;  // "00002"
  std::string count_text;   // "00003"
  std::string suffix;       // ".fp16.safetensors"
  uint64_t number = 0;
  uint64_t count = 0;

  // The name of another shard of the same checkpoint.
  std::string Sibling(uint64_t other_number) const;
};
std::optional<ShardName> ParseShardName(absl::string_view name);

// "model.safetensors.index.fp16.json", taken apart.
struct IndexName {
  std::string stem;       // "model"
  std::string extension;  // of its shards: ".safetensors" or ".bin"
  std::string variant;    // ".fp16", or ""

  // Whether shards of this name are what such an index is written for.
  bool IsFor(const ShardName& shard) const;
};
std::optional<IndexName> ParseIndexName(absl::string_view name);

// Whether the file holds one rank's slices of tensors rather than tensors.
bool IsRankSlice(absl::string_view name);

// What a file of shard `index` (from 0) of `count` is called: "model-00001-of-00003.safetensors",
// or "model.safetensors" if there is one only.
std::string ShardFileName(absl::string_view stem, uint64_t index, uint64_t count,
                          absl::string_view extension);

// A shard is named by a plain file name: letters, digits, `.`, `_` and `-`, not beginning
// with a dot, 255 bytes at most; so it cannot lead out of the folder of its index.
// Errors: InvalidArgument/UNSAFE.
absl::Status CheckShardFileName(absl::string_view name);

// Checks that numbered names are whole series: one count, each number once, none missing.
// Names that are not numbered pass.
// Errors: InvalidArgument/MALFORMED  names what is missing or wrong.
absl::Status CheckSeries(const std::vector<std::string>& names);

// "a, b, c and 4 more": the first few of many names, printable.
std::string NamesText(const std::vector<std::string>& names);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SHARD_NAMES_H_

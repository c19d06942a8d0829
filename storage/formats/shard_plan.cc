#include "storage/formats/shard_plan.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "storage/base/status.h"
#include "storage/formats/shard_index.h"
#include "storage/formats/shard_names.h"

namespace ballast {
namespace {

struct ShardedFormat {
  Format format;
  absl::string_view stem;
  absl::string_view extension;
};
constexpr std::array kSharded = {
    ShardedFormat{Format::kSafetensors, "model", ".safetensors"},
    ShardedFormat{Format::kPyTorch, "pytorch_model", ".bin"},
};

const ShardedFormat* Find(Format format) {
  const auto it = std::find_if(kSharded.begin(), kSharded.end(),
                               [&](const ShardedFormat& f) { return f.format == format; });
  return it == kSharded.end() ? nullptr : &*it;
}

// What the tensors at `positions` (ascending) are on their own.
LayoutInput Part(const LayoutInput& input, const Ties& ties,
                 const std::vector<uint32_t>& positions) {
  LayoutInput part;
  part.metadata_json = input.metadata_json;
  part.plain_dict = input.plain_dict;
  part.tensors.reserve(positions.size());
  for (const uint32_t position : positions) part.tensors.push_back(input.tensors[position]);
  for (const std::vector<uint32_t>& group : ties) {
    std::vector<uint32_t> mapped;
    for (const uint32_t position : group) {
      const auto it = std::lower_bound(positions.begin(), positions.end(), position);
      mapped.push_back(static_cast<uint32_t>(it - positions.begin()));
    }
    part.ties.push_back(std::move(mapped));
  }
  return part;
}

// The ties of each shard: all members of a group are in the shard of its first one.
std::vector<Ties> TiesByShard(const LayoutInput& input,
                              const std::vector<std::vector<uint32_t>>& shards) {
  std::vector<uint32_t> shard_of(input.tensors.size());
  for (uint32_t i = 0; i < shards.size(); ++i) {
    for (const uint32_t position : shards[i]) shard_of[position] = i;
  }
  std::vector<Ties> ties(shards.size());
  for (const std::vector<uint32_t>& group : input.ties) ties[shard_of[group[0]]].push_back(group);
  return ties;
}

uint64_t TotalSize(const LayoutInput& input) {
  const std::vector<uint32_t> twins = TieRepresentatives(input.tensors.size(), input.ties);
  uint64_t total = 0;
  for (uint32_t i = 0; i < twins.size(); ++i) {
    if (twins[i] == i) total += CheckedTensorBytes(input.tensors[i].spec);
  }
  return total;
}

void AddIndex(const LayoutInput& input, const std::vector<std::vector<uint32_t>>& shards,
              const ShardedFormat& format, ShardedLayout* out) {
  std::vector<std::pair<std::string, std::string>> weight_map;
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const uint32_t position : shards[i]) {
      weight_map.emplace_back(input.tensors[position].spec.key, out->shards[i].name);
    }
  }
  out->index_name = absl::StrCat(format.stem, format.extension, ".index.json");
  out->index_text = ShardIndexText(TotalSize(input), std::move(weight_map));
  out->size_bytes += out->index_text.size();
}

}  // namespace

std::vector<std::vector<uint32_t>> SplitIntoShards(const LayoutInput& input,
                                                   uint64_t max_shard_bytes) {
  const std::vector<uint32_t> twins = TieRepresentatives(input.tensors.size(), input.ties);
  std::vector<std::vector<uint32_t>> shards;
  std::vector<uint32_t> shard_of(input.tensors.size());
  std::vector<uint32_t> current;
  uint64_t current_bytes = 0;
  const auto close = [&](std::vector<uint32_t> shard) {
    for (const uint32_t position : shard) shard_of[position] = static_cast<uint32_t>(shards.size());
    shards.push_back(std::move(shard));
  };
  for (uint32_t i = 0; i < twins.size(); ++i) {
    if (twins[i] != i) continue;
    const uint64_t size = CheckedTensorBytes(input.tensors[i].spec);
    if (size > max_shard_bytes) {
      close({i});
      continue;
    }
    if (size > max_shard_bytes - current_bytes) {
      close(std::exchange(current, {}));
      current_bytes = 0;
    }
    current.push_back(i);
    current_bytes += size;
  }
  if (!current.empty() || shards.empty()) close(std::move(current));
  for (uint32_t i = 0; i < twins.size(); ++i) {
    if (twins[i] != i) shards[shard_of[twins[i]]].push_back(i);
  }
  for (std::vector<uint32_t>& shard : shards) std::sort(shard.begin(), shard.end());
  return shards;
}

bool CanShard(Format format) { return Find(format) != nullptr; }

bool IsShardedName(absl::string_view name) {
  return std::any_of(kSharded.begin(), kSharded.end(), [&](const ShardedFormat& format) {
    const std::string whole = absl::StrCat(format.stem, format.extension);
    if (name == whole || name == absl::StrCat(whole, ".index.json")) return true;
    const std::optional<ShardName> shard = ParseShardName(name);
    return shard && shard->stem == format.stem && shard->suffix == format.extension;
  });
}

absl::StatusOr<ShardedLayout> LayOutShards(Format format, const LayoutInput& input,
                                           uint64_t max_shard_bytes, const Limits& limits) {
  const ShardedFormat* sharded = Find(format);
  if (sharded == nullptr) {
    return UnsupportedError("format is ", FormatName(format),
                            ", which is not written in shards, want safetensors or pytorch");
  }
  const std::vector<std::vector<uint32_t>> shards = SplitIntoShards(input, max_shard_bytes);
  if (shards.size() > limits.shards_max) {
    return LimitError("at most ", max_shard_bytes, " bytes a shard make ", shards.size(),
                      " shards, want at most ", limits.shards_max, " (shards_max)");
  }
  const std::vector<Ties> ties = TiesByShard(input, shards);
  ShardedLayout out;
  for (size_t i = 0; i < shards.size(); ++i) {
    ASSIGN_OR_RETURN(FileLayout layout, LayOut(format, Part(input, ties[i], shards[i]), limits));
    out.size_bytes += layout.size_bytes;
    for (const std::string& warning : layout.warnings) {
      if (std::find(out.warnings.begin(), out.warnings.end(), warning) == out.warnings.end()) {
        out.warnings.push_back(warning);
      }
    }
    out.shards.push_back(
        {ShardFileName(sharded->stem, i, shards.size(), sharded->extension), std::move(layout)});
  }
  if (shards.size() > 1) AddIndex(input, shards, *sharded, &out);
  return out;
}

}  // namespace ballast

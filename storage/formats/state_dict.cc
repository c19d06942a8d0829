#include "storage/formats/state_dict.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"
#include "storage/formats/json_text.h"

namespace ballast {
namespace {

// Equal for entries that are tied. Borrows the entry.
struct TieKey {
  const SourceEntry* entry;
  auto Fields() const {
    return std::tie(entry->storage, entry->offset_bytes, entry->spec.dtype, entry->spec.shape,
                    entry->strides, entry->conjugate, entry->negative);
  }
  friend bool operator==(const TieKey& a, const TieKey& b) { return a.Fields() == b.Fields(); }
  template <typename H>
  friend H AbslHashValue(H h, const TieKey& key) {
    return H::combine(std::move(h), key.Fields());
  }
};

constexpr uint32_t kDropped = UINT32_MAX;

// Old index → new index, for what is kept.
std::vector<uint32_t> NewIndices(const std::vector<bool>& keep) {
  std::vector<uint32_t> out(keep.size(), kDropped);
  uint32_t next = 0;
  for (size_t i = 0; i < keep.size(); ++i) {
    if (keep[i]) out[i] = next++;
  }
  return out;
}

template <typename T>
void Filter(const std::vector<bool>& keep, std::vector<T>* items) {
  size_t kept = 0;
  for (size_t i = 0; i < items->size(); ++i) {
    if (keep[i] && kept++ != i) (*items)[kept - 1] = std::move((*items)[i]);
  }
  items->resize(kept);
}

// Calls fn(prefix) for the dictionaries that `path` stands in, from the inside out,
// until it returns true. "a.b.c" stands in "a.b", "a" and "".
template <typename F>
void ForEachParent(absl::string_view path, F fn) {
  while (!path.empty()) {
    const size_t dot = path.rfind('.');
    path = dot == absl::string_view::npos ? absl::string_view() : path.substr(0, dot);
    if (fn(path)) return;
  }
}

// A leaf goes where the tensors nearest to it go: it is kept if a tensor is kept in
// the innermost of its dictionaries that has tensors.
void FilterLeaves(const std::vector<bool>& keep, SourceStateDict* dict) {
  if (dict->leaves.empty()) return;
  struct Found {
    bool any = false;
    bool kept = false;
  };
  absl::flat_hash_map<absl::string_view, Found> parents;
  for (const SourceLeaf& leaf : dict->leaves) {
    ForEachParent(leaf.path,
                  [&](absl::string_view parent) { return !parents.try_emplace(parent).second; });
  }
  for (size_t i = 0; i < keep.size(); ++i) {
    ForEachParent(dict->entries[i].spec.key, [&](absl::string_view parent) {
      if (auto it = parents.find(parent); it != parents.end()) {
        it->second.any = true;
        it->second.kept |= keep[i];
      }
      return false;
    });
  }
  std::vector<bool> keep_leaf(dict->leaves.size(), true);
  for (size_t i = 0; i < keep_leaf.size(); ++i) {
    ForEachParent(dict->leaves[i].path, [&](absl::string_view parent) {
      const Found& found = parents[parent];
      if (found.any) keep_leaf[i] = found.kept;
      return found.any;
    });
  }
  Filter(keep_leaf, &dict->leaves);
}

// Names under which training tools put the weights of a checkpoint, and whether
// the name alone tells: a module may well have a member called `model`.
struct WeightsName {
  absl::string_view name;
  bool sure;
};
constexpr std::array kWeightsNames = {WeightsName{"state_dict", true},
                                      WeightsName{"model_state_dict", true},
                                      WeightsName{"model_state", true},
                                      WeightsName{"net_state_dict", true},
                                      WeightsName{"network_state_dict", true},
                                      WeightsName{"model", false},
                                      WeightsName{"module", false},
                                      WeightsName{"net", false},
                                      WeightsName{"network", false},
                                      WeightsName{"weights", false},
                                      WeightsName{"params", false}};

struct LeafNames {
  size_t count = 0;
  std::string names;  // "epoch (int), lr (float) and 5 more"
};

// Of the leaves that have a JSON form, or of those that have none.
LeafNames NameLeaves(const std::vector<SourceLeaf>& leaves, bool with_json) {
  constexpr size_t kNamed = 5;
  constexpr size_t kNameBytes = 100;
  LeafNames out;
  for (const SourceLeaf& leaf : leaves) {
    if (leaf.json.empty() == with_json || ++out.count > kNamed) continue;
    absl::StrAppend(&out.names, out.count == 1 ? "" : ", ",
                    Printable(Utf8Prefix(leaf.path, kNameBytes)), " (",
                    Printable(Utf8Prefix(leaf.type, kNameBytes)), ")");
  }
  if (out.count > kNamed) absl::StrAppend(&out.names, " and ", out.count - kNamed, " more");
  return out;
}

bool IsUnder(absl::string_view key, absl::string_view prefix) {
  return absl::ConsumePrefix(&key, prefix) && absl::StartsWith(key, ".");
}

}  // namespace

void AddContiguousEntry(TensorSpec spec, uint64_t offset_bytes, uint64_t size_bytes,
                        SourceStateDict* dict) {
  SourceStorage& storage = dict->storages.emplace_back();
  storage.offset_bytes = offset_bytes;
  storage.stored_bytes = storage.size_bytes = size_bytes;
  SourceEntry& entry = dict->entries.emplace_back();
  entry.spec = std::move(spec);
  entry.storage = static_cast<uint32_t>(dict->storages.size() - 1);
}

Ties FindTies(const std::vector<SourceEntry>& entries) {
  absl::flat_hash_map<TieKey, uint32_t> first;
  absl::flat_hash_map<uint32_t, size_t> group_of;
  Ties ties;
  for (uint32_t i = 0; i < entries.size(); ++i) {
    if (CheckedTensorBytes(entries[i].spec) == 0) continue;
    const auto [it, inserted] = first.try_emplace(TieKey{&entries[i]}, i);
    if (inserted) continue;
    const auto [group, fresh] = group_of.try_emplace(it->second, ties.size());
    if (fresh) ties.push_back({it->second});
    ties[group->second].push_back(i);
  }
  std::sort(ties.begin(), ties.end());
  return ties;
}

std::string LeavesJson(const std::vector<SourceLeaf>& leaves) {
  if (leaves.empty()) return "";
  std::string out;
  for (const SourceLeaf& leaf : leaves) {
    absl::StrAppend(&out, out.empty() ? "[" : ",", "{\"path\":", JsonString(leaf.path),
                    ",\"type\":", JsonString(leaf.type));
    if (!leaf.json.empty()) absl::StrAppend(&out, ",\"value\":", leaf.json);
    if (!leaf.text.empty()) absl::StrAppend(&out, ",\"text\":", JsonString(leaf.text));
    out += '}';
  }
  out += ']';
  return out;
}

std::vector<std::string> LeafWarnings(const std::vector<SourceLeaf>& leaves) {
  std::vector<std::string> warnings;
  const LeafNames kept = NameLeaves(leaves, true);
  const LeafNames lost = NameLeaves(leaves, false);
  if (kept.count > 0) {
    warnings.push_back(absl::StrCat(
        kept.count,
        kept.count == 1 ? " value that is not a tensor is" : " values that are not tensors are",
        " kept as JSON beside the version and left out of what is pulled: ", kept.names));
  }
  if (lost.count > 0) {
    warnings.push_back(absl::StrCat(
        lost.count,
        lost.count == 1 ? " value that is not a tensor is" : " values that are not tensors are",
        " left out, without JSON form: ", lost.names));
  }
  return warnings;
}

void KeepEntries(const std::vector<bool>& keep, SourceStateDict* dict) {
  FilterLeaves(keep, dict);
  const std::vector<uint32_t> new_entry = NewIndices(keep);
  Ties ties;
  for (std::vector<uint32_t>& group : dict->ties) {
    std::vector<uint32_t> kept;
    for (const uint32_t index : group) {
      if (new_entry[index] != kDropped) kept.push_back(new_entry[index]);
    }
    if (kept.size() > 1) ties.push_back(std::move(kept));
  }
  dict->ties = std::move(ties);
  Filter(keep, &dict->entries);
  std::vector<bool> used(dict->storages.size());
  for (const SourceEntry& entry : dict->entries) used[entry.storage] = true;
  const std::vector<uint32_t> new_storage = NewIndices(used);
  for (SourceEntry& entry : dict->entries) entry.storage = new_storage[entry.storage];
  Filter(used, &dict->storages);
}

std::string AdapterHint(const SourceStateDict& dict) {
  const auto is_lora = [](const SourceEntry& entry) {
    return absl::StrContains(entry.spec.key, ".lora_") || absl::StartsWith(entry.spec.key, "lora_");
  };
  const auto others = std::count_if(dict.entries.begin(), dict.entries.end(),
                                    [&](const SourceEntry& entry) { return !is_lora(entry); });
  if (others * 2 > static_cast<ptrdiff_t>(dict.entries.size()) || dict.entries.empty()) return "";
  return "most keys say lora_: these are the weights of an adapter, not those of a whole model";
}

std::string SelectHint(const SourceStateDict& dict) {
  absl::string_view first_key;
  for (const SourceEntry& entry : dict.entries) {
    if (entry.spec.role != Role::kWeights) continue;
    first_key = entry.spec.key;
    break;
  }
  for (const WeightsName& candidate : kWeightsNames) {
    if (!IsUnder(first_key, candidate.name)) continue;
    bool outside = std::any_of(dict.leaves.begin(), dict.leaves.end(), [&](const auto& leaf) {
      return !IsUnder(leaf.path, candidate.name);
    });
    for (const SourceEntry& entry : dict.entries) {
      const bool under = IsUnder(entry.spec.key, candidate.name);
      if (!under && entry.spec.role == Role::kWeights) return "";
      outside |= !under;
    }
    if (!candidate.sure && !outside) return "";
    return absl::StrCat("weights are under `", candidate.name, "`; --select ", candidate.name);
  }
  return "";
}

}  // namespace ballast

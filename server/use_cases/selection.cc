#include "server/use_cases/selection.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Renumbers ties after entries have gone; groups of one are no ties.
Ties RemapTies(const Ties& ties, const std::vector<bool>& keep) {
  std::vector<uint32_t> position(keep.size());
  uint32_t next = 0;
  for (size_t i = 0; i < keep.size(); ++i) position[i] = keep[i] ? next++ : 0;
  Ties out;
  for (const std::vector<uint32_t>& group : ties) {
    std::vector<uint32_t> mapped;
    for (const uint32_t index : group) {
      if (keep[index]) mapped.push_back(position[index]);
    }
    if (mapped.size() > 1) out.push_back(std::move(mapped));
  }
  return out;
}

void Keep(const std::vector<bool>& keep, Manifest* manifest) {
  manifest->ties = RemapTies(manifest->ties, keep);
  size_t i = 0;
  std::erase_if(manifest->entries, [&](const ManifestEntry&) { return !keep[i++]; });
}

template <typename Entries>
std::vector<std::string> KeysOf(const Entries& entries) {
  std::vector<std::string> keys;
  keys.reserve(entries.size());
  for (const auto& entry : entries) keys.push_back(entry.spec.key);
  return keys;
}

template <typename Entries>
std::vector<TensorSpec> GatedSpecsOf(const Entries& entries) {
  const bool any_weights = std::any_of(entries.begin(), entries.end(), [](const auto& entry) {
    return entry.spec.role == Role::kWeights;
  });
  std::vector<TensorSpec> specs;
  specs.reserve(entries.size());
  for (const auto& entry : entries) {
    if (!any_weights || entry.spec.role == Role::kWeights) specs.push_back(entry.spec);
  }
  return specs;
}

template <typename Entries>
absl::StatusOr<std::vector<bool>> Rename(const KeyRules& rules, Entries* entries) {
  ASSIGN_OR_RETURN(std::vector<KeyDecision> decisions, rules.ApplyAll(KeysOf(*entries)));
  std::vector<bool> keep(entries->size());
  for (size_t i = 0; i < keep.size(); ++i) {
    keep[i] = decisions[i].keep;
    if (keep[i]) (*entries)[i].spec.key = std::move(decisions[i].key);
  }
  return keep;
}

}  // namespace

absl::Status ApplyRules(const KeyRules& rules, Manifest* manifest) {
  if (rules.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<bool> keep, Rename(rules, &manifest->entries));
  Keep(keep, manifest);
  manifest->metadata_json = SelectMetadata(rules.select(), manifest->metadata_json);
  return absl::OkStatus();
}

absl::Status ApplyRules(const KeyRules& rules, SourceStateDict* dict) {
  if (rules.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<bool> keep, Rename(rules, &dict->entries));
  KeepEntries(keep, dict);
  dict->metadata_json = SelectMetadata(rules.select(), dict->metadata_json);
  return absl::OkStatus();
}

void KeepWeights(Manifest* manifest) {
  std::vector<bool> keep(manifest->entries.size());
  bool any = false;
  for (size_t i = 0; i < keep.size(); ++i) {
    keep[i] = manifest->entries[i].spec.role == Role::kWeights;
    any |= keep[i];
  }
  if (any) Keep(keep, manifest);
}

absl::Status KeepOnly(const std::string& key, Manifest* manifest) {
  std::vector<ManifestEntry>& entries = manifest->entries;
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const ManifestEntry& entry) {
    return entry.spec.key == key;
  });
  if (found == entries.end()) {
    return absl::NotFoundError(
        absl::StrCat("no key is ", QuotedKey(key), "; ", NearestKeysText(key, KeysOf(entries))));
  }
  ManifestEntry kept = std::move(*found);
  entries.clear();
  entries.push_back(std::move(kept));
  manifest->ties.clear();
  manifest->metadata_json.clear();
  manifest->leaves_json.clear();
  return absl::OkStatus();
}

std::vector<TensorSpec> GatedSpecs(const Manifest& manifest) {
  return GatedSpecsOf(manifest.entries);
}
std::vector<TensorSpec> GatedSpecs(const SourceStateDict& dict) {
  return GatedSpecsOf(dict.entries);
}

}  // namespace ballast

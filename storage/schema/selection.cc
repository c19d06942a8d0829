#include "storage/schema/selection.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
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

std::vector<std::string> KeysOf(const Manifest& manifest) {
  std::vector<std::string> keys;
  keys.reserve(manifest.entries.size());
  for (const ManifestEntry& entry : manifest.entries) keys.push_back(entry.spec.key);
  return keys;
}

}  // namespace

absl::Status ApplyRules(const KeyRules& rules, Manifest* manifest) {
  if (rules.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<KeyDecision> decisions, rules.ApplyAll(KeysOf(*manifest)));
  std::vector<bool> keep(decisions.size());
  for (size_t i = 0; i < keep.size(); ++i) {
    keep[i] = decisions[i].keep;
    if (keep[i]) manifest->entries[i].spec.key = std::move(decisions[i].key);
  }
  Keep(keep, manifest);
  manifest->metadata_json = SelectMetadata(rules.select(), manifest->metadata_json);
  return absl::OkStatus();
}

std::string SelectMetadata(absl::string_view path, const std::string& metadata_json) {
  if (path.empty() || metadata_json.empty()) return metadata_json;
  using Json = nlohmann::ordered_json;
  const Json all = Json::parse(metadata_json, nullptr, /*allow_exceptions=*/false);
  if (!all.is_object()) return metadata_json;
  Json kept = Json::object();
  for (const auto& [key, value] : all.items()) {
    absl::string_view rest = key;
    if (!absl::ConsumePrefix(&rest, path)) continue;
    if (rest.empty() || absl::ConsumePrefix(&rest, ".")) kept[std::string(rest)] = value;
  }
  return kept.empty() ? "" : kept.dump();
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
        absl::StrCat("no key is ", QuotedKey(key), "; ", NearestKeysText(key, KeysOf(*manifest))));
  }
  ManifestEntry kept = std::move(*found);
  entries.clear();
  entries.push_back(std::move(kept));
  manifest->ties.clear();
  manifest->metadata_json.clear();
  manifest->leaves_json.clear();
  return absl::OkStatus();
}

absl::Status SelectEntries(const KeyRuleOptions& rules, bool with_optimizer, const Limits& limits,
                           Manifest* manifest, std::vector<std::string>* warnings) {
  const size_t all = manifest->entries.size();
  if (!with_optimizer) KeepWeights(manifest);
  if (const size_t left_out = all - manifest->entries.size(); left_out > 0) {
    warnings->push_back(absl::StrCat(left_out, " entries that are not weights were left out"));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<KeyRules> compiled, KeyRules::Compile(rules, limits));
  return ApplyRules(*compiled, manifest);
}

}  // namespace ballast

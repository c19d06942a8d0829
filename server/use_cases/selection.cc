#include "server/use_cases/selection.h"

#include <algorithm>
#include <string>
#include <utility>

#include "storage/base/status.h"

namespace ballast {
namespace {

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

}  // namespace

absl::Status ApplyRules(const KeyRules& rules, SourceStateDict* dict) {
  if (rules.empty()) return absl::OkStatus();
  std::vector<std::string> keys;
  keys.reserve(dict->entries.size());
  for (const SourceEntry& entry : dict->entries) keys.push_back(entry.spec.key);
  ASSIGN_OR_RETURN(std::vector<KeyDecision> decisions, rules.ApplyAll(keys));
  std::vector<bool> keep(decisions.size());
  for (size_t i = 0; i < keep.size(); ++i) {
    keep[i] = decisions[i].keep;
    if (keep[i]) dict->entries[i].spec.key = std::move(decisions[i].key);
  }
  KeepEntries(keep, dict);
  dict->metadata_json = SelectMetadata(rules.select(), dict->metadata_json);
  return absl::OkStatus();
}

std::vector<TensorSpec> GatedSpecs(const Manifest& manifest) {
  return GatedSpecsOf(manifest.entries);
}
std::vector<TensorSpec> GatedSpecs(const SourceStateDict& dict) {
  return GatedSpecsOf(dict.entries);
}

}  // namespace ballast

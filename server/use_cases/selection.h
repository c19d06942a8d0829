// Which entries of a version or file a call is about, and under which keys.
#ifndef BALLAST_SERVER_USE_CASES_SELECTION_H_
#define BALLAST_SERVER_USE_CASES_SELECTION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"
#include "storage/model/manifest.h"
#include "storage/schema/key_rules.h"

namespace ballast {

// Applies the rules to a manifest: entries that are not kept go, keys change, ties
// follow. The rest of the manifest stays.
// Errors: those of KeyRules::ApplyAll.
absl::Status ApplyRules(const KeyRules& rules, Manifest* manifest);
// The same for what a reader found.
absl::Status ApplyRules(const KeyRules& rules, SourceStateDict* dict);

// Drops the entries whose role is other, unless there are no weights.
void KeepWeights(Manifest* manifest);

// Drops all entries but the one of exactly this key, and what only a whole file needs.
// Errors: NotFound  names the nearest keys.
absl::Status KeepOnly(const std::string& key, Manifest* manifest);

// The specs that a schema is compared with: those of the weights, or of everything
// if there are no weights.
std::vector<TensorSpec> GatedSpecs(const Manifest& manifest);
std::vector<TensorSpec> GatedSpecs(const SourceStateDict& dict);

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_SELECTION_H_

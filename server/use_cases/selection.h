// Which entries of a file a call is about, and what a schema is compared with; of a version:
// storage/schema/selection.h.
#ifndef BALLAST_SERVER_USE_CASES_SELECTION_H_
#define BALLAST_SERVER_USE_CASES_SELECTION_H_

#include <vector>

#include "absl/status/status.h"
#include "storage/formats/state_dict.h"
#include "storage/model/manifest.h"
#include "storage/schema/key_rules.h"
#include "storage/schema/selection.h"

namespace ballast {

// Applies the rules to what a reader found. Errors: those of KeyRules::ApplyAll.
absl::Status ApplyRules(const KeyRules& rules, SourceStateDict* dict);

// The specs that a schema is compared with: those of the weights, or of everything
// if there are no weights.
std::vector<TensorSpec> GatedSpecs(const Manifest& manifest);
std::vector<TensorSpec> GatedSpecs(const SourceStateDict& dict);

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_SELECTION_H_

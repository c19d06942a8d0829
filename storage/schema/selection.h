// Which entries of a version a pull is about, and under which keys: the same for the server
// that lays a file out and for a client that lays it out itself.
#ifndef BALLAST_STORAGE_SCHEMA_SELECTION_H_
#define BALLAST_STORAGE_SCHEMA_SELECTION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"
#include "storage/model/manifest.h"
#include "storage/schema/key_rules.h"

namespace ballast {

// Applies the rules to a manifest: entries that are not kept go, keys change, ties
// follow. The rest of the manifest stays.
// Errors: those of KeyRules::ApplyAll.
absl::Status ApplyRules(const KeyRules& rules, Manifest* manifest);

// `_metadata` of the subtree at `path`: its module prefixes lose `path`, others go.
// What is not a JSON object stays as it is, and so does everything for an empty path.
std::string SelectMetadata(absl::string_view path, const std::string& metadata_json);

// Drops the entries whose role is other, unless there are no weights.
void KeepWeights(Manifest* manifest);

// Drops all entries but the one of exactly this key, and what only a whole file needs.
// Errors: NotFound  names the nearest keys.
absl::Status KeepOnly(const std::string& key, Manifest* manifest);

// What a pull takes: the weights (`with_optimizer`: all entries), after the rules. Adds to
// `warnings` how many entries were left out because they are no weights.
// Errors: those of KeyRules::Compile and ApplyAll.
absl::Status SelectEntries(const KeyRuleOptions& rules, bool with_optimizer, const Limits& limits,
                           Manifest* manifest, std::vector<std::string>* warnings);

}  // namespace ballast

#endif  // BALLAST_STORAGE_SCHEMA_SELECTION_H_

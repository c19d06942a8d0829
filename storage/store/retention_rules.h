// What a model's retention says of one of its versions.
#ifndef BALLAST_STORAGE_STORE_RETENTION_RULES_H_
#define BALLAST_STORAGE_STORE_RETENTION_RULES_H_

#include <cstdint>

#include "absl/time/time.h"
#include "storage/store/catalog_facts.h"

namespace ballast {

// True if a rule keeps the version. `newer`: how many live versions of the model are
// newer; the latest is kept by every retention. Aliases are the caller's to look at.
bool RetentionKeeps(const Retention& rules, const VersionInfo& version, uint64_t newer,
                    absl::Time now);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_RETENTION_RULES_H_

// A manifest in memory, with its share of the budget.
#ifndef BALLAST_SERVER_USE_CASES_HELD_MANIFEST_H_
#define BALLAST_SERVER_USE_CASES_HELD_MANIFEST_H_

#include <memory>

#include "absl/status/statusor.h"
#include "server/services.h"
#include "server/use_cases/memory_budget.h"
#include "storage/model/manifest.h"
#include "storage/store/catalog.h"

namespace ballast {

struct HeldManifest {
  std::unique_ptr<MemoryBudget::Share> memory;  // given back after the manifest is gone
  Manifest manifest;
};

// Waits for room, then reads the version's manifest.
// Errors: NotFound, DataLoss; Unavailable  limits.manifest_memory_bytes.
absl::StatusOr<HeldManifest> LoadManifest(const Services& services, const VersionInfo& version);

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_HELD_MANIFEST_H_

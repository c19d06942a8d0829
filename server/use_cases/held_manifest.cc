#include "server/use_cases/held_manifest.h"

#include "storage/base/status.h"

namespace ballast {

absl::StatusOr<HeldManifest> LoadManifest(const Services& services, const VersionInfo& version) {
  HeldManifest held;
  held.memory = std::make_unique<MemoryBudget::Share>(services.manifest_memory);
  RETURN_IF_ERROR(held.memory->Grow(ManifestMemory(version.entries, version.manifest_bytes)));
  ASSIGN_OR_RETURN(held.manifest, services.catalog->GetManifest(version));
  return held;
}

}  // namespace ballast

// How much of a version is its own: what deleting it would free.
#ifndef BALLAST_STORAGE_STORE_VERSION_USE_H_
#define BALLAST_STORAGE_STORE_VERSION_USE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "storage/base/limits.h"
#include "storage/store/blob_store.h"
#include "storage/store/catalog_facts.h"
#include "storage/store/record_store.h"

namespace ballast {

struct VersionUse {
  uint64_t exclusive_bytes = 0;  // no other version uses them, deleted ones included
  uint64_t shared_bytes = 0;
};

// Reads the manifests of other versions, those of the same model first, until nothing
// is left that could be shared.
// Errors: ResourceExhausted  that is more than limits.usage_manifest_bytes_max.
//         NotFound  the version is not live. DataLoss, Unavailable.
absl::StatusOr<VersionUse> MeasureVersion(BlobStore* blobs, RecordStore* records,
                                          const Limits& limits, const VersionInfo& version);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_VERSION_USE_H_

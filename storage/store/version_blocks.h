// Which blocks a version consists of.
#ifndef BALLAST_STORAGE_STORE_VERSION_BLOCKS_H_
#define BALLAST_STORAGE_STORE_VERSION_BLOCKS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "storage/base/digest.h"
#include "storage/base/limits.h"
#include "storage/store/blob_store.h"
#include "storage/store/version_record.h"

namespace ballast {

// Calls `each` for the blocks that hold the version's manifest, then for those that the
// manifest names; a block that is used twice comes twice.
// Errors: as LoadManifest.
absl::Status ForEachBlock(BlobStore* blobs, const VersionRecord& record, const Limits& limits,
                          const std::function<void(const Digest&, uint64_t size_bytes)>& each);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_VERSION_BLOCKS_H_

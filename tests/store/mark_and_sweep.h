// Garbage collection in its plainest form, to test what it needs from the stores.
#ifndef BALLAST_TESTS_STORE_MARK_AND_SWEEP_H_
#define BALLAST_TESTS_STORE_MARK_AND_SWEEP_H_

#include "absl/status/statusor.h"
#include "storage/store/catalog.h"

namespace ballast {

// Raises the epoch, fences the pushes begun before it, marks from all versions and
// schemas, and removes what is neither marked nor of the new epoch. Returns how many
// blocks went. Not `careful`: no fence, and everything unmarked goes (the control
// that must lose blocks).
absl::StatusOr<uint64_t> MarkAndSweep(Catalog* catalog, BlobStore* blobs, RecordStore* records,
                                      bool careful = true);

}  // namespace ballast

#endif  // BALLAST_TESTS_STORE_MARK_AND_SWEEP_H_

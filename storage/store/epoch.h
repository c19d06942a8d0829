// The epoch of garbage collection, kept in the record `gc`. It only grows.
#ifndef BALLAST_STORAGE_STORE_EPOCH_H_
#define BALLAST_STORAGE_STORE_EPOCH_H_

#include "absl/status/statusor.h"
#include "storage/store/blob_store.h"
#include "storage/store/record_store.h"

namespace ballast {

// 1 if it was never raised. Errors: DataLoss  it is no number. Unavailable.
absl::StatusOr<Epoch> CurrentEpoch(RecordStore* records);

// Returns an epoch that the store came to after the call began: whoever reads it from
// now on reads this one or a later one.
// Errors: as CurrentEpoch. Unavailable  also if it cannot be raised.
absl::StatusOr<Epoch> RaiseEpoch(RecordStore* records);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_EPOCH_H_

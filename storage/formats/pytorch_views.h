// What views cost: entries that are windows into a storage get bytes of their own.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_VIEWS_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_VIEWS_H_

#include "absl/status/status.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Adds a warning for every storage that its entries do not take whole and once
// (tied entries count once), and counts the bytes that reading makes beyond
// those stored: expanded and overlapping views, inflated records.
// Errors: ResourceExhausted  more than limits.materialized_bytes_max of them.
absl::Status CheckViews(const Limits& limits, SourceStateDict* dict);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_VIEWS_H_

// What every PyTorch container does once its pickle has been run: tensors and other
// values are listed, storages located, ties found and views bounded.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_OBJECT_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_OBJECT_H_

#include "absl/status/status.h"
#include "storage/base/limits.h"
#include "storage/formats/pickle_value.h"
#include "storage/formats/pytorch_tensors.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Fills all of `dict` but its format and writer.
// Errors: as pytorch_walk.h, pytorch_views.h and the locator have them.
absl::Status ReadPickledObject(const PickleGraph& graph, const Limits& limits,
                               StorageLocator* locator, SourceStateDict* dict);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_OBJECT_H_

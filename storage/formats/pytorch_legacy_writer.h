// Writes state dicts as torch.save did before 1.6, and does still with
// _use_new_zipfile_serialization=False: for readers that know no zip. Every torch since
// 0.4 loads them, with weights_only since 1.13.
//
// Layout:  as pytorch_legacy.h has it. The object is that of pytorch_pickle.h. A storage's
//          key is its number, with zeros in front so that the sorted list of keys (torch
//          sorts them as strings) is the order of the version; torch has addresses there.
// Source:  torch/serialization.py, `_legacy_save`.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_LEGACY_WRITER_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_LEGACY_WRITER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/base/limits.h"
#include "storage/formats/layout.h"
#include "storage/model/dtype.h"

namespace ballast {

// True for dtypes with a storage class of their own: `_legacy_load` of no torch knows an
// untyped storage.
bool PyTorchLegacyHasDType(DType dtype);

// Linear in the number of tensors. Needs no CRCs. `input` has no dtypes but those.
// Errors: InvalidArgument    metadata_json is not an object of plain JSON.
//         ResourceExhausted  the file would have more than 2^64-1 bytes.
absl::StatusOr<FileLayout> LayOutPyTorchLegacy(const LayoutInput& input, const Limits& limits);

// True if these keys, in the order of their data, are those of LayOutPyTorchLegacy.
bool AreOurLegacyKeys(const std::vector<std::string>& keys);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_LEGACY_WRITER_H_

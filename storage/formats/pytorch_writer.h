// Writes state dicts as torch.save does, so that every torch since 1.6 loads them,
// with weights_only since 1.13.
//
// Layout:  archive/data.pkl | archive/byteorder | archive/data/0 … | archive/version
//          as stored zip records (zip_layout.h); data.pkl as pytorch_pickle.h has it.
// Source:  torch/serialization.py.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_WRITER_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_WRITER_H_

#include "absl/status/statusor.h"
#include "storage/base/limits.h"
#include "storage/formats/layout.h"
#include "storage/model/dtype.h"

namespace ballast {

// False for quantised dtypes (their scale is not kept) and those that torch lacks.
bool PyTorchHasDType(DType dtype);

// Linear in the number of tensors. CRCs that are not known become holes, in the
// descriptors and in the directory: behind the data.
// Errors: Unimplemented/UNSUPPORTED  dtypes that the format lacks, with the first keys.
//         InvalidArgument            metadata_json is not an object of plain JSON.
//         ResourceExhausted          the file would have more than 2^64-1 bytes.
absl::StatusOr<FileLayout> LayOutPyTorch(const LayoutInput& input, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_WRITER_H_

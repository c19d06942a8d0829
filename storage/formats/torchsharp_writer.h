// Lays state dicts out as TorchSharp module files. torchsharp_parser.h has the byte
// layout; numbers are written in their shortest form and entries in the order of
// the version, so a minimally encoded .dat comes back byte for byte.
#ifndef BALLAST_STORAGE_FORMATS_TORCHSHARP_WRITER_H_
#define BALLAST_STORAGE_FORMATS_TORCHSHARP_WRITER_H_

#include "absl/status/statusor.h"
#include "storage/base/limits.h"
#include "storage/formats/layout.h"

namespace ballast {

// Tied tensors are written once per key: the format has no sharing. `_metadata` is
// lost. The dtypes of `input` must be TorchSharp's (LayOut checks it).
absl::StatusOr<FileLayout> LayOutTorchSharp(const LayoutInput& input, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_TORCHSHARP_WRITER_H_

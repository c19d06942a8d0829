// Reads TorchSharp's native files: modules, single tensors and optimizer states.
// torchsharp_parser.h and torchsharp_optimizer.h have the byte layouts.
#ifndef BALLAST_STORAGE_FORMATS_TORCHSHARP_READER_H_
#define BALLAST_STORAGE_FORMATS_TORCHSHARP_READER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/reader.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// A module file, by its structure alone: it must end exactly at the end of the
// source. Data is skipped, so bytes of bool tensors are not checked here (the
// TensorSource does).
// Errors: InvalidArgument/TRUNCATED, MALFORMED; Unimplemented; ResourceExhausted.
absl::StatusOr<SourceStateDict> ReadTorchSharp(const ByteSource& source, const Limits& limits);

// One bare tensor record, as TensorExtensionMethods.Save writes it; its key is "".
// Errors: as ReadTorchSharp.
absl::StatusOr<SourceStateDict> ReadTorchSharpTensor(const ByteSource& source,
                                                     const Limits& limits);

// A module file front to back. Bool bytes other than 0 and 1 are refused by Read.
std::unique_ptr<ForwardReader> OpenTorchSharpForward(ByteStream* stream, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_TORCHSHARP_READER_H_

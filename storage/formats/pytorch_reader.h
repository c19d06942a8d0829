// Reads the zip archives that torch.save has written since 1.4, and TorchScript.
//
// Layout:  <prefix>/data.pkl       the pickled object (pickle_machine.h)
//          <prefix>/data/<key>     raw bytes of a storage
//          <prefix>/version        "1" … "10"
//          <prefix>/byteorder      "little" or "big"; absent before 2.1
//          <prefix>/constants.pkl  in TorchScript only
//          other records are ignored
// Source:  torch/serialization.py, caffe2/serialize/inline_container.cc. Stricter:
//   the container                 as zip_reader.h says; one prefix for all records
//   data.pkl                      nothing behind its STOP
//   a storage's record            exactly as long as the pickle says
//   constants.pkl beside a pickle that is no TorchScript object   refused: it would
//                                 send torch.load down another road
//
// Errors: InvalidArgument    the container, the pickle or a tensor is malformed or
//                            unsafe; WRONG_FORMAT names another kind of zip.
//         Unimplemented      tensors that are not dense and plain; old TorchScript.
//         ResourceExhausted  a limit of zip_reader.h, pickle_machine.h, pytorch_walk.h;
//                            materialized_bytes_max: views and inflated records.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_READER_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_READER_H_

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// The result's format is kPyTorch or kTorchScript.
absl::StatusOr<SourceStateDict> ReadPyTorch(const ByteSource& source, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_READER_H_

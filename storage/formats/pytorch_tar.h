// Reads the tar archives that torch.save wrote before 0.1.10.
//
// Layout:  sys_info  pickle  {"protocol_version": 1000, …}; not needed
//          storages  pickle  how many; then for each:
//                      pickle  (key, location, class)
//                      i64     numel; then the bytes of the elements
//                    pickle  [(key, key of its storage, offset, numel), …]: views
//          tensors   pickle  how many; then for each:
//                      pickle  (key, key of its storage or view, class)
//                      i32     number of dims; 4 bytes that mean nothing
//                      i64     dims, strides, offset; in elements
//          pickle    the object; its persistent ids are keys of tensors and storages, in
//                    decimal, and (class, file, source)           pickle_machine.h
//          Integers are little-endian; keys are ints.
// Source:  torch/serialization.py, `legacy_load` in `_legacy_load`. Stricter:
//   the archive   as tar_reader.h says; the four members once each, as plain files; others
//                 are not looked at
//   a member      ends where its content does
//   keys          unique among storages, views and tensors; ids name one that is there
//
// Errors: InvalidArgument    MALFORMED, TRUNCATED, CHECKSUM, UNSAFE; WRONG_FORMAT for an
//                            archive of something else.
//         Unimplemented      storages without a dtype here; as tar_reader.h.
//         ResourceExhausted  entries_max storages, views or tensors; dims_max; a limit of
//                            pickle_machine.h, pytorch_walk.h; materialized_bytes_max: views.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_TAR_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_TAR_H_

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"

namespace ballast {

absl::StatusOr<SourceStateDict> ReadPyTorchTar(const ByteSource& source, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_TAR_H_

// Reads state dicts that were pickled with Python's pickle module, without torch.save.
//
// Layout:  one pickle of protocol 3 or later, and nothing behind it. Tensors are rebuilt as in
//          torch.save's pickles, but a storage is no persistent id: it is a call,
//            torch.storage._load_from_bytes(b"…")
//          whose bytes are a stream of torch.save from before 1.6 with that storage as its
//          object (pytorch_legacy.h).
// Source:  torch/storage.py, `TypedStorage.__reduce__`. Stricter:
//   the nested stream  is read by the same code as a file of its own, is one storage, and
//                      nests nothing further; torch would unpickle whatever it finds there
//   protocols 0 to 2   refused, as they have bytes as text: nothing lies in the file as it is
//   no tensor          refused: it is somebody else's pickle
//
// Errors: InvalidArgument    MALFORMED, TRUNCATED, UNSAFE; WRONG_FORMAT  without tensors, or
//                    of scikit-learn, joblib or NumPy.
//         Unimplemented      bytes as text; tensors that are not dense and plain.
//         ResourceExhausted  a limit of pickle_machine.h, pytorch_walk.h;
//                            materialized_bytes_max: views.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_BARE_PICKLE_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_BARE_PICKLE_H_

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"

namespace ballast {

absl::StatusOr<SourceStateDict> ReadBarePickle(const ByteSource& source, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_BARE_PICKLE_H_

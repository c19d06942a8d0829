// Walks what a PyTorch pickle holds and lists its tensors and other values.
//
//   dict, OrderedDict, dict subclass   children by key; ints in decimal
//   list, tuple, deque                 children by index; one leaf, if it holds nothing but
//                                      numbers, strings and None
//   module (an instance whose state has `_parameters`, `_buffers`, `_modules`)
//                                      what state_dict() gives: parameters, persistent
//                                      buffers, then submodules; None left out
//   TorchScript object                 tensor attributes and submodules
//   anything else                      a leaf; tensors inside it are no entries
// Names are joined with "."; a bare tensor has the key "".
//
// Optimizer state and the like gets Role::kOther: what stands under a top-level
// name that training loops use for it, and every dict with `state` and `param_groups`.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_WALK_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_WALK_H_

#include "absl/status/status.h"
#include "storage/base/limits.h"
#include "storage/formats/pickle_value.h"
#include "storage/formats/pytorch_tensors.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Fills dict->entries, leaves, metadata_json and warnings; storages and ties are
// left to the caller. Iterative.
//
// Errors: InvalidArgument    a duplicate or bad key, a cycle, a malformed tensor.
//         FailedPrecondition/AMBIGUOUS  two tensors get the same name.
//         Unimplemented      a tensor of a kind that is not supported, or under a key that
//                            has no text form; a pickle that is no container of tensors.
//         ResourceExhausted  entries_max, key_bytes_max, pickle_depth_max,
//                            pickle_opcodes_max (values met), pickle_memory_bytes_max.
absl::Status WalkPickle(const PickleGraph& graph, const Limits& limits, TensorDecoder* decoder,
                        SourceStateDict* dict);

// True for an instance of a TorchScript class (`__torch__.…`).
bool IsScriptObject(const PickleGraph& graph, PickleRef ref);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_WALK_H_

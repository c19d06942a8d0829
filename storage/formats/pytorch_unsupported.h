// What to say of tensors that are not plain and dense: what they are, and what to save instead.
//
// Why none of them is read: a quantised tensor's integers mean nothing without scale and zero
// point, for which a state dict has no place; the others have their values elsewhere, or none.
// Source: torch/_utils.py (the functions), torch/_tensor.py (`_reduce_ex_internal`).
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_UNSUPPORTED_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_UNSUPPORTED_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/formats/pickle_value.h"

namespace ballast {

// True for classes whose instances hold a part of a tensor, and not all of it.
bool IsShardClass(absl::string_view name);

// Of a tensor that `function` rebuilds from `args`, or that is an instance of such a class.
// Always Unimplemented/UNSUPPORTED.
absl::Status UnsupportedTensor(const PickleGraph& graph, absl::string_view function,
                               absl::Span<const PickleRef> args);

// Of a tensor of a subclass. Always Unimplemented/UNSUPPORTED.
absl::Status UnsupportedTensorClass(absl::string_view name);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_UNSUPPORTED_H_

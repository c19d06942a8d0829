// The state of a TorchSharp optimizer.
//
// Layout:  string(class name) uleb(groups) uleb(states) options*groups state*states
//   options = f64 initial learning rate, f64 learning rate, then as the class has it
//   state   = fields as the class has them; i64, f64, tensor, or
//             cond = bool8, then a tensor if it is not 0
// Source:  TorchSharp Optimizers/Optimizer.cs and each optimizer's Options and
//          State (SaveStateDict).
// The states have no names: state i belongs to the i-th parameter. Files of early
// releases whose options lack `maximize` do not end where the layout says, and are
// refused.
#ifndef BALLAST_STORAGE_FORMATS_TORCHSHARP_OPTIMIZER_H_
#define BALLAST_STORAGE_FORMATS_TORCHSHARP_OPTIMIZER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Tensors become entries "state.<i>.<field>" of role other; numbers become leaves
// "param_groups.<i>.<option>" and "state.<i>.<field>"; the class is the leaf
// "optimizer".
// Errors: InvalidArgument/WRONG_FORMAT  does not begin with a known optimizer name;
//         TRUNCATED, MALFORMED; Unimplemented; ResourceExhausted.
absl::StatusOr<SourceStateDict> ReadTorchSharpOptimizer(const ByteSource& source,
                                                        const Limits& limits);

// True if the first bytes are the name of an optimizer, as such a file begins.
bool BeginsLikeOptimizer(absl::string_view head);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_TORCHSHARP_OPTIMIZER_H_

// Pickled torch.nn.Modules, as inert instances: what their state_dict() would give.
//
// Source: torch/nn/modules/module.py. Custom state_dict overrides and hooks are code,
// which we do not have: the result is a reconstruction.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_MODULE_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_MODULE_H_

#include <vector>

#include "storage/formats/pickle_value.h"
#include "storage/model/tensor_spec.h"

namespace ballast {

// A named value in a container that is being walked.
struct PickleChild {
  PickleRef key = kNoPickleRef;  // kNoPickleRef: named by its index
  PickleRef value = kNoPickleRef;
  Kind kind = Kind::kUnknown;
};

// True for an instance whose state has `_parameters`, `_buffers` and `_modules`.
bool IsPickledModule(const PickleGraph& graph, PickleRef ref);

// Own parameters, own persistent buffers, submodules; values that are None left
// out. `ref` must be a pickled module.
std::vector<PickleChild> ModuleChildren(const PickleGraph& graph, PickleRef ref);

// The dict that BUILD gave an instance, or the first of (dict, slots);
// kNoPickleRef if there is none.
PickleRef InstanceState(const PickleGraph& graph, PickleRef ref);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_MODULE_H_

#include "storage/formats/pytorch_unsupported.h"

#include <array>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/pickle_repr.h"

namespace ballast {
namespace {

constexpr size_t kDetailBytesMax = 120;
constexpr absl::string_view kDense = "t.to_dense()";
constexpr absl::string_view kCpu = "t.cpu()";
constexpr absl::string_view kInitialised = "it once the module has run and the shape is known";

struct Unsupported {
  absl::string_view function;
  absl::string_view what;
  std::optional<size_t> detail;  // the argument that says more
  absl::string_view instead;     // to be saved
};

constexpr std::array kTable = {
    Unsupported{"torch._utils._rebuild_qtensor", "quantised", 4,
                "t.dequantize(), or t.int_repr() with scale and zero point beside it"},
    Unsupported{"torch._utils._rebuild_sparse_tensor", "sparse", 0, kDense},
    Unsupported{"torch._utils._rebuild_sparse_csr_tensor", "sparse", 0, kDense},
    Unsupported{"torch._utils._rebuild_nested_tensor",
                "nested",
                {},
                "torch.nested.to_padded_tensor(t, 0.0), or the parts of t.unbind()"},
    Unsupported{"torch._utils._rebuild_meta_tensor_no_storage",
                "on device meta, without data",
                {},
                "it once the weights are loaded"},
    Unsupported{"torch._utils._rebuild_wrapper_subclass", "a wrapper around other tensors", 0,
                "t.dequantize(), t.full_tensor() or what else makes it plain"},
    Unsupported{
        "torch._utils._rebuild_device_tensor_from_numpy", "a numpy array of a device", {}, kCpu},
    Unsupported{"torch._utils._rebuild_xla_tensor", "a numpy array of a device", {}, kCpu},
    Unsupported{"torch.nn.parameter.UninitializedParameter", "not initialised", {}, kInitialised},
    Unsupported{"torch.nn.parameter.UninitializedBuffer", "not initialised", {}, kInitialised},
    Unsupported{"torch.distributed._shard.sharded_tensor.api.ShardedTensor",
                "one shard of a tensor",
                {},
                "the full state dict, gathered on one rank"},
};

// ('torch.sparse_coo',) → torch.sparse_coo; a class by its name; else as Python prints it.
std::string DetailOf(const PickleGraph& graph, PickleRef ref) {
  if (graph.CalleeIs(ref, "torch.serialization", "_get_layout")) {
    const auto args = graph.items(graph.object(ref)->args);
    if (args.size() == 1 && graph.Is(args[0], PickleKind::kString)) {
      return Printable(graph.text(args[0]).substr(0, kDetailBytesMax));
    }
  }
  return PickleRepr(graph, ref, kDetailBytesMax);
}

}  // namespace

bool IsShardClass(absl::string_view name) { return name == kTable.back().function; }

absl::Status UnsupportedTensor(const PickleGraph& graph, absl::string_view function,
                               absl::Span<const PickleRef> args) {
  for (const Unsupported& known : kTable) {
    if (known.function != function) continue;
    const bool detail = known.detail.has_value() && *known.detail < args.size();
    return UnsupportedError("tensor is rebuilt by ", function, " (", known.what, detail ? ": " : "",
                            detail ? DetailOf(graph, args[*known.detail]) : "",
                            "), want a plain dense tensor; save ", known.instead);
  }
  return UnsupportedError("tensor is rebuilt by ", Printable(function),
                          ", want a plain dense tensor");
}

absl::Status UnsupportedTensorClass(absl::string_view name) {
  return UnsupportedError("tensor is of class ", Printable(name),
                          ", want a plain tensor; save t.as_subclass(torch.Tensor)");
}

}  // namespace ballast

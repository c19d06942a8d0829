// Turns the calls by which torch's pickles rebuild tensors into entries.
//
//   _rebuild_tensor     (storage, offset, size, stride)
//   _rebuild_tensor_v2  (storage, offset, size, stride, requires_grad, hooks[, metadata])
//   _rebuild_tensor_v3  (untyped storage, …, requires_grad, hooks, dtype[, metadata])
//   _rebuild_parameter(_with_state)  (tensor, requires_grad, hooks[, state])
//   _rebuild_from_type(_v2)          (function, type, arguments, state)
//   torch FloatTensor () BUILD (storage, offset, size, stride)          torch 0.1
//   torch.nn.parameter Parameter, torch.autograd.variable Variable      torch 0.1–0.3
//                       (tensor,) BUILD (…), or () BUILD (tensor, …)
//   a persistent id of a tensor that the container describes            tar
// offset and stride count elements. metadata is {"conj": True} and/or {"neg": True}.
//
// Source: torch/_utils.py, torch/_tensor.py, torch/nn/parameter.py. Stricter: numbers
// are numbers (not bools); extents lie inside the storage, overflow-checked; two ids
// of one storage agree; hooks are empty; an unknown tensor subclass is refused.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_TENSORS_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/base/limits.h"
#include "storage/formats/pickle_value.h"
#include "storage/formats/pytorch_storage.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Where a tensor's elements lie in its storage; counted in elements.
struct TensorExtent {
  uint64_t offset = 0;
  std::vector<uint64_t> dims;
  std::vector<uint64_t> strides;
};

// A tensor that the container describes outside of the pickle.
struct OutsideTensor {
  PyTorchStorageId storage;
  TensorExtent extent;
};

// Knows where a container keeps its storages.
class StorageLocator {
 public:
  virtual ~StorageLocator() = default;
  // The storage of this key.
  // Errors: InvalidArgument/MALFORMED  there is none, or its size is not id.size_bytes.
  virtual absl::StatusOr<SourceStorage> Locate(const PyTorchStorageId& id) = 0;
  // What names a storage: a persistent id, unless the container does it otherwise.
  // Errors: as ParseStorageId.
  virtual absl::StatusOr<PyTorchStorageId> StorageId(const PickleGraph& graph, PickleRef ref) {
    return ParseStorageId(graph, ref);
  }
  // The tensor that this persistent id names; null if it names none. Lives as long as
  // the locator.
  virtual const OutsideTensor* FindTensor(const PickleGraph& /*graph*/,
                                          PickleRef /*persistent*/) const {
    return nullptr;
  }
};

// Not thread-safe.
class TensorDecoder {
 public:
  // All must outlive the decoder; the graph must be complete.
  TensorDecoder(const PickleGraph* graph, StorageLocator* locator, const Limits* limits);

  // True if the value is one of the calls above, or another tensor that is
  // refused by Decode.
  bool IsTensor(PickleRef ref) const;

  // The entry, without key and role; its storage is an index into storages().
  // Kind is parameter if it was rebuilt as one.
  // Errors: InvalidArgument    malformed arguments, extent outside the storage.
  //         Unimplemented      quantised, sparse, nested, meta, subclass; names it, and what
  //                            to save instead (pytorch_unsupported.h).
  //         ResourceExhausted  dims_max, tensor_bytes_max.
  absl::StatusOr<SourceEntry> Decode(PickleRef ref);

  // The tensors that Decode has not come by: they stand outside what was walked.
  size_t CountUndecoded() const;

  // In the order of first use.
  std::vector<SourceStorage>& storages() { return storages_; }

 private:
  // A call, unwrapped from parameters and subclasses.
  struct Call {
    std::string name;  // "torch._utils._rebuild_tensor_v2"
    absl::Span<const PickleRef> args;
    bool parameter = false;
    const OutsideTensor* outside = nullptr;  // name and args are empty then
  };
  absl::StatusOr<Call> Unwrap(PickleRef ref);
  absl::Status CheckTensorType(PickleRef type, Call* call) const;
  absl::StatusOr<uint32_t> StorageIndex(const PyTorchStorageId& id);
  absl::StatusOr<SourceEntry> DecodeCall(const Call& call);
  absl::StatusOr<SourceEntry> DecodeOutside(const Call& call);
  absl::Status DecodeTail(const Call& call, const PyTorchStorageId& id, SourceEntry* entry);
  absl::Status DecodeMetadata(PickleRef metadata, SourceEntry* entry) const;
  absl::StatusOr<TensorExtent> ParseExtent(const Call& call) const;
  absl::Status DecodeExtent(const TensorExtent& extent, const PyTorchStorageId& id,
                            SourceEntry* entry) const;
  absl::StatusOr<std::vector<uint64_t>> Numbers(PickleRef ref, absl::string_view what) const;
  absl::StatusOr<uint64_t> Number(PickleRef ref, absl::string_view what) const;

  struct Known {
    uint32_t index = 0;
    std::optional<DType> dtype;
    uint64_t size_bytes = 0;
  };
  const PickleGraph* graph_;  // Must outlive this.
  StorageLocator* locator_;   // Must outlive this.
  const Limits* limits_;      // Must outlive this.
  std::vector<SourceStorage> storages_;
  absl::flat_hash_map<std::string, Known> known_;
  std::vector<bool> decoded_;         // by ref
  std::vector<bool> tensor_callees_;  // by index in graph_->globals()
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_TENSORS_H_

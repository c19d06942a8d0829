#include "storage/formats/pytorch_tensors.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"
#include "storage/formats/pytorch_unsupported.h"

namespace ballast {
namespace {

constexpr int kWrappersMax = 16;
constexpr absl::string_view kUtils = "torch._utils.";
constexpr absl::string_view kParameter = "torch.nn.parameter.Parameter";
constexpr absl::string_view kVariable = "torch.autograd.variable.Variable";

absl::Status NoNumbers(absl::string_view dtype) {
  return UnsupportedError("dtype is torch.", dtype,
                          ", want one of numbers of whole bytes, as float32 or uint8");
}

bool IsOldTensorClass(absl::string_view name) {
  return (absl::StartsWith(name, "torch.cuda.") || absl::StartsWith(name, "torch.")) &&
         absl::EndsWith(name, "Tensor") && name != "torch.Tensor" &&
         std::count(name.begin(), name.end(), '.') <= 2;
}

bool IsFromType(absl::string_view name) {
  return name == "torch._tensor._rebuild_from_type_v2" ||
         name == "torch._tensor._rebuild_from_type" ||
         name == "torch.tensor._rebuild_from_type_v2" || name == "torch.tensor._rebuild_from_type";
}

bool IsTensorCallee(absl::string_view name) {
  return absl::StartsWith(name, absl::StrCat(kUtils, "_rebuild_")) || IsFromType(name) ||
         absl::StartsWith(name, "torch.nn.parameter.") || name == kVariable ||
         IsOldTensorClass(name) || IsShardClass(name);
}

bool IsComplex(DType dtype) {
  return dtype == DType::kComplex32 || dtype == DType::kComplex64 || dtype == DType::kComplex128;
}

// Whole bytes per element, and no scale apart from the elements.
bool IsPlain(DType dtype) {
  return InfoOf(dtype).bits % 8 == 0 && dtype != DType::kQint8 && dtype != DType::kQuint8 &&
         dtype != DType::kQint32;
}

bool IsSigned(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kFloat16:
    case DType::kBfloat16:
    case DType::kFloat32:
    case DType::kFloat64:
      return true;
    default:
      return IsComplex(dtype);
  }
}

// Strides of dims of size 1 mean nothing; an empty tensor has no elements to stride.
bool IsContiguous(const Shape& shape, const std::vector<uint64_t>& strides) {
  uint64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

// Index of the last element relative to the first; false on overflow.
bool LastElement(const Shape& shape, const std::vector<uint64_t>& strides, uint64_t* last) {
  *last = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    uint64_t step = 0;
    if (!CheckedMul(shape[i] - 1, strides[i], &step) || !CheckedAdd(*last, step, last)) {
      return false;
    }
  }
  return true;
}

}  // namespace

TensorDecoder::TensorDecoder(const PickleGraph* graph, StorageLocator* locator,
                             const Limits* limits)
    : graph_(graph), locator_(locator), limits_(limits), decoded_(graph->size()) {
  for (const PickleGlobal& global : graph->globals()) {
    tensor_callees_.push_back(IsTensorCallee(global.FullName()));
  }
}

bool TensorDecoder::IsTensor(PickleRef ref) const {
  if (graph_->Is(ref, PickleKind::kPersistent)) {
    return locator_->FindTensor(*graph_, ref) != nullptr;
  }
  if (!graph_->Is(ref, PickleKind::kCall) && !graph_->Is(ref, PickleKind::kInstance)) return false;
  const PickleGlobal& callee = graph_->global(graph_->object(ref)->callee);
  return tensor_callees_[static_cast<size_t>(&callee - graph_->globals().data())];
}

size_t TensorDecoder::CountUndecoded() const {
  size_t count = 0;
  for (PickleRef ref = 1; ref < graph_->size(); ++ref) {
    if (!decoded_[ref] && IsTensor(ref)) ++count;
  }
  return count;
}

absl::StatusOr<uint64_t> TensorDecoder::Number(PickleRef ref, absl::string_view what) const {
  if (!graph_->Is(ref, PickleKind::kInt)) {
    return MalformedError(what, " is a value of type ", Printable(graph_->TypeName(ref)),
                          ", want an int below 2^63");
  }
  if (graph_->integer(ref) < 0) {
    return MalformedError(what, " is ", graph_->integer(ref), ", want 0 or more");
  }
  return static_cast<uint64_t>(graph_->integer(ref));
}

absl::StatusOr<std::vector<uint64_t>> TensorDecoder::Numbers(PickleRef ref,
                                                             absl::string_view what) const {
  if (graph_->CalleeIs(ref, "torch", "Size")) {
    const auto args = graph_->items(graph_->object(ref)->args);
    if (args.size() == 1) ref = args[0];
  }
  if (!graph_->Is(ref, PickleKind::kTuple) && !graph_->Is(ref, PickleKind::kList)) {
    return MalformedError(what, " is a value of type ", Printable(graph_->TypeName(ref)),
                          ", want a tuple");
  }
  const auto items = graph_->items(ref);
  if (items.size() > limits_->dims_max) {
    return LimitError("number of dims is ", items.size(), ", want at most ", limits_->dims_max,
                      " (dims_max)");
  }
  std::vector<uint64_t> out(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    ASSIGN_OR_RETURN(out[i], Number(items[i], what));
  }
  return out;
}

absl::StatusOr<uint32_t> TensorDecoder::StorageIndex(const PyTorchStorageId& id) {
  const auto it = known_.find(id.key);
  if (it != known_.end()) {
    if (it->second.dtype != id.dtype || it->second.size_bytes != id.size_bytes) {
      return MalformedError("storage ", id.key, " is named twice with different class or size");
    }
    return it->second.index;
  }
  ASSIGN_OR_RETURN(SourceStorage storage, locator_->Locate(id));
  const auto index = static_cast<uint32_t>(storages_.size());
  storages_.push_back(std::move(storage));
  known_.emplace(id.key, Known{index, id.dtype, id.size_bytes});
  return index;
}

absl::Status TensorDecoder::CheckTensorType(PickleRef type, Call* call) const {
  if (!graph_->Is(type, PickleKind::kGlobal)) {
    return MalformedError("tensor type is a value of type ", Printable(graph_->TypeName(type)),
                          ", want a class");
  }
  const std::string name = graph_->global(type).FullName();
  if (name == kParameter) call->parameter = true;
  if (name == kParameter || name == "torch.Tensor" || name == "torch.nn.parameter.Buffer") {
    return absl::OkStatus();
  }
  return UnsupportedTensorClass(name);
}

absl::StatusOr<TensorDecoder::Call> TensorDecoder::Unwrap(PickleRef ref) {
  Call call;
  const auto enter = [&](PickleRef inner) {
    decoded_[inner] = true;
    const PickleObject* object = graph_->object(inner);
    if (object == nullptr) {
      call.outside = locator_->FindTensor(*graph_, inner);
      return;
    }
    call.name = graph_->global(object->callee).FullName();
    // torch 0.1: the arguments of the classes are empty, the state has them.
    const bool wrapper = call.name == kParameter || call.name == kVariable;
    const bool old =
        (IsOldTensorClass(call.name) || (wrapper && graph_->items(object->args).empty())) &&
        object->state != kNoPickleRef;
    call.args = graph_->items(old ? object->state : object->args);
  };
  enter(ref);
  for (int depth = 0; depth < kWrappersMax; ++depth) {
    if (IsFromType(call.name)) {
      if (call.args.size() != 4 || !graph_->Is(call.args[0], PickleKind::kGlobal) ||
          !graph_->Is(call.args[2], PickleKind::kTuple)) {
        return MalformedError("arguments of ", call.name, " are malformed");
      }
      const PickleRef type = call.args[1];
      call.name = graph_->global(call.args[0]).FullName();
      call.args = graph_->items(call.args[2]);
      // What it wraps says more than its class.
      if (call.name == "torch._utils._rebuild_wrapper_subclass") return call;
      RETURN_IF_ERROR(CheckTensorType(type, &call));
      continue;
    }
    const bool parameter = call.name == "torch._utils._rebuild_parameter" ||
                           call.name == "torch._utils._rebuild_parameter_with_state" ||
                           call.name == kParameter;
    if (call.outside != nullptr) return call;
    if (!parameter && call.name != kVariable &&
        call.name != "torch._utils._rebuild_device_tensor_from_cpu_tensor") {
      return call;
    }
    call.parameter |= parameter;
    if (call.args.empty() || !IsTensor(call.args[0])) {
      return MalformedError("first argument of ", call.name, " is no tensor");
    }
    enter(call.args[0]);
  }
  return MalformedError("tensor is wrapped more than ", kWrappersMax, " times");
}

absl::StatusOr<TensorExtent> TensorDecoder::ParseExtent(const Call& call) const {
  TensorExtent extent;
  ASSIGN_OR_RETURN(extent.offset, Number(call.args[1], "storage offset"));
  ASSIGN_OR_RETURN(extent.dims, Numbers(call.args[2], "size"));
  ASSIGN_OR_RETURN(extent.strides, Numbers(call.args[3], "stride"));
  return extent;
}

// Sets dims, strides and offset, and checks that all elements lie in the storage.
absl::Status TensorDecoder::DecodeExtent(const TensorExtent& extent, const PyTorchStorageId& id,
                                         SourceEntry* entry) const {
  const auto& [offset, dims, strides] = extent;
  if (dims.size() != strides.size()) {
    return MalformedError("tensor has ", dims.size(), " dims and ", strides.size(), " strides");
  }
  Shape& shape = entry->spec.shape;
  shape.assign(dims.begin(), dims.end());
  ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(entry->spec.dtype, shape, *limits_));
  if (bytes == 0) return absl::OkStatus();  // no elements: offset and strides mean nothing
  const uint64_t element_bytes = InfoOf(entry->spec.dtype).bits / 8;
  uint64_t last = 0;
  if (!LastElement(shape, strides, &last) || !CheckedAdd(last, offset, &last) ||
      last >= id.view_bytes / element_bytes) {
    return MalformedError("tensor of shape ", ShapeText(shape), " at element ", offset,
                          " ends behind its storage ", id.key, " of ", id.view_bytes, " bytes");
  }
  entry->offset_bytes = id.view_offset_bytes + offset * element_bytes;
  if (!IsContiguous(shape, strides)) entry->strides.assign(strides.begin(), strides.end());
  return absl::OkStatus();
}

absl::Status TensorDecoder::DecodeMetadata(PickleRef metadata, SourceEntry* entry) const {
  if (graph_->Is(metadata, PickleKind::kNone)) return absl::OkStatus();
  if (!graph_->Is(metadata, PickleKind::kDict)) return MalformedError("metadata is no dict");
  const auto items = graph_->items(metadata);
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const bool string = graph_->Is(items[i], PickleKind::kString);
    const absl::string_view key = string ? graph_->text(items[i]) : "";
    if (!graph_->Is(items[i + 1], PickleKind::kBool) || (key != "conj" && key != "neg")) {
      return UnsupportedError("tensor has metadata ", QuotedKey(key), ", want conj or neg");
    }
    const bool value = graph_->integer(items[i + 1]) != 0;
    (key == "conj" ? entry->conjugate : entry->negative) = value;
  }
  if ((entry->conjugate && !IsComplex(entry->spec.dtype)) ||
      (entry->negative && !IsSigned(entry->spec.dtype))) {
    return MalformedError("tensor of ", DTypeName(entry->spec.dtype),
                          " has the conj or neg bit, want a dtype with signs");
  }
  return absl::OkStatus();
}

// What v2 and v3 have behind the strides.
absl::Status TensorDecoder::DecodeTail(const Call& call, const PyTorchStorageId& id,
                                       SourceEntry* entry) {
  if (call.args.size() <= 4) return absl::OkStatus();
  if (!graph_->Is(call.args[4], PickleKind::kBool)) {
    return MalformedError("requires_grad is a value of type ",
                          Printable(graph_->TypeName(call.args[4])), ", want a bool");
  }
  const PickleRef hooks = call.args[5];
  const bool empty = graph_->Is(hooks, PickleKind::kNone) ||
                     (graph_->Is(hooks, PickleKind::kDict) && graph_->items(hooks).empty());
  if (!empty) return UnsupportedError("tensor has backward hooks");
  const size_t metadata = id.dtype.has_value() ? 6 : 7;
  if (call.args.size() <= metadata) return absl::OkStatus();
  return DecodeMetadata(call.args[metadata], entry);
}

absl::StatusOr<SourceEntry> TensorDecoder::DecodeCall(const Call& call) {
  const bool v1 = call.name == "torch._utils._rebuild_tensor" || IsOldTensorClass(call.name);
  const bool v2 = call.name == "torch._utils._rebuild_tensor_v2";
  const bool v3 = call.name == "torch._utils._rebuild_tensor_v3";
  if (!v1 && !v2 && !v3) {
    return UnsupportedTensor(*graph_, call.name, call.args);
  }
  const size_t least = v1 ? 4 : v2 ? 6 : 7;
  if (call.args.size() < least || call.args.size() > least + (v1 ? 0 : 1)) {
    return MalformedError(call.name, " has ", call.args.size(), " arguments, want ", least);
  }
  ASSIGN_OR_RETURN(const PyTorchStorageId id, locator_->StorageId(*graph_, call.args[0]));
  if (id.dtype.has_value() == v3) {
    return MalformedError(call.name, " of a storage that is ", v3 ? "typed" : "untyped");
  }
  SourceEntry entry;
  if (call.parameter) entry.spec.kind = Kind::kParameter;
  if (v3) {
    const bool global = graph_->Is(call.args[6], PickleKind::kGlobal);
    if (!global || graph_->global(call.args[6]).module != "torch" ||
        absl::EndsWith(graph_->global(call.args[6]).name, "Storage")) {
      return MalformedError("dtype is a value of type ", Printable(graph_->TypeName(call.args[6])),
                            ", want a torch dtype");
    }
    const std::string& name = graph_->global(call.args[6]).name;
    const std::optional<DType> dtype = DTypeFromName(name);
    if (!dtype.has_value() || !IsPlain(*dtype)) {
      return NoNumbers(Printable(name));
    }
    entry.spec.dtype = *dtype;
  } else {
    if (!IsPlain(*id.dtype)) return NoNumbers(DTypeName(*id.dtype));
    entry.spec.dtype = *id.dtype;
  }
  ASSIGN_OR_RETURN(const TensorExtent extent, ParseExtent(call));
  RETURN_IF_ERROR(DecodeExtent(extent, id, &entry));
  RETURN_IF_ERROR(DecodeTail(call, id, &entry));
  ASSIGN_OR_RETURN(entry.storage, StorageIndex(id));
  return entry;
}

absl::StatusOr<SourceEntry> TensorDecoder::DecodeOutside(const Call& call) {
  const PyTorchStorageId& id = call.outside->storage;
  if (!id.dtype.has_value()) return UnsupportedError("storage ", id.key, " is untyped");
  if (!IsPlain(*id.dtype)) return NoNumbers(DTypeName(*id.dtype));
  SourceEntry entry;
  entry.spec.dtype = *id.dtype;
  if (call.parameter) entry.spec.kind = Kind::kParameter;
  RETURN_IF_ERROR(DecodeExtent(call.outside->extent, id, &entry));
  ASSIGN_OR_RETURN(entry.storage, StorageIndex(id));
  return entry;
}

absl::StatusOr<SourceEntry> TensorDecoder::Decode(PickleRef ref) {
  ASSIGN_OR_RETURN(const Call call, Unwrap(ref));
  return call.outside != nullptr ? DecodeOutside(call) : DecodeCall(call);
}

}  // namespace ballast

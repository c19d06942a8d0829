#include "storage/formats/pytorch_storage.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr size_t kKeyBytesMax = 64;

struct StorageClass {
  absl::string_view name;
  DType dtype;
};
constexpr std::array kClasses = {
    StorageClass{"ByteStorage", DType::kUint8},
    StorageClass{"CharStorage", DType::kInt8},
    StorageClass{"ShortStorage", DType::kInt16},
    StorageClass{"IntStorage", DType::kInt32},
    StorageClass{"LongStorage", DType::kInt64},
    StorageClass{"HalfStorage", DType::kFloat16},
    StorageClass{"FloatStorage", DType::kFloat32},
    StorageClass{"DoubleStorage", DType::kFloat64},
    StorageClass{"ComplexFloatStorage", DType::kComplex64},
    StorageClass{"ComplexDoubleStorage", DType::kComplex128},
    StorageClass{"BoolStorage", DType::kBool},
    StorageClass{"BFloat16Storage", DType::kBfloat16},
    StorageClass{"QInt8Storage", DType::kQint8},
    StorageClass{"QUInt8Storage", DType::kQuint8},
    StorageClass{"QInt32Storage", DType::kQint32},
};

bool IsUntyped(const PickleGlobal& global) {
  return global.name == "UntypedStorage" || global.name == "_UntypedStorage";
}

absl::Status ParseKey(const PickleGraph& graph, PickleRef ref, std::string* key) {
  if (graph.Is(ref, PickleKind::kInt)) {
    *key = absl::StrCat(graph.integer(ref));
  } else if (graph.Is(ref, PickleKind::kString)) {
    *key = std::string(graph.text(ref));
  } else {
    return MalformedError("storage key is a value of type ", Printable(graph.TypeName(ref)),
                          ", want a string");
  }
  const bool good = !key->empty() && key->size() <= kKeyBytesMax &&
                    std::all_of(key->begin(), key->end(),
                                [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
  if (good) return absl::OkStatus();
  return UnsafeError("storage key is ", Printable(key->substr(0, 100)),
                     ", want letters, digits and underscores");
}

absl::StatusOr<uint64_t> ElementBytes(const PickleGraph& graph, PickleRef ref,
                                      const PyTorchStorageId& id, absl::string_view what) {
  uint64_t bytes = 0;
  if (!graph.Is(ref, PickleKind::kInt) || graph.integer(ref) < 0 ||
      !CheckedMul(static_cast<uint64_t>(graph.integer(ref)), id.element_bytes, &bytes) ||
      bytes > INT64_MAX) {
    return MalformedError(what, " of storage ", id.key,
                          " is not a number of elements that fit 63 bits");
  }
  return bytes;
}

absl::Status ParseView(const PickleGraph& graph, PickleRef ref, PyTorchStorageId* id) {
  if (graph.Is(ref, PickleKind::kNone)) return absl::OkStatus();
  const auto view = graph.items(ref);
  if (!graph.Is(ref, PickleKind::kTuple) || view.size() != 3) {
    return MalformedError("view of storage ", id->key, " is no tuple of three");
  }
  RETURN_IF_ERROR(ParseKey(graph, view[0], &id->view_key));
  ASSIGN_OR_RETURN(id->view_offset_bytes, ElementBytes(graph, view[1], *id, "view offset"));
  ASSIGN_OR_RETURN(id->view_bytes, ElementBytes(graph, view[2], *id, "view size"));
  if (!InRange(id->view_offset_bytes, id->view_bytes, id->size_bytes)) {
    return MalformedError("view of storage ", id->key, " ends behind the storage");
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<DType> DTypeOfStorageClass(absl::string_view name) {
  for (const StorageClass& known : kClasses) {
    if (known.name == name) return known.dtype;
  }
  return std::nullopt;
}

absl::string_view StorageClassOf(DType dtype) {
  for (const StorageClass& known : kClasses) {
    if (known.dtype == dtype) return known.name;
  }
  return "";
}

absl::Status ParseStorageClass(const PickleGraph& graph, PickleRef ref, PyTorchStorageId* id) {
  if (!graph.Is(ref, PickleKind::kGlobal)) {
    return MalformedError("storage class is a value of type ", Printable(graph.TypeName(ref)),
                          ", want a class");
  }
  const PickleGlobal& global = graph.global(ref);
  const bool torch =
      global.module == "torch" || global.module == "torch.cuda" || global.module == "torch.storage";
  if (torch && IsUntyped(global)) return absl::OkStatus();
  if (torch) id->dtype = DTypeOfStorageClass(global.name);
  if (!id->dtype.has_value()) {
    return UnsupportedError("storage class is ", Printable(global.FullName()),
                            ", want one of a known dtype");
  }
  id->element_bytes = InfoOf(*id->dtype).bits / 8;
  return absl::OkStatus();
}

absl::StatusOr<PyTorchStorageId> ParseStorageId(const PickleGraph& graph, PickleRef persistent) {
  if (!graph.Is(persistent, PickleKind::kPersistent)) {
    return MalformedError("storage is a value of type ", Printable(graph.TypeName(persistent)),
                          ", want a persistent id");
  }
  const PickleRef tuple = graph.persistent_id(persistent);
  const auto items = graph.items(tuple);
  if (!graph.Is(tuple, PickleKind::kTuple) || (items.size() != 5 && items.size() != 6) ||
      !graph.Is(items[0], PickleKind::kString) || graph.text(items[0]) != "storage" ||
      !graph.Is(items[3], PickleKind::kString)) {
    return MalformedError("persistent id is not (\"storage\", class, key, location, numel)");
  }
  PyTorchStorageId id;
  RETURN_IF_ERROR(ParseStorageClass(graph, items[1], &id));
  RETURN_IF_ERROR(ParseKey(graph, items[2], &id.key));
  id.key_is_number = graph.Is(items[2], PickleKind::kInt);
  if (graph.text(items[3]) == "meta") {
    return UnsupportedError("storage ", id.key, " is on device meta, which has no data");
  }
  ASSIGN_OR_RETURN(id.size_bytes, ElementBytes(graph, items[4], id, "numel"));
  id.view_bytes = id.size_bytes;
  if (items.size() == 6) RETURN_IF_ERROR(ParseView(graph, items[5], &id));
  return id;
}

}  // namespace ballast

// The storages of a PyTorch pickle: what a persistent id says about one.
//
//   ("storage", torch FloatStorage, "0", "cpu", numel)          zip
//   ("storage", torch FloatStorage, "94…", "cpu", numel, view)  legacy stream; view is
//                                   None or (view key, offset, size), in elements
// numel counts elements of the class, bytes for UntypedStorage. The location does
// not matter: the bytes are always plain, except that "meta" has none.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_STORAGE_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_STORAGE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/formats/pickle_value.h"
#include "storage/model/dtype.h"

namespace ballast {

struct PyTorchStorageId {
  std::string key;
  bool key_is_number = false;  // as Python 2 wrote it in streams, and torch 0.1 in tars
  std::optional<DType> dtype;  // nullopt: UntypedStorage
  uint64_t element_bytes = 1;
  uint64_t size_bytes = 0;         // of the whole storage
  uint64_t view_offset_bytes = 0;  // of the window that this id stands for
  uint64_t view_bytes = 0;         // size_bytes if it is the whole storage
  std::string view_key;            // "" if it is the whole storage
};

// The dtype of a classic storage class ("FloatStorage"); nullopt if there is none.
std::optional<DType> DTypeOfStorageClass(absl::string_view name);
// The inverse; "" for dtypes that only UntypedStorage holds.
absl::string_view StorageClassOf(DType dtype);

// Sets dtype and element_bytes from a class (`torch FloatStorage`, `torch.cuda …`).
// Errors: InvalidArgument/MALFORMED  it is no class.  Unimplemented  a class without a
//         dtype here.
absl::Status ParseStorageClass(const PickleGraph& graph, PickleRef ref, PyTorchStorageId* id);

// Errors: InvalidArgument/MALFORMED  not of the form above, numel negative or too big.
//         InvalidArgument/UNSAFE     a key with other characters than [A-Za-z0-9_].
//         Unimplemented              location "meta"; a storage class without a dtype here.
absl::StatusOr<PyTorchStorageId> ParseStorageId(const PickleGraph& graph, PickleRef persistent);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_STORAGE_H_

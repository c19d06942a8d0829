// The pickle of a state dict, as torch.save makes it for either of its containers.
//
//   OrderedDict of _rebuild_tensor_v2 calls on classic storages, _v3 for dtypes without
//   one; tied tensors name one storage; `_metadata` is set by BUILD. Or a plain dict of
//   the same calls: LibTorch's unpickler makes None of an OrderedDict.
// Source:  torch/serialization.py, torch/_tensor.py, torch/csrc/jit/serialization/
//          unpickler.cpp, CPython Modules/_pickle.c: byte for byte what its pickler makes,
//          but that ints beyond 32 bits take 8 bytes (libtorch reads no other length).
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_PICKLE_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_PICKLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/formats/layout.h"

namespace ballast {

// The storages of a layout: tied tensors share one.
struct PickledStorages {
  std::vector<uint32_t> of_tensor;  // storage number by tensor
  std::vector<uint32_t> tensor;     // the tensor whose bytes it is, by storage
};

// In the order of the tensors that use them first.
PickledStorages NumberStorages(const LayoutInput& input);

// What a persistent id is: pytorch_storage.h.
struct PickledIds {
  size_t key_digits = 1;  // keys are numbers, with zeros in front if they are shorter
  bool views = false;     // a sixth item says which window of a storage is meant: None
};

std::string StorageKey(uint32_t storage, const PickledIds& ids);

// Linear in the number of tensors.
// Errors: InvalidArgument  metadata_json is not an object of plain JSON.
absl::StatusOr<std::string> PickleStateDict(const LayoutInput& input,
                                            const PickledStorages& storages, const PickledIds& ids);

// What a plain dict does not hold or LibTorch does not read of this; none for an
// OrderedDict.
std::vector<std::string> PlainDictWarnings(const LayoutInput& input);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_PICKLE_H_

// The containers weights come in. Names are part of the CLI and of manifests.
#ifndef BALLAST_STORAGE_MODEL_FORMAT_H_
#define BALLAST_STORAGE_MODEL_FORMAT_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ballast {

// Stored in manifests: never renumber.
enum class Format : uint8_t {
  kUnknown = 0,     // as a request: find out by content
  kTorchSharp = 1,  // module .dat
  kPyTorch = 2,     // zip written by torch.save (1.4 and later)
  kSafetensors = 3,
  kTensors = 4,           // no container: tensors from memory, one after the other
  kTorchSharpTensor = 5,  // one bare tensor record
  kTorchSharpOptimizer = 6,
  kPyTorchLegacy = 7,  // stream of pickles and storages (before 1.6)
  kPyTorchTar = 8,     // before 0.1.10
  kTorchScript = 9,
  kPickle = 10,  // a bare pickle
};

// "torchsharp", "pytorch", "safetensors", "tensors", "torchsharp-tensor",
// "torchsharp-optimizer", "pytorch-legacy", "pytorch-tar", "torchscript", "pickle";
// "auto" for kUnknown.
absl::string_view FormatName(Format format);
// nullopt if there is no such name.
std::optional<Format> FormatFromName(absl::string_view name);
// "dat", "pth", "safetensors"; "bin" for the rest.
absl::string_view FormatExtension(Format format);
absl::Span<const Format> AllFormats();

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_FORMAT_H_

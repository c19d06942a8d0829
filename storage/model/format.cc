#include "storage/model/format.h"

#include <array>

namespace ballast {
namespace {

struct FormatInfo {
  Format format;
  absl::string_view name;
  absl::string_view extension;
};

constexpr std::array kTable = {
    FormatInfo{Format::kUnknown, "auto", "bin"},
    FormatInfo{Format::kTorchSharp, "torchsharp", "dat"},
    FormatInfo{Format::kPyTorch, "pytorch", "pth"},
    FormatInfo{Format::kSafetensors, "safetensors", "safetensors"},
    FormatInfo{Format::kTensors, "tensors", "bin"},
    FormatInfo{Format::kTorchSharpTensor, "torchsharp-tensor", "dat"},
    FormatInfo{Format::kTorchSharpOptimizer, "torchsharp-optimizer", "dat"},
    FormatInfo{Format::kPyTorchLegacy, "pytorch-legacy", "pth"},
    FormatInfo{Format::kPyTorchTar, "pytorch-tar", "pth"},
    FormatInfo{Format::kTorchScript, "torchscript", "pt"},
    FormatInfo{Format::kPickle, "pickle", "pkl"},
};
constexpr std::array kFormats = {Format::kTorchSharp,       Format::kPyTorch,
                                 Format::kSafetensors,      Format::kTensors,
                                 Format::kTorchSharpTensor, Format::kTorchSharpOptimizer,
                                 Format::kPyTorchLegacy,    Format::kPyTorchTar,
                                 Format::kTorchScript,      Format::kPickle};

}  // namespace

absl::Span<const Format> AllFormats() { return kFormats; }

absl::string_view FormatName(Format format) {
  for (const FormatInfo& info : kTable) {
    if (info.format == format) return info.name;
  }
  return "auto";
}

std::optional<Format> FormatFromName(absl::string_view name) {
  for (const FormatInfo& info : kTable) {
    if (info.name == name) return info.format;
  }
  return std::nullopt;
}

absl::string_view FormatExtension(Format format) {
  for (const FormatInfo& info : kTable) {
    if (info.format == format) return info.extension;
  }
  return "bin";
}

}  // namespace ballast

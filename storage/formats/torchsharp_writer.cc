#include "storage/formats/torchsharp_writer.h"

#include "storage/formats/layout_builder.h"

namespace ballast {
namespace {

void AppendLeb128(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

}  // namespace

absl::StatusOr<FileLayout> LayOutTorchSharp(const LayoutInput& input, const Limits&) {
  LayoutBuilder builder(Format::kTorchSharp);
  std::string text;
  AppendLeb128(input.tensors.size(), &text);
  for (const LayoutTensor& tensor : input.tensors) {
    AppendLeb128(tensor.spec.key.size(), &text);
    text += tensor.spec.key;
    AppendLeb128(static_cast<uint8_t>(tensor.spec.dtype), &text);
    AppendLeb128(tensor.spec.shape.size(), &text);
    for (const uint64_t dim : tensor.spec.shape) AppendLeb128(dim, &text);
    builder.AddLiteral(text);
    builder.AddTensor(tensor);
    text.clear();
  }
  builder.AddLiteral(text);
  return builder.Build();
}

}  // namespace ballast

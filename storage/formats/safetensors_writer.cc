#include "storage/formats/safetensors_writer.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"
#include "storage/formats/layout_builder.h"
#include "storage/formats/safetensors_dtype.h"
#include "storage/formats/safetensors_header.h"
#include "storage/formats/safetensors_metadata.h"

namespace ballast {
namespace {

constexpr uint64_t kDataAlignment = 64;

std::vector<uint32_t> DataOrder(const LayoutInput& input) {
  std::vector<uint32_t> order(input.tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const TensorSpec& x = input.tensors[a].spec;
    const TensorSpec& y = input.tensors[b].spec;
    const uint32_t x_bits = InfoOf(x.dtype).bits;
    const uint32_t y_bits = InfoOf(y.dtype).bits;
    return x_bits != y_bits ? x_bits > y_bits : x.key < y.key;
  });
  return order;
}

// Members sorted by name: "ballast.metadata", "ballast.ties", "format".
std::string MetadataText(const LayoutInput& input) {
  std::string out = "{";
  if (!input.metadata_json.empty()) {
    absl::StrAppend(&out, "\"", kMetadataMember, "\":", JsonString(input.metadata_json), ",");
  }
  if (!input.ties.empty()) {
    std::vector<absl::string_view> keys;
    for (const LayoutTensor& tensor : input.tensors) keys.push_back(tensor.spec.key);
    absl::StrAppend(&out, "\"", kTiesMember, "\":", JsonString(TiesText(input.ties, keys)), ",");
  }
  return out + "\"format\":\"pt\"}";
}

std::string InfoText(const TensorSpec& spec, uint64_t begin, uint64_t end) {
  Shape shape = spec.shape;
  // The format counts single values, we bytes of two; the inverse of reading.
  if (spec.dtype == DType::kFloat4E2m1fnX2 && !shape.empty()) shape.back() *= 2;
  return absl::StrCat("{\"dtype\":\"", *SafetensorsCode(spec.dtype), "\",\"shape\":[",
                      absl::StrJoin(shape, ","), "],\"data_offsets\":[", begin, ",", end, "]}");
}

absl::Status CheckKeys(const LayoutInput& input) {
  for (const LayoutTensor& tensor : input.tensors) {
    if (tensor.spec.key == "__metadata__") {
      return UnsupportedError(
          "key is \"__metadata__\", which safetensors keeps for itself; "
          "rename it");
    }
    if (tensor.spec.dtype == DType::kFloat4E2m1fnX2 && tensor.spec.shape.empty()) {
      return UnsupportedError("key ", QuotedKey(tensor.spec.key),
                              ": a 0-dim float4_e2m1fn_x2 has no last dim to count its two values");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FileLayout> LayOutSafetensors(const LayoutInput& input, const Limits& limits) {
  RETURN_IF_ERROR(CheckKeys(input));
  const std::vector<uint32_t> order = DataOrder(input);
  std::string json = absl::StrCat("{\"__metadata__\":", MetadataText(input));
  uint64_t end = 0;
  for (const uint32_t index : order) {
    const TensorSpec& spec = input.tensors[index].spec;
    const uint64_t begin = end;
    end += CheckedTensorBytes(spec);
    absl::StrAppend(&json, ",", JsonString(spec.key), ":", InfoText(spec, begin, end));
  }
  json += '}';
  while ((json.size() + kSafetensorsLengthBytes) % kDataAlignment != 0) json += ' ';
  if (json.size() > limits.header_bytes_max) {
    return LimitError("safetensors header: would be ", json.size(), " bytes long, want at most ",
                      limits.header_bytes_max, " (header_bytes_max)");
  }
  std::string length;
  for (size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
    length += static_cast<char>(uint64_t{json.size()} >> (8 * i));
  }
  LayoutBuilder builder(Format::kSafetensors);
  builder.AddLiteral(length);
  builder.AddLiteral(json);
  for (const uint32_t index : order) builder.AddTensor(input.tensors[index]);
  return builder.Build();
}

}  // namespace ballast

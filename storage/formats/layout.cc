#include "storage/formats/layout.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"
#include "storage/formats/layout_builder.h"
#include "storage/formats/pytorch_legacy_writer.h"
#include "storage/formats/pytorch_writer.h"
#include "storage/formats/safetensors_dtype.h"
#include "storage/formats/safetensors_writer.h"
#include "storage/formats/torchsharp_parser.h"
#include "storage/formats/torchsharp_writer.h"

namespace ballast {
namespace {

// Changes whenever any writer makes other bytes for the same version.
constexpr absl::string_view kWriterRevision = "ballast.layout.v1";

absl::StatusOr<FileLayout> LayOutTensors(const LayoutInput& input, const Limits&) {
  LayoutBuilder builder(Format::kTensors);
  for (const LayoutTensor& tensor : input.tensors) builder.AddTensor(tensor);
  return builder.Build();
}

bool AnyDType(DType) { return true; }
bool SafetensorsHasDType(DType dtype) { return SafetensorsCode(dtype).has_value(); }

struct Writer {
  Format format;
  absl::StatusOr<FileLayout> (*lay_out)(const LayoutInput&, const Limits&);
  bool (*has_dtype)(DType);
  bool repeats_ties;  // tied tensors are written once per key
  bool plain_dict;    // can be a plain dict
};

// The one table: a new format adds its line.
constexpr std::array kWriters = {
    Writer{Format::kTorchSharp, LayOutTorchSharp, TorchSharpHasDType, true, false},
    Writer{Format::kSafetensors, LayOutSafetensors, SafetensorsHasDType, true, false},
    Writer{Format::kTensors, LayOutTensors, AnyDType, false, false},
    Writer{Format::kPyTorch, LayOutPyTorch, PyTorchHasDType, false, true},
    Writer{Format::kPyTorchLegacy, LayOutPyTorchLegacy, PyTorchLegacyHasDType, false, true},
};

const Writer* Find(Format format) {
  const auto it = std::find_if(kWriters.begin(), kWriters.end(),
                               [&](const Writer& w) { return w.format == format; });
  return it == kWriters.end() ? nullptr : &*it;
}

// Names the first tensors that the format cannot hold, and how many there are.
absl::Status CheckDTypes(const Writer& writer, const LayoutInput& input) {
  constexpr size_t kNamed = 5;
  size_t bad = 0;
  std::string names;
  for (const LayoutTensor& tensor : input.tensors) {
    if (writer.has_dtype(tensor.spec.dtype) || ++bad > kNamed) continue;
    absl::StrAppend(&names, bad == 1 ? "" : ", ", QuotedKey(tensor.spec.key), " is ",
                    DTypeName(tensor.spec.dtype));
  }
  if (bad == 0) return absl::OkStatus();
  if (bad > kNamed) absl::StrAppend(&names, " and ", bad - kNamed, " more");
  return UnsupportedError(bad, bad == 1 ? " tensor has" : " tensors have", " a dtype that ",
                          FormatName(writer.format), " lacks: ", names);
}

// A few names on one big storage would make a huge file: say so before it begins.
absl::Status CheckRepeatedBytes(const LayoutInput& input, const Limits& limits) {
  uint64_t repeated = 0;
  for (const std::vector<uint32_t>& group : input.ties) {
    uint64_t bytes = 0;
    if (!CheckedMul(CheckedTensorBytes(input.tensors[group[0]].spec), group.size() - 1, &bytes) ||
        !CheckedAdd(repeated, bytes, &repeated) || repeated > limits.materialized_bytes_max) {
      return LimitError("tied tensors, beginning with ",
                        QuotedKey(input.tensors[group[0]].spec.key),
                        ", would be repeated for more than ", limits.materialized_bytes_max,
                        " bytes (materialized_bytes_max); pytorch keeps them shared");
    }
  }
  return absl::OkStatus();
}

void HashNumber(uint64_t value, Sha256* hash) {
  std::array<char, 8> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  hash->Update({bytes.data(), bytes.size()});
}

}  // namespace

LayoutInput LayoutInputOf(const Manifest& manifest) {
  LayoutInput input;
  input.tensors.reserve(manifest.entries.size());
  for (const ManifestEntry& entry : manifest.entries) {
    input.tensors.push_back(
        {entry.spec, static_cast<uint32_t>(input.tensors.size()), TensorCrc32(entry)});
  }
  input.ties = manifest.ties;
  input.metadata_json = manifest.metadata_json;
  return input;
}

LayoutInput LayoutInputOf(const SourceStateDict& dict) {
  LayoutInput input;
  input.tensors.reserve(dict.entries.size());
  for (const SourceEntry& entry : dict.entries) {
    input.tensors.push_back(
        {entry.spec, static_cast<uint32_t>(input.tensors.size()), std::nullopt});
  }
  input.ties = dict.ties;
  input.metadata_json = dict.metadata_json;
  return input;
}

absl::StatusOr<FileLayout> LayOut(Format format, const LayoutInput& input, const Limits& limits) {
  const Writer* writer = Find(format);
  if (writer == nullptr) {
    return UnsupportedError("format is ", FormatName(format), ", which cannot be written");
  }
  if (input.plain_dict && !writer->plain_dict) {
    return MalformedError("a plain dict was asked for, which ", FormatName(format),
                          " files do not hold; want pytorch or pytorch-legacy");
  }
  RETURN_IF_ERROR(CheckDTypes(*writer, input));
  if (writer->repeats_ties) RETURN_IF_ERROR(CheckRepeatedBytes(input, limits));
  return writer->lay_out(input, limits);
}

Format DefaultFormat(const Manifest& manifest, bool plain_dict) {
  const Format format = manifest.format;
  const auto fits = [&](const ManifestEntry& entry) {
    return FormatHasDType(format, entry.spec.dtype);
  };
  if (format != Format::kTensors && CanWrite(format) && (!plain_dict || HasPlainDict(format)) &&
      std::all_of(manifest.entries.begin(), manifest.entries.end(), fits)) {
    return format;
  }
  return plain_dict ? Format::kPyTorch : Format::kSafetensors;
}

bool CanWrite(Format format) { return Find(format) != nullptr; }

bool FormatHasDType(Format format, DType dtype) {
  const Writer* writer = Find(format);
  return writer != nullptr && writer->has_dtype(dtype);
}

bool HasPlainDict(Format format) {
  const Writer* writer = Find(format);
  return writer != nullptr && writer->plain_dict;
}

Digest FileLayout::LayoutDigest(const std::vector<Digest>& tensor_digests) const {
  Sha256 hash;
  hash.Update(kWriterRevision);
  HashNumber(static_cast<uint8_t>(format), &hash);
  for (const Extent& extent : extents) {
    HashNumber(static_cast<uint8_t>(extent.kind), &hash);
    HashNumber(extent.size_bytes, &hash);
    if (extent.kind == Extent::Kind::kLiteral) {
      hash.Update(absl::string_view(literals).substr(extent.offset, extent.size_bytes));
    } else if (extent.kind == Extent::Kind::kTensor) {
      HashNumber(extent.offset, &hash);
      hash.Update(tensor_digests[extent.entry].View());
    }
  }
  return hash.Finish();
}

}  // namespace ballast

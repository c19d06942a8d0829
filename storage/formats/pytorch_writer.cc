#include "storage/formats/pytorch_writer.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/pickle_writer.h"
#include "storage/formats/pytorch_storage.h"
#include "storage/formats/zip_layout.h"

namespace ballast {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::string_view kPrefix = "archive/";
constexpr int kMetadataDepthMax = 32;

// The storages of a layout: tied tensors share one.
struct Storages {
  std::vector<uint32_t> of_tensor;  // storage number by tensor
  std::vector<uint32_t> tensor;     // the tensor whose bytes it is, by storage
};

Storages NumberStorages(const LayoutInput& input) {
  const std::vector<uint32_t> first = TieRepresentatives(input.tensors.size(), input.ties);
  Storages storages;
  storages.of_tensor.resize(input.tensors.size());
  for (uint32_t i = 0; i < input.tensors.size(); ++i) {
    if (first[i] != i) {
      storages.of_tensor[i] = storages.of_tensor[first[i]];
      continue;
    }
    storages.of_tensor[i] = static_cast<uint32_t>(storages.tensor.size());
    storages.tensor.push_back(i);
  }
  return storages;
}

void WriteSizes(const std::vector<int64_t>& sizes, PickleWriter* out) {
  if (sizes.size() > 3) out->Mark();
  for (const int64_t size : sizes) out->Int(size);
  out->Tuple(sizes.size());
}

std::vector<int64_t> ContiguousStrides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= static_cast<int64_t>(shape[i] == 0 ? 1 : shape[i]);
  }
  return strides;
}

void WritePersistentId(const TensorSpec& spec, uint32_t storage, PickleWriter* out) {
  const absl::string_view storage_class = StorageClassOf(spec.dtype);
  const uint64_t bytes = CheckedTensorBytes(spec);
  out->Mark();
  out->Interned("storage");
  if (storage_class.empty()) {
    out->Global("torch.storage", "UntypedStorage");
  } else {
    out->Global("torch", storage_class);
  }
  out->String(absl::StrCat(storage));
  out->Interned("cpu");
  const uint64_t element_bytes = storage_class.empty() ? 1 : InfoOf(spec.dtype).bits / 8;
  out->Int(static_cast<int64_t>(bytes / element_bytes));
  out->Tuple(5);
  out->PersistentId();
}

void WriteTensor(const TensorSpec& spec, uint32_t storage, PickleWriter* out) {
  const bool untyped = StorageClassOf(spec.dtype).empty();
  out->Global("torch._utils", untyped ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  out->Mark();
  WritePersistentId(spec, storage, out);
  out->Int(0);  // storage offset
  WriteSizes({spec.shape.begin(), spec.shape.end()}, out);
  WriteSizes(ContiguousStrides(spec.shape), out);
  out->Bool(false);                              // requires_grad
  out->EmptyCall("collections", "OrderedDict");  // hooks
  if (untyped) out->Global("torch", DTypeName(spec.dtype));
  out->Tuple(untyped ? 7 : 6);
  out->Reduce();
}

// A plain JSON value as Python has it. False: too deep, or a number beyond int64.
bool WriteJson(const Json& value, int depth, PickleWriter* out) {
  if (depth > kMetadataDepthMax) return false;
  bool good = true;
  switch (value.type()) {
    case Json::value_t::null:
      out->None();
      return true;
    case Json::value_t::boolean:
      out->Bool(value.get<bool>());
      return true;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) return false;
      out->Int(value.get<int64_t>());
      return true;
    case Json::value_t::number_float:
      out->Float(value.get<double>());
      return true;
    case Json::value_t::string:
      out->String(value.get_ref<const std::string&>());
      return true;
    case Json::value_t::array:
      out->EmptyList();
      for (const Json& item : value) {
        good = good && WriteJson(item, depth + 1, out);
        out->Append();
      }
      return good;
    case Json::value_t::object: {
      out->EmptyDict();
      auto item = value.items().begin();
      WriteDictItems(value.size(), out, [&](size_t) {
        out->Interned(item.key());
        good = WriteJson(item.value(), depth + 1, out) && good;
        ++item;
      });
      return good;
    }
    default:
      return false;
  }
}

// {"_metadata": OrderedDict} BUILD, as nn.Module.state_dict() sets it.
absl::Status WriteMetadata(const std::string& text, PickleWriter* out) {
  if (text.empty()) return absl::OkStatus();
  const Json metadata = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!metadata.is_object()) return MalformedError("_metadata is no JSON object");
  out->EmptyDict();
  out->Interned("_metadata");
  out->EmptyCall("collections", "OrderedDict");
  bool good = true;
  auto item = metadata.items().begin();
  WriteDictItems(metadata.size(), out, [&](size_t) {
    out->String(item.key());
    good = WriteJson(item.value(), 0, out) && good;
    ++item;
  });
  if (!good) {
    return MalformedError("_metadata is nested too deeply or has a number beyond 64 bits");
  }
  out->SetItem();
  out->Build();
  return absl::OkStatus();
}

absl::StatusOr<std::string> Pickle(const LayoutInput& input, const Storages& storages) {
  PickleWriter out;
  out.EmptyCall("collections", "OrderedDict");
  WriteDictItems(input.tensors.size(), &out, [&](size_t i) {
    out.String(input.tensors[i].spec.key);
    WriteTensor(input.tensors[i].spec, storages.of_tensor[i], &out);
  });
  RETURN_IF_ERROR(WriteMetadata(input.metadata_json, &out));
  return out.Finish();
}

absl::Status CheckDTypes(const LayoutInput& input) {
  for (const LayoutTensor& tensor : input.tensors) {
    if (!PyTorchHasDType(tensor.spec.dtype)) {
      return UnsupportedError("tensor ", QuotedKey(tensor.spec.key), " is ",
                              DTypeName(tensor.spec.dtype), ", which pytorch files cannot hold");
    }
  }
  return absl::OkStatus();
}

// The CRC of a storage, from whichever of its tied tensors knows it.
void ShareCrcs(const LayoutInput& input, const Storages& storages,
               std::vector<LayoutTensor>* records) {
  for (size_t i = 0; i < input.tensors.size(); ++i) {
    LayoutTensor& record = (*records)[storages.of_tensor[i]];
    if (!record.crc32.has_value()) record.crc32 = input.tensors[i].crc32;
  }
}

}  // namespace

bool PyTorchHasDType(DType dtype) {
  switch (dtype) {
    case DType::kQint8:
    case DType::kQuint8:
    case DType::kQint32:
    case DType::kFloat6E2m3:
    case DType::kFloat6E3m2:
      return false;
    default:
      return true;
  }
}

absl::StatusOr<std::string> PickleStateDict(const LayoutInput& input) {
  return Pickle(input, NumberStorages(input));
}

absl::StatusOr<FileLayout> LayOutPyTorch(const LayoutInput& input, const Limits&) {
  RETURN_IF_ERROR(CheckDTypes(input));
  const Storages storages = NumberStorages(input);
  std::vector<LayoutTensor> records;
  records.reserve(storages.tensor.size());
  for (const uint32_t tensor : storages.tensor) records.push_back(input.tensors[tensor]);
  ShareCrcs(input, storages, &records);

  ZipLayout zip(Format::kPyTorch);
  ASSIGN_OR_RETURN(const std::string pickle, Pickle(input, storages));
  zip.AddRecord(absl::StrCat(kPrefix, "data.pkl"), pickle);
  zip.AddRecord(absl::StrCat(kPrefix, "byteorder"), "little");
  for (size_t i = 0; i < records.size(); ++i) {
    zip.AddRecord(absl::StrCat(kPrefix, "data/", i), records[i]);
  }
  zip.AddRecord(absl::StrCat(kPrefix, "version"), "3\n");
  return zip.Finish();
}

}  // namespace ballast

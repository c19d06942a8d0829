#include "storage/formats/pytorch_pickle.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/pickle_writer.h"
#include "storage/formats/pytorch_storage.h"

namespace ballast {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMetadataDepthMax = 32;

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

void WritePersistentId(const TensorSpec& spec, uint32_t storage, const PickledIds& ids,
                       PickleWriter* out) {
  const absl::string_view storage_class = StorageClassOf(spec.dtype);
  const uint64_t bytes = CheckedTensorBytes(spec);
  out->Mark();
  out->Interned("storage");
  if (storage_class.empty()) {
    out->Global("torch.storage", "UntypedStorage");
  } else {
    out->Global("torch", storage_class);
  }
  out->String(StorageKey(storage, ids));
  out->Interned("cpu");
  const uint64_t element_bytes = storage_class.empty() ? 1 : InfoOf(spec.dtype).bits / 8;
  out->Int(static_cast<int64_t>(bytes / element_bytes));
  if (ids.views) out->None();
  out->Tuple(ids.views ? 6 : 5);
  out->PersistentId();
}

void WriteTensor(const TensorSpec& spec, uint32_t storage, const PickledIds& ids,
                 PickleWriter* out) {
  const bool untyped = StorageClassOf(spec.dtype).empty();
  out->Global("torch._utils", untyped ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  out->Mark();
  WritePersistentId(spec, storage, ids, out);
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

}  // namespace

PickledStorages NumberStorages(const LayoutInput& input) {
  const std::vector<uint32_t> first = TieRepresentatives(input.tensors.size(), input.ties);
  PickledStorages storages;
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

std::string StorageKey(uint32_t storage, const PickledIds& ids) {
  const std::string digits = absl::StrCat(storage);
  return digits.size() >= ids.key_digits
             ? digits
             : std::string(ids.key_digits - digits.size(), '0') + digits;
}

absl::StatusOr<std::string> PickleStateDict(const LayoutInput& input,
                                            const PickledStorages& storages,
                                            const PickledIds& ids) {
  PickleWriter out;
  const auto item = [&](size_t i) {
    out.String(input.tensors[i].spec.key);
    WriteTensor(input.tensors[i].spec, storages.of_tensor[i], ids, &out);
  };
  if (input.plain_dict) {
    out.EmptyDict();
    WritePlainDictItems(input.tensors.size(), &out, item);
  } else {
    out.EmptyCall("collections", "OrderedDict");
    WriteDictItems(input.tensors.size(), &out, item);
    RETURN_IF_ERROR(WriteMetadata(input.metadata_json, &out));
  }
  return out.Finish();
}

std::vector<std::string> PlainDictWarnings(const LayoutInput& input) {
  std::vector<std::string> warnings;
  if (!input.plain_dict) return warnings;
  if (!input.metadata_json.empty() && input.metadata_json != "{}") {
    warnings.push_back("_metadata (the modules' versions) is left out: a plain dict has none");
  }
  size_t untyped = 0;
  std::string first;
  for (const LayoutTensor& tensor : input.tensors) {
    if (!StorageClassOf(tensor.spec.dtype).empty() || untyped++ > 0) continue;
    first = absl::StrCat(QuotedKey(tensor.spec.key), " is ", DTypeName(tensor.spec.dtype));
  }
  if (untyped > 0) {
    warnings.push_back(absl::StrCat(untyped, untyped == 1 ? " tensor has" : " tensors have",
                                    " a dtype that torch.load reads and LibTorch's pickle_load "
                                    "does not: ",
                                    first));
  }
  return warnings;
}

}  // namespace ballast

#include "storage/formats/pytorch_legacy_writer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/layout_builder.h"
#include "storage/formats/pickle_writer.h"
#include "storage/formats/pytorch_legacy.h"
#include "storage/formats/pytorch_pickle.h"
#include "storage/formats/pytorch_storage.h"
#include "storage/formats/pytorch_writer.h"

namespace ballast {
namespace {

constexpr int64_t kVersion = 1001;

PickledIds IdsFor(size_t storages) {
  return {absl::StrCat(storages == 0 ? 0 : storages - 1).size(), /*views=*/true};
}

std::string Magic() { return absl::StrCat("\x80\x02", kPyTorchLegacyMagic); }

std::string VersionPickle() {
  PickleWriter out;
  out.Int(kVersion);
  return out.Finish();
}

// {"protocol_version": 1001, "little_endian": True, "type_sizes": {…}}: the sizes that
// Python's struct module calls standard.
std::string SystemPickle() {
  PickleWriter out;
  out.EmptyDict();
  out.Mark();
  out.String("protocol_version");
  out.Int(kVersion);
  out.String("little_endian");
  out.Bool(true);
  out.String("type_sizes");
  out.EmptyDict();
  out.Mark();
  for (const auto& [name, size] :
       {std::pair("short", 2), std::pair("int", 4), std::pair("long", 4)}) {
    out.String(name);
    out.Int(size);
  }
  out.SetItems();
  out.SetItems();
  return out.Finish();
}

std::string KeysPickle(size_t storages, const PickledIds& ids) {
  PickleWriter out;
  out.EmptyList();
  WriteListItems(storages, &out,
                 [&](size_t i) { out.String(StorageKey(static_cast<uint32_t>(i), ids)); });
  return out.Finish();
}

std::string Numel(const TensorSpec& spec) {
  const uint64_t numel = CheckedTensorBytes(spec) / (InfoOf(spec.dtype).bits / 8);
  std::string out;
  for (size_t i = 0; i < sizeof(numel); ++i) out += static_cast<char>(numel >> (8 * i));
  return out;
}

}  // namespace

bool PyTorchLegacyHasDType(DType dtype) {
  return PyTorchHasDType(dtype) && !StorageClassOf(dtype).empty();
}

absl::StatusOr<FileLayout> LayOutPyTorchLegacy(const LayoutInput& input, const Limits&) {
  const PickledStorages storages = NumberStorages(input);
  const PickledIds ids = IdsFor(storages.tensor.size());
  ASSIGN_OR_RETURN(const std::string object, PickleStateDict(input, storages, ids));
  LayoutBuilder builder(Format::kPyTorchLegacy);
  builder.AddLiteral(absl::StrCat(Magic(), VersionPickle(), SystemPickle()));
  builder.AddLiteral(object);
  builder.AddLiteral(KeysPickle(storages.tensor.size(), ids));
  for (const uint32_t tensor : storages.tensor) {
    builder.AddLiteral(Numel(input.tensors[tensor].spec));
    builder.AddTensor(input.tensors[tensor]);
  }
  ASSIGN_OR_RETURN(FileLayout layout, builder.Build());
  layout.warnings = PlainDictWarnings(input);
  return layout;
}

bool AreOurLegacyKeys(const std::vector<std::string>& keys) {
  const PickledIds ids = IdsFor(keys.size());
  for (uint32_t i = 0; i < keys.size(); ++i) {
    if (keys[i] != StorageKey(i, ids)) return false;
  }
  return !keys.empty();
}

}  // namespace ballast

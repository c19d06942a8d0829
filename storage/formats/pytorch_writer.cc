#include "storage/formats/pytorch_writer.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/pytorch_pickle.h"
#include "storage/formats/zip_layout.h"

namespace ballast {
namespace {

constexpr absl::string_view kPrefix = "archive/";

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
void ShareCrcs(const LayoutInput& input, const PickledStorages& storages,
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

absl::StatusOr<FileLayout> LayOutPyTorch(const LayoutInput& input, const Limits&) {
  RETURN_IF_ERROR(CheckDTypes(input));
  const PickledStorages storages = NumberStorages(input);
  std::vector<LayoutTensor> records;
  records.reserve(storages.tensor.size());
  for (const uint32_t tensor : storages.tensor) records.push_back(input.tensors[tensor]);
  ShareCrcs(input, storages, &records);

  ZipLayout zip(Format::kPyTorch);
  ASSIGN_OR_RETURN(const std::string pickle, PickleStateDict(input, storages, {}));
  zip.AddRecord(absl::StrCat(kPrefix, "data.pkl"), pickle);
  zip.AddRecord(absl::StrCat(kPrefix, "byteorder"), "little");
  for (size_t i = 0; i < records.size(); ++i) {
    zip.AddRecord(absl::StrCat(kPrefix, "data/", i), records[i]);
  }
  zip.AddRecord(absl::StrCat(kPrefix, "version"), "3\n");
  ASSIGN_OR_RETURN(FileLayout layout, zip.Finish());
  layout.warnings = PlainDictWarnings(input);
  return layout;
}

}  // namespace ballast

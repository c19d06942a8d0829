#include "storage/formats/pytorch_archive.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"

namespace ballast {
namespace {

constexpr uint64_t kSmallRecordBytesMax = 64;
constexpr uint32_t kVersionMax = 10;

// A kind of zip that is no PyTorch archive, told by the end of a record's name.
struct OtherKind {
  absl::string_view suffix;
  absl::string_view what;
};
constexpr std::array kOtherKinds = {
    OtherKind{"serialized_exported_program.json", "a torch.export archive (.pt2)"},
    OtherKind{"/.data/extern_modules", "a torch.package archive"},
    OtherKind{"/archive_format", "a torch.export archive (.pt2)"},
    OtherKind{"MAR-INF/MANIFEST.json", "a TorchServe archive (.mar)"},
    OtherKind{"model.weights.h5", "a Keras archive"},
    OtherKind{".npy", "a NumPy archive (.npz)"},
    OtherKind{"/bytecode.pkl", "a PyTorch Mobile archive without data.pkl"},
    OtherKind{".pth", "a zip with a checkpoint in it; unpack it first"},
    OtherKind{".pt", "a zip with a checkpoint in it; unpack it first"},
    OtherKind{".ckpt", "a zip with a checkpoint in it; unpack it first"},
    OtherKind{".bin", "a zip with a checkpoint in it; unpack it first"},
    OtherKind{".safetensors", "a zip with a safetensors file in it; unpack it first"},
};

bool HasRecord(const ZipReader& zip, absl::string_view suffix) {
  return std::any_of(
      zip.records().begin(), zip.records().end(),
      [&](const ZipRecord& record) { return absl::EndsWith(record.name, suffix); });
}

absl::Status NotPyTorch(const ZipReader& zip) {
  if (zip.Find("data.pkl") != nullptr) {
    return MalformedError(
        "zip: data.pkl is in no folder, want all records in one folder; zip the folder, not its "
        "content");
  }
  // torch.export has a model.json, too.
  if (HasRecord(zip, "/model.json") && !HasRecord(zip, "/archive_format")) {
    return UnsupportedError(
        "this is a TorchScript archive of torch 1.0-1.3, which is not read; load it with "
        "torch.jit.load and save it again");
  }
  for (const OtherKind& kind : kOtherKinds) {
    if (HasRecord(zip, kind.suffix)) {
      return WrongFormatError("this is ", kind.what, ", want a file of torch.save");
    }
  }
  return WrongFormatError("this is a zip archive without data.pkl, want a file of torch.save");
}

// "archive/" of "archive/data.pkl"; "" if there is none, or if a record lies elsewhere.
std::string CommonPrefix(const ZipReader& zip) {
  if (zip.records().empty()) return "";
  const std::string& first = zip.records()[0].name;
  const size_t slash = first.find('/');
  if (slash == std::string::npos) return "";
  return first.substr(0, slash + 1);
}

}  // namespace

absl::StatusOr<PyTorchArchive> PyTorchArchive::Open(const ByteSource& source,
                                                    const Limits& limits) {
  ASSIGN_OR_RETURN(ZipReader zip, ZipReader::Open(source, limits));
  const std::string prefix = CommonPrefix(zip);
  if (prefix.empty() || zip.Find(prefix + "data.pkl") == nullptr) return NotPyTorch(zip);
  for (const ZipRecord& record : zip.records()) {
    if (!absl::StartsWith(record.name, prefix)) {
      return MalformedError("zip: record ", Printable(record.name), " is not in folder ",
                            Printable(prefix), ", want all records in one folder");
    }
  }
  PyTorchArchive archive(std::move(zip), prefix);
  RETURN_IF_ERROR(archive.ReadVersion());
  RETURN_IF_ERROR(archive.CheckAlignment());
  RETURN_IF_ERROR(archive.ReadByteOrder());
  return archive;
}

const ZipRecord* PyTorchArchive::Find(absl::string_view name) const {
  return zip_.Find(absl::StrCat(prefix_, name));
}

absl::StatusOr<std::string> PyTorchArchive::Read(absl::string_view name,
                                                 uint64_t limit_bytes) const {
  const ZipRecord* record = Find(name);
  if (record == nullptr) return MalformedError("zip: there is no record ", Printable(name));
  return zip_.Read(*record, limit_bytes);
}

absl::Status PyTorchArchive::ReadVersion() {
  const absl::string_view name = Find("version") != nullptr ? "version" : ".data/version";
  if (Find(name) == nullptr) return absl::OkStatus();  // Warnings() says so
  ASSIGN_OR_RETURN(const std::string text, Read(name, kSmallRecordBytesMax));
  const absl::string_view digits = absl::StripSuffix(absl::StripSuffix(text, "\n"), "\r");
  if (!absl::SimpleAtoi(digits, &version_) || digits[0] == '+' || digits[0] == '-') {
    return MalformedError("zip: record version is ", Printable(text), ", want a number");
  }
  if (version_ == 0 || version_ > kVersionMax) {
    return UnsupportedError("zip: record version is ", version_, ", want 1 to ", kVersionMax);
  }
  return absl::OkStatus();
}

// Where data lies is what the directory says; but torch parses the number.
absl::Status PyTorchArchive::CheckAlignment() const {
  if (Find(".storage_alignment") == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string text, Read(".storage_alignment", kSmallRecordBytesMax));
  int64_t alignment = 0;
  if (absl::SimpleAtoi(text, &alignment)) return absl::OkStatus();
  return MalformedError("zip: record .storage_alignment is ", Printable(text), ", want a number");
}

absl::Status PyTorchArchive::ReadByteOrder() {
  if (Find("byteorder") == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string order, Read("byteorder", kSmallRecordBytesMax));
  if (order != "little" && order != "big") {
    return MalformedError("zip: record byteorder is ", Printable(order), ", want little or big");
  }
  big_endian_ = order == "big";
  return absl::OkStatus();
}

absl::StatusOr<SourceStorage> PyTorchArchive::Locate(const PyTorchStorageId& id) {
  if (id.key_is_number) {
    return MalformedError("storage key ", id.key, " is an int, want a string");
  }
  const std::string name = absl::StrCat("data/", id.key);
  const ZipRecord* record = Find(name);
  if (record == nullptr) return MalformedError("record ", name, " is missing");
  if (record->size_bytes != id.size_bytes) {
    return MalformedError("record ", name, " is ", record->size_bytes, " bytes long, want ",
                          id.size_bytes, " as the pickle says");
  }
  located_.insert(id.key);
  return StorageOf(*record);
}

SourceStorage PyTorchArchive::StorageOf(const ZipRecord& record) const {
  SourceStorage storage;
  storage.name = record.name.substr(prefix_.size());
  storage.offset_bytes = record.data_offset;
  storage.stored_bytes = record.stored_bytes;
  storage.size_bytes = record.size_bytes;
  storage.encoding =
      record.deflated ? SourceStorage::Encoding::kDeflate : SourceStorage::Encoding::kRaw;
  storage.big_endian = big_endian_;
  if (record.has_crc()) storage.crc32 = record.crc32;
  return storage;
}

std::string PyTorchArchive::Writer() const {
  const auto& records = zip_.records();
  const bool deflated =
      std::any_of(records.begin(), records.end(), [](const ZipRecord& r) { return r.deflated; });
  if (is_script()) return "TorchScript";
  if (Find(".format_version") != nullptr) return "torch 2.7+";
  const bool order = Find("byteorder") != nullptr;
  if (order && Find(".data/serialization_id") != nullptr) return "torch 2.1-2.6";
  if (order) return prefix_ == "archive/" ? "Ballast" : "torch 2.1";
  const bool version_first = records[0].name == prefix_ + "version";
  if (deflated) return version_first ? "TorchSharp.PyBridge" : "";
  if (version_first) return "torch 1.4-1.5";
  const bool torch = records.back().name == prefix_ + "version" && records[0].descriptor;
  return torch ? "torch 1.6-2.0" : "";
}

std::vector<SourceFact> PyTorchArchive::Facts() const {
  const auto& records = zip_.records();
  const auto deflated =
      std::count_if(records.begin(), records.end(), [](const ZipRecord& r) { return r.deflated; });
  std::vector<SourceFact> facts = {
      {"archive", JsonString(Printable(absl::StripSuffix(prefix_, "/")))},
      {"records", absl::StrCat(records.size())},
      {"deflated_records", absl::StrCat(deflated)}};
  if (version_ != 0) facts.push_back({"version", absl::StrCat(version_)});
  if (Find("byteorder") != nullptr) {
    facts.push_back({"byte_order", big_endian_ ? "\"big\"" : "\"little\""});
  }
  return facts;
}

std::vector<std::string> PyTorchArchive::Warnings() const {
  std::vector<std::string> warnings;
  if (Find("version") == nullptr && Find(".data/version") == nullptr) {
    warnings.push_back("there is no record version: torch will not load the file");
  }
  size_t without_crc = 0;
  size_t orphans = 0;
  std::string orphan;
  for (const ZipRecord& record : zip_.records()) {
    if (!record.has_crc()) ++without_crc;
    absl::string_view name = absl::StripPrefix(record.name, prefix_);
    if (!absl::ConsumePrefix(&name, "data/") || located_.contains(name)) continue;
    if (orphans++ == 0) orphan = Printable(name);
  }
  if (without_crc > 0) {
    warnings.push_back(absl::StrCat(without_crc, " records were written without CRC"));
  }
  if (orphans > 0) {
    warnings.push_back(
        absl::StrCat(orphans, " records belong to no entry, the first is data/", orphan));
  }
  return warnings;
}

}  // namespace ballast

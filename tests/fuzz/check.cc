#include "tests/fuzz/check.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "storage/base/checked.h"
#include "storage/base/status.h"
#include "storage/formats/inspect.h"
#include "storage/formats/layout.h"
#include "storage/formats/reader.h"
#include "storage/formats/tensor_source.h"
#include "tests/formats/formats_testing.h"

namespace ballast::fuzz {
namespace {

constexpr uint64_t kReadBytesMax = 64 << 10;
constexpr uint64_t kStepReadBytesMax = 4 << 10;
constexpr size_t kMessageBytesMax = 2000;

uint64_t ElementBits(const TensorSpec& spec) { return InfoOf(spec.dtype).bits; }

// Behind the last byte that the entry has in its storage.
absl::uint128 EndOf(const SourceEntry& entry) {
  if (entry.strides.empty()) {
    return absl::uint128(entry.offset_bytes) + CheckedTensorBytes(entry.spec);
  }
  absl::uint128 last = 0;
  for (size_t i = 0; i < entry.strides.size(); ++i) {
    if (entry.spec.shape[i] == 0) return entry.offset_bytes;
    last += absl::uint128(entry.spec.shape[i] - 1) * entry.strides[i];
  }
  return (last + 1) * (ElementBits(entry.spec) / 8) + entry.offset_bytes;
}

void CheckStorage(const ByteSource& source, const SourceStorage& storage) {
  Require(InRange(storage.offset_bytes, storage.stored_bytes, source.size_bytes()),
          "a storage lies inside the source", storage.name);
  if (storage.encoding == SourceStorage::Encoding::kRaw) {
    Require(storage.stored_bytes == storage.size_bytes, "a raw storage is stored as it is");
  }
}

void CheckEntry(const SourceStateDict& dict, const SourceEntry& entry, const Limits& limits) {
  Require(CheckKey(entry.spec.key, limits).ok(), "a key passes CheckKey", entry.spec.key);
  Require(TensorBytes(entry.spec.dtype, entry.spec.shape, limits).ok(), "a tensor is within limits",
          entry.spec.key);
  Require(entry.storage < dict.storages.size(), "an entry has a storage", entry.spec.key);
  Require(entry.strides.empty() || entry.strides.size() == entry.spec.shape.size(),
          "there are as many strides as dims", entry.spec.key);
  Require(EndOf(entry) <= dict.storages[entry.storage].size_bytes,
          "an entry lies inside its storage", entry.spec.key);
}

void CheckTieGroups(const SourceStateDict& dict) {
  std::set<uint32_t> seen;
  for (const std::vector<uint32_t>& group : dict.ties) {
    Require(group.size() >= 2 && std::is_sorted(group.begin(), group.end()), "ties are ascending");
    for (const uint32_t index : group) {
      Require(index < dict.entries.size() && seen.insert(index).second, "ties name entries once");
    }
  }
}

void CheckDict(const ByteSource& source, const SourceStateDict& dict, const Limits& limits) {
  Require(dict.entries.size() <= limits.entries_max, "there are at most entries_max entries");
  for (const SourceStorage& storage : dict.storages) CheckStorage(source, storage);
  std::set<absl::string_view> keys;
  for (const SourceEntry& entry : dict.entries) {
    CheckEntry(dict, entry, limits);
    Require(keys.insert(entry.spec.key).second, "keys are unique", entry.spec.key);
  }
  CheckTieGroups(dict);
  CheckJson(dict.metadata_json, true);
  CheckJson(LeavesJson(dict.leaves), true);
  const absl::StatusOr<std::string> inspected = InspectJson(dict, nullptr);
  Require(inspected.ok(), "inspect describes what was read", inspected.status().ToString());
  CheckJson(*inspected);
}

std::optional<uint64_t> AllBytes(const SourceStateDict& dict) {
  uint64_t sum = 0;
  for (const SourceEntry& entry : dict.entries) {
    if (!CheckedAdd(sum, CheckedTensorBytes(entry.spec), &sum)) return std::nullopt;
  }
  return sum;
}

absl::StatusOr<std::vector<Tensor>> ReadTensors(const ByteSource& file, const SourceStateDict& dict,
                                                uint64_t step_bytes) {
  const auto source = MakeFileTensorSource(&file, &dict, "", SmallLimits());
  std::vector<Tensor> out;
  for (uint32_t i = 0; i < dict.entries.size(); ++i) {
    const TensorSpec& spec = dict.entries[i].spec;
    ASSIGN_OR_RETURN(std::string bytes,
                     ReadEntry(source.get(), i, CheckedTensorBytes(spec), step_bytes));
    Require(bytes.size() == CheckedTensorBytes(spec), "a tensor has all of its bytes", spec.key);
    out.push_back({spec, std::move(bytes)});
  }
  RETURN_IF_ERROR(source->VerifyRest());
  return out;
}

bool SameTensor(const Tensor& a, const Tensor& b) {
  return a.spec.key == b.spec.key && a.spec.dtype == b.spec.dtype && a.spec.shape == b.spec.shape &&
         a.bytes == b.bytes;
}

void SortByKey(std::vector<Tensor>* tensors) {
  std::sort(tensors->begin(), tensors->end(),
            [](const Tensor& a, const Tensor& b) { return a.spec.key < b.spec.key; });
}

void RequireSame(std::vector<Tensor> a, std::vector<Tensor> b, absl::string_view what) {
  SortByKey(&a);
  SortByKey(&b);
  Require(std::equal(a.begin(), a.end(), b.begin(), b.end(), SameTensor), what);
}

// The elements one by one, the slow and obvious way.
std::string GatherNaively(absl::string_view storage, const SourceEntry& entry) {
  const size_t width = ElementBits(entry.spec) / 8;
  std::string out;
  std::vector<uint64_t> at(entry.spec.shape.size());
  while (out.size() < CheckedTensorBytes(entry.spec)) {
    uint64_t element = 0;
    for (size_t i = 0; i < at.size(); ++i) element += at[i] * entry.strides[i];
    absl::StrAppend(&out, storage.substr(entry.offset_bytes + element * width, width));
    for (size_t i = at.size(); i-- > 0;) {
      if (++at[i] < entry.spec.shape[i]) break;
      at[i] = 0;
    }
  }
  return out;
}

void CheckGather(const ByteSource& file, const SourceStateDict& dict,
                 const std::vector<Tensor>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const SourceEntry& entry = dict.entries[i];
    const SourceStorage& storage = dict.storages[entry.storage];
    if (entry.strides.empty() || ElementBits(entry.spec) < 8 || entry.conjugate || entry.negative ||
        storage.big_endian || storage.encoding != SourceStorage::Encoding::kRaw ||
        storage.size_bytes > kReadBytesMax) {
      continue;
    }
    std::string bytes(storage.size_bytes, '\0');
    Require(file.ReadAt(storage.offset_bytes, absl::MakeSpan(&bytes[0], bytes.size())).ok(),
            "a storage can be read");
    Require(GatherNaively(bytes, entry) == tensors[i].bytes,
            "a view is gathered element by element", entry.spec.key);
  }
}

// Groups of keys, whatever the order of the entries.
std::set<std::set<std::string>> TiedKeys(const SourceStateDict& dict) {
  std::set<std::set<std::string>> out;
  for (const std::vector<uint32_t>& group : dict.ties) {
    std::set<std::string> keys;
    for (const uint32_t index : group) keys.insert(dict.entries[index].spec.key);
    out.insert(std::move(keys));
  }
  return out;
}

bool MayLack(Format format, const SourceStateDict& dict) {
  return std::any_of(dict.entries.begin(), dict.entries.end(), [&](const SourceEntry& entry) {
    return !FormatHasDType(format, entry.spec.dtype) || entry.spec.key == "__metadata__" ||
           (entry.spec.dtype == DType::kFloat4E2m1fnX2 && entry.spec.shape.empty());
  });
}

// Apart from spaces; both may be empty.
bool SameJson(const std::string& a, const std::string& b) {
  using Json = nlohmann::json;
  return a == b || Json::parse(a, nullptr, /*allow_exceptions=*/false) ==
                       Json::parse(b, nullptr, /*allow_exceptions=*/false);
}

void CheckReread(const std::string& file, Format format, const SourceStateDict& dict,
                 const std::vector<Tensor>& tensors) {
  const StringSource source(file);
  const absl::StatusOr<SourceStateDict> again = ReadStateDict(source, Format::kUnknown, Limits());
  Require(again.ok(), "what was written is read by content", again.status().ToString());
  Require(again->format == format, "what was written is found out by content",
          FormatName(again->format));
  const absl::StatusOr<std::vector<Tensor>> bytes = ReadTensors(source, *again, UINT64_MAX);
  Require(bytes.ok(), "what was written can be read", bytes.status().ToString());
  RequireSame(*bytes, tensors, "what was written is what was read");
  if (format == Format::kTorchSharp) return;
  Require(TiedKeys(*again) == TiedKeys(dict), "ties are kept");
  if (format == Format::kPyTorch && again->warnings.empty()) {
    Require(SameJson(again->metadata_json, dict.metadata_json), "_metadata is kept",
            absl::StrCat(dict.metadata_json, " became ", again->metadata_json));
  }
}

void CheckWritten(Format format, const SourceStateDict& dict, const std::vector<Tensor>& tensors) {
  const absl::StatusOr<FileLayout> layout = LayOut(format, LayoutInputOf(dict), Limits());
  if (!layout.ok()) {
    CheckRefusal(layout.status());
    Require(MayLack(format, dict), "a format takes what it has", layout.status().ToString());
    return;
  }
  std::string file;
  StringSink sink(&file);
  MemorySource source(&tensors);
  const absl::Status written = WriteLayout(*layout, &source, &sink);
  Require(written.ok(), "a layout can be written", written.ToString());
  Require(file.size() == layout->size_bytes, "a layout knows its size");
  if (format != Format::kTensors) CheckReread(file, format, dict, tensors);
}

}  // namespace

void Require(bool holds, absl::string_view what, absl::string_view detail) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s: %s\n", std::string(what).c_str(),
               Printable(detail).c_str());
  std::abort();
}

Limits SmallLimits() {
  Limits limits;
  limits.entries_max = 64;
  limits.key_bytes_max = 64;
  limits.dims_max = 8;
  limits.tensor_bytes_max = 64 << 10;
  limits.header_bytes_max = 4 << 10;
  limits.manifest_bytes_max = 8 << 10;
  limits.metadata_bytes_max = 1 << 10;
  limits.pickle_bytes_max = 4 << 10;
  limits.pickle_opcodes_max = 2000;
  limits.pickle_memory_bytes_max = 256 << 10;
  limits.pickle_depth_max = 20;
  limits.zip_records_max = 24;
  limits.zip_directory_bytes_max = 2 << 10;
  limits.materialized_bytes_max = 128 << 10;
  limits.spool_bytes_max = 1 << 20;
  limits.schema_bytes_max = 4 << 10;
  limits.rename_rules_max = 4;
  limits.rename_program_max = 500;
  limits.globs_max = 4;
  limits.report_items_max = 8;
  return limits;
}

void CheckRefusal(const absl::Status& status) {
  const absl::StatusCode code = status.code();
  const std::string text = status.ToString();
  const bool ambiguous =
      code == absl::StatusCode::kFailedPrecondition && GetReason(status) == Reason::kAmbiguous;
  Require(code == absl::StatusCode::kInvalidArgument || code == absl::StatusCode::kUnimplemented ||
              code == absl::StatusCode::kResourceExhausted || ambiguous,
          "a refusal is the input's fault", text);
  Require(GetReason(status) != Reason::kNone, "a refusal has a reason", text);
  Require(!status.message().empty() && status.message().size() <= kMessageBytesMax,
          "a message is bounded", text);
  Require(Printable(status.message()) == status.message(), "a message is one printable line", text);
}

void CheckJson(absl::string_view text, bool or_empty) {
  if (or_empty && text.empty()) return;
  Require(nlohmann::json::accept(text.begin(), text.end()), "a text is JSON", text);
}

void CheckAnswer(const ByteSource& source, const absl::StatusOr<SourceStateDict>& answer) {
  if (!answer.ok()) return CheckRefusal(answer.status());
  CheckDict(source, *answer, SmallLimits());
  const std::optional<uint64_t> bytes = AllBytes(*answer);
  if (!bytes || *bytes > kReadBytesMax) return;
  const absl::StatusOr<std::vector<Tensor>> tensors = ReadTensors(source, *answer, UINT64_MAX);
  if (!tensors.ok()) return CheckRefusal(tensors.status());
  if (*bytes <= kStepReadBytesMax) {
    const absl::StatusOr<std::vector<Tensor>> steps = ReadTensors(source, *answer, 7);
    Require(steps.ok(), "small steps read as well", steps.status().ToString());
    RequireSame(*steps, *tensors, "small steps read the same");
  }
  CheckGather(source, *answer, *tensors);
  for (const Format format : AllFormats()) {
    if (CanWrite(format)) CheckWritten(format, *answer, *tensors);
  }
}

void CheckBothWays(absl::string_view file, Format format) {
  const StringSource source{std::string(file)};
  const absl::StatusOr<std::vector<Tensor>> random = ReadAll(source, format, SmallLimits());
  const absl::StatusOr<std::vector<Tensor>> forward =
      ReadAllForward(std::string(file), format, SmallLimits());
  if (!forward.ok()) CheckRefusal(forward.status());
  Require(random.ok() == forward.ok(), "both ways of reading agree",
          absl::StrCat(random.status().ToString(), " | ", forward.status().ToString()));
  if (random.ok()) RequireSame(*random, *forward, "both ways of reading find the same");
}

uint64_t Pieces::Number(size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes && !left_.empty(); ++i) {
    value |= uint64_t{static_cast<uint8_t>(left_[0])} << (8 * i);
    left_.remove_prefix(1);
  }
  return value;
}

std::string Pieces::Text() {
  const size_t wanted = Number(2);
  const size_t size = std::min(wanted, left_.size());
  std::string out(left_.substr(0, size));
  left_.remove_prefix(size);
  return out;
}

}  // namespace ballast::fuzz

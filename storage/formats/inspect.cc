#include "storage/formats/inspect.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "storage/base/digest.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"
#include "storage/formats/json_text.h"
#include "storage/model/value_counter.h"

namespace ballast {
namespace {

// Text of a file that need not be UTF-8, as a JSON string.
std::string SafeJsonString(absl::string_view text) {
  return JsonString(IsUtf8(text) ? std::string(text) : Printable(text));
}

// JSON from outside goes in as it is if it is JSON, else as a string.
std::string EmbeddedJson(absl::string_view text, absl::string_view if_empty) {
  if (text.empty()) return std::string(if_empty);
  if (nlohmann::json::accept(text.begin(), text.end())) return std::string(text);
  return SafeJsonString(text);
}

// Joins what `item(i)` gives for 0 … count−1 to a JSON list, one item a line.
template <typename F>
std::string JsonList(size_t count, F item) {
  std::string out = "[";
  for (size_t i = 0; i < count; ++i) {
    absl::StrAppend(&out, i == 0 ? "\n" : ",\n", item(i));
  }
  return out += count == 0 ? "]" : "\n]";
}

// Computes the digests of the tensors one after the other.
class TensorHasher {
 public:
  TensorHasher(TensorSource* source, const std::function<bool(uint64_t)>& progress)
      : source_(source), progress_(progress) {}

  // Also counts its values, block by block as a push does.
  absl::StatusOr<Digest> Hash(uint32_t entry, uint64_t size_bytes, ValueCounter* values,
                              ValueTally* tally) {
    for (uint64_t offset = 0; offset < size_bytes;) {
      ASSIGN_OR_RETURN(const Chunk chunk,
                       source_->Read(entry, offset, kBlockBytes - offset % kBlockBytes));
      sha_.Update(chunk.bytes);
      values->Add(chunk.bytes);
      offset += chunk.bytes.size();
      if (offset % kBlockBytes == 0) tally->Append(values->Finish());
      done_ += chunk.bytes.size();
      if (progress_ && !progress_(done_)) return absl::CancelledError("inspecting: cancelled");
    }
    return sha_.Finish();
  }

 private:
  TensorSource* source_;  // Must outlive this.
  const std::function<bool(uint64_t)>& progress_;
  Sha256 sha_;
  uint64_t done_ = 0;
};

std::string HealthJson(const Health& health) {
  return absl::StrFormat(
      "{\"nan\":%d,\"inf\":%d,\"zeros\":%d,\"min\":%.17g,\"max\":%.17g,\"mean\":%.17g}", health.nan,
      health.inf, health.zeros, health.min, health.max, health.mean);
}

// What is known of an entry's bytes.
struct Facts {
  std::optional<Digest> digest;
  std::optional<Health> health;
};

std::string EntryJson(const TensorSpec& spec, const Facts& facts) {
  std::string out =
      absl::StrCat("{\"key\":", SafeJsonString(spec.key), ",\"dtype\":\"", DTypeName(spec.dtype),
                   "\",\"shape\":[", absl::StrJoin(spec.shape, ","), "],\"kind\":\"",
                   KindName(spec.kind), "\",\"role\":\"", RoleName(spec.role), "\"");
  if (facts.digest) absl::StrAppend(&out, ",\"sha256\":\"", facts.digest->Hex(), "\"");
  if (facts.health) absl::StrAppend(&out, ",\"health\":", HealthJson(*facts.health));
  return out += "}";
}

// What a document begins with, apart from tensors.
struct Origin {
  Format format = Format::kUnknown;
  absl::string_view writer;
  std::string container;  // JSON
  std::string storages;   // JSON
};

// Reads every tensor once; tied ones share the reading.
absl::StatusOr<std::vector<Facts>> ReadFacts(const std::vector<const TensorSpec*>& specs,
                                             const Ties& ties, TensorSource* source,
                                             const std::function<bool(uint64_t)>& progress) {
  std::vector<Facts> facts(specs.size());
  const std::vector<uint32_t> twins = TieRepresentatives(specs.size(), ties);
  TensorHasher hasher(source, progress);
  for (uint32_t i = 0; i < facts.size(); ++i) {
    if (twins[i] < i) {
      facts[i] = facts[twins[i]];
      continue;
    }
    ValueCounter values(specs[i]->dtype);
    ValueTally tally;
    const uint64_t size = CheckedTensorBytes(*specs[i]);
    ASSIGN_OR_RETURN(facts[i].digest, hasher.Hash(i, size, &values, &tally));
    tally.Append(values.Finish());
    facts[i].health = HealthOf(specs[i]->dtype, tally);
  }
  return facts;
}

// What both kinds of document have, up to and including the ties.
std::string Head(const Origin& origin, const std::vector<const TensorSpec*>& specs,
                 const std::vector<Facts>& facts, const Ties& ties) {
  uint64_t bytes = 0;
  for (const TensorSpec* spec : specs) bytes += CheckedTensorBytes(*spec);
  const auto entry = [&](size_t i) { return EntryJson(*specs[i], facts[i]); };
  const auto tie = [&](size_t i) {
    return absl::StrCat("[",
                        absl::StrJoin(ties[i], ",",
                                      [&](std::string* out, uint32_t index) {
                                        absl::StrAppend(out, SafeJsonString(specs[index]->key));
                                      }),
                        "]");
  };
  return absl::StrCat("{\"format\":\"", FormatName(origin.format),
                      "\",\"writer\":", SafeJsonString(origin.writer), ",\"bytes\":", bytes,
                      ",\n\"container\":", origin.container, ",\n\"storages\":", origin.storages,
                      ",\n\"entries\":", JsonList(specs.size(), entry),
                      ",\n\"ties\":", JsonList(ties.size(), tie));
}

std::string ContainerJson(const SourceStateDict& dict) {
  std::string out = "{";
  for (const SourceFact& fact : dict.container) {
    absl::StrAppend(&out, out.size() == 1 ? "" : ",", JsonString(fact.name), ":", fact.json);
  }
  return out += "}";
}

// From its first element to behind its last.
uint64_t ReachedBytes(const SourceEntry& entry) {
  const uint64_t size = CheckedTensorBytes(entry.spec);
  if (size == 0 || entry.strides.empty()) return size;
  uint64_t last = 0;
  for (size_t i = 0; i < entry.strides.size(); ++i) {
    last += (entry.spec.shape[i] - 1) * entry.strides[i];
  }
  return (last + 1) * (InfoOf(entry.spec.dtype).bits / 8);
}

std::string StoragesJson(const SourceStateDict& dict) {
  struct Reach {
    uint32_t storage;
    uint64_t begin, end;
  };
  std::vector<Reach> reaches;
  for (const SourceEntry& entry : dict.entries) {
    const uint64_t end = entry.offset_bytes + ReachedBytes(entry);
    reaches.push_back({entry.storage, entry.offset_bytes, end});
  }
  std::sort(reaches.begin(), reaches.end(), [](const Reach& a, const Reach& b) {
    return std::pair(a.storage, a.begin) < std::pair(b.storage, b.begin);
  });
  uint64_t used = 0;
  for (size_t i = 0; i < reaches.size(); ++i) {
    const bool next = i == 0 || reaches[i].storage != reaches[i - 1].storage;
    const uint64_t done = next ? 0 : reaches[i - 1].end;
    used += reaches[i].end - std::min(reaches[i].end, std::max(reaches[i].begin, done));
    reaches[i].end = std::max(reaches[i].end, done);
  }
  uint64_t stored = 0;
  for (const SourceStorage& storage : dict.storages) stored += storage.size_bytes;
  return absl::StrCat("{\"count\":", dict.storages.size(), ",\"stored_bytes\":", stored,
                      ",\"used_bytes\":", used, "}");
}

bool IsView(const SourceStateDict& dict, const SourceEntry& entry) {
  return entry.offset_bytes != 0 || !entry.strides.empty() ||
         CheckedTensorBytes(entry.spec) != dict.storages[entry.storage].size_bytes;
}

std::string ViewJson(const SourceStateDict& dict, const SourceEntry& entry) {
  const SourceStorage& storage = dict.storages[entry.storage];
  std::string out = absl::StrCat(
      "{\"key\":", SafeJsonString(entry.spec.key), ",\"storage\":", SafeJsonString(storage.name),
      ",\"storage_bytes\":", storage.size_bytes, ",\"offset_bytes\":", entry.offset_bytes,
      ",\"used_bytes\":", CheckedTensorBytes(entry.spec));
  if (!entry.strides.empty()) {
    absl::StrAppend(&out, ",\"strides\":[", absl::StrJoin(entry.strides, ","), "]");
  }
  return out += "}";
}

std::string ViewsJson(const SourceStateDict& dict) {
  std::vector<const SourceEntry*> views;
  for (const SourceEntry& entry : dict.entries) {
    if (CheckedTensorBytes(entry.spec) != 0 && IsView(dict, entry)) views.push_back(&entry);
  }
  return JsonList(views.size(), [&](size_t i) { return ViewJson(dict, *views[i]); });
}

std::string GlobalsJson(const SourceStateDict& dict) {
  return JsonList(dict.globals.size(), [&](size_t i) {
    return absl::StrCat("{\"name\":", SafeJsonString(dict.globals[i].name),
                        ",\"verdict\":", SafeJsonString(dict.globals[i].verdict), "}");
  });
}

std::string WarningsJson(const SourceStateDict& dict) {
  return JsonList(dict.warnings.size(), [&](size_t i) { return SafeJsonString(dict.warnings[i]); });
}

}  // namespace

absl::StatusOr<std::string> InspectJson(const SourceStateDict& dict, TensorSource* digests,
                                        const std::function<bool(uint64_t)>& progress) {
  std::vector<const TensorSpec*> specs;
  for (const SourceEntry& entry : dict.entries) specs.push_back(&entry.spec);
  std::vector<Facts> facts(specs.size());
  if (digests != nullptr) {
    ASSIGN_OR_RETURN(facts, ReadFacts(specs, dict.ties, digests, progress));
  }
  const std::string head = Head({dict.format, dict.writer, ContainerJson(dict), StoragesJson(dict)},
                                specs, facts, dict.ties);
  return absl::StrCat(head, ",\n\"views\":", ViewsJson(dict),
                      ",\n\"leaves\":", EmbeddedJson(LeavesJson(dict.leaves), "[]"),
                      ",\n\"globals\":", GlobalsJson(dict),
                      ",\n\"metadata\":", EmbeddedJson(dict.metadata_json, "null"),
                      ",\n\"warnings\":", WarningsJson(dict), "}\n");
}

absl::StatusOr<std::string> InspectJson(const Manifest& manifest, TensorSource* digests,
                                        const std::function<bool(uint64_t)>& progress) {
  std::vector<const TensorSpec*> specs;
  for (const ManifestEntry& entry : manifest.entries) specs.push_back(&entry.spec);
  std::vector<Facts> facts(specs.size());
  if (digests != nullptr) {
    ASSIGN_OR_RETURN(facts, ReadFacts(specs, manifest.ties, digests, progress));
  }
  for (size_t i = 0; i < facts.size(); ++i) facts[i].health = manifest.entries[i].health;
  const std::string head =
      Head({manifest.format, manifest.writer, "{}", "null"}, specs, facts, manifest.ties);
  return absl::StrCat(
      head, ",\n\"views\":[],\n\"leaves\":", EmbeddedJson(manifest.leaves_json, "[]"),
      ",\n\"globals\":[],\n\"metadata\":", EmbeddedJson(manifest.metadata_json, "null"),
      ",\n\"warnings\":[]}\n");
}

}  // namespace ballast

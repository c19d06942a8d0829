#include "client/backup_facts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kEncoding = 1;
constexpr absl::string_view kModelMark = "ballast_model";
constexpr absl::string_view kVersionMark = "ballast_version";
constexpr absl::string_view kSumPrefix = "sha256:";
constexpr size_t kSumBytes = 7 + 64 + 1;

std::string WithChecksum(const Json& json) {
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string sum = Sha256Of(text).Hex();
  return absl::StrCat(text, "\n", kSumPrefix, sum, "\n");
}

// The fields of an object, taken with their types; the first that is wrong is the error.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {
    if (!json.is_object()) Fail("the text", "an object");
  }

  uint64_t Number(const char* name) {
    const Json* at = Find(name);
    if (at == nullptr || !at->is_number_unsigned()) return Fail(name, "a whole number"), 0;
    return at->get<uint64_t>();
  }
  std::string Text(const char* name) {
    const Json* at = Find(name);
    if (at == nullptr || !at->is_string()) return Fail(name, "a string"), "";
    return at->get<std::string>();
  }
  Digest Hash(const char* name) {
    const absl::StatusOr<Digest> digest = Digest::FromHex(Text(name));
    if (!digest.ok()) return Fail(name, "64 hex digits"), Digest();
    return *digest;
  }
  absl::Time Time(const char* name) {
    absl::Time time;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, Text(name), &time, &error)) Fail(name, "a time");
    return time;
  }
  template <typename T>
  std::map<std::string, T> Map(const char* name) {
    std::map<std::string, T> out;
    const Json* at = Find(name);
    if (at == nullptr || !at->is_object()) return Fail(name, "an object"), out;
    for (const auto& [key, value] : at->items()) {
      const bool fits =
          std::is_same_v<T, std::string> ? value.is_string() : value.is_number_unsigned();
      if (!fits) return Fail(name, "other values"), out;
      out[key] = value.template get<T>();
    }
    return out;
  }
  std::vector<uint64_t> Numbers(const char* name) {
    std::vector<uint64_t> out;
    const Json* at = Find(name);
    if (at == nullptr || !at->is_array()) return Fail(name, "an array"), out;
    for (const Json& value : *at) {
      if (!value.is_number_unsigned()) return Fail(name, "whole numbers"), out;
      out.push_back(value.get<uint64_t>());
    }
    return out;
  }
  // Null if it is not there, or null itself.
  const Json* Optional(const char* name) {
    const Json* at = Find(name);
    return at == nullptr || at->is_null() ? nullptr : at;
  }

  void Fail(absl::string_view name, absl::string_view want) {
    if (status_.ok()) status_ = MalformedError("\"", name, "\" is not there or not ", want);
  }
  const absl::Status& status() const { return status_; }

 private:
  const Json* Find(const char* name) {
    if (!json_.is_object()) return nullptr;
    const auto at = json_.find(name);
    return at == json_.end() ? nullptr : &*at;
  }

  const Json& json_;
  absl::Status status_;
};

// Takes the JSON off the front of `text`.
absl::Status TakeJson(absl::string_view* text, absl::string_view mark, Json* json) {
  const size_t end = text->find('\n');
  if (end == absl::string_view::npos || text->size() - end - 1 < kSumBytes) {
    return TruncatedError("the text ends before its checksum");
  }
  const absl::string_view line = text->substr(0, end);
  const absl::string_view sum = text->substr(end + 1, kSumBytes);
  if (sum != absl::StrCat(kSumPrefix, Sha256Of(line).Hex(), "\n")) {
    return absl::DataLossError("the text fails its checksum");
  }
  *text = text->substr(end + 1 + kSumBytes);
  *json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (json->is_discarded()) return MalformedError("the text is not JSON");
  Fields fields(*json);
  const uint64_t encoding = fields.Number(std::string(mark).c_str());
  RETURN_IF_ERROR(fields.status());
  if (encoding == kEncoding) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(mark, " is ", encoding, ", want ", kEncoding, ": use a newer ballast"));
}

Json RetentionJson(const RetentionRules& rules) {
  Json labels = Json::array();
  for (const RetentionRules::Label& label : rules.keep_labelled) {
    Json one = {{"name", label.name}};
    if (label.value) one["value"] = *label.value;
    labels.push_back(one);
  }
  return {{"keep_last", rules.keep_last},
          {"keep_newer_than_ms",
           static_cast<uint64_t>(absl::ToInt64Milliseconds(rules.keep_newer_than))},
          {"keep_labelled", labels}};
}

absl::StatusOr<RetentionRules> RetentionFromJson(const Json& json) {
  Fields fields(json);
  RetentionRules rules;
  rules.keep_last = fields.Number("keep_last");
  const uint64_t newer_ms = fields.Number("keep_newer_than_ms");
  rules.keep_newer_than =
      absl::Milliseconds(static_cast<int64_t>(std::min<uint64_t>(newer_ms, INT64_MAX)));
  const Json* labels = fields.Optional("keep_labelled");
  if (labels == nullptr || !labels->is_array()) fields.Fail("keep_labelled", "an array");
  RETURN_IF_ERROR(fields.status());
  for (const Json& label : *labels) {
    Fields of_label(label);
    RetentionRules::Label out;
    out.name = of_label.Text("name");
    if (of_label.Optional("value") != nullptr) out.value = of_label.Text("value");
    RETURN_IF_ERROR(of_label.status());
    rules.keep_labelled.push_back(std::move(out));
  }
  return rules;
}

absl::Status CheckModelFacts(const ModelFacts& facts) {
  RETURN_IF_ERROR(CheckModelName(facts.model));
  uint64_t before = 0;
  for (const uint64_t version : facts.versions) {
    if (version <= before) return MalformedError("\"versions\" do not ascend from 1");
    before = version;
  }
  for (const auto& [alias, version] : facts.aliases) RETURN_IF_ERROR(CheckAliasName(alias));
  if (facts.numbers_used >= before) return absl::OkStatus();
  return MalformedError("\"numbers_used\" is ", facts.numbers_used, ", want at least ", before);
}

}  // namespace

std::string EncodeModelFacts(const ModelFacts& facts) {
  Json json;
  json[std::string(kModelMark)] = kEncoding;
  json["model"] = facts.model;
  json["numbers_used"] = facts.numbers_used;
  json["versions"] = facts.versions;
  json["aliases"] = Json(facts.aliases);
  json["retention"] = facts.retention ? RetentionJson(*facts.retention) : Json(nullptr);
  json["schema"] = facts.schema;
  return WithChecksum(json);
}

absl::StatusOr<ModelFacts> DecodeModelFacts(absl::string_view text) {
  Json json;
  RETURN_IF_ERROR(TakeJson(&text, kModelMark, &json));
  if (!text.empty()) return MalformedError("something follows the checksum");
  Fields fields(json);
  ModelFacts facts;
  facts.model = fields.Text("model");
  facts.numbers_used = fields.Number("numbers_used");
  facts.versions = fields.Numbers("versions");
  facts.aliases = fields.Map<uint64_t>("aliases");
  facts.schema = fields.Text("schema");
  RETURN_IF_ERROR(fields.status());
  if (const Json* rules = fields.Optional("retention")) {
    ASSIGN_OR_RETURN(facts.retention, RetentionFromJson(*rules), "retention");
  }
  RETURN_IF_ERROR(CheckModelFacts(facts));
  return facts;
}

std::string EncodeVersionFacts(const VersionFacts& facts) {
  const std::string manifest = EncodeManifest(facts.manifest);
  Json json;
  json[std::string(kVersionMark)] = kEncoding;
  json["model"] = facts.model;
  json["version"] = facts.version;
  json["digest"] = facts.digest.Hex();
  json["created"] = absl::FormatTime(absl::RFC3339_full, facts.created, absl::UTCTimeZone());
  json["creator"] = facts.creator;
  json["message"] = facts.message;
  json["labels"] = Json(facts.labels);
  json["parent"] = facts.parent;
  json["manifest_bytes"] = manifest.size();
  json["manifest_sha256"] = Sha256Of(manifest).Hex();
  return absl::StrCat(WithChecksum(json), manifest);
}

absl::StatusOr<VersionFacts> DecodeVersionFacts(absl::string_view text, const Limits& limits) {
  Json json;
  RETURN_IF_ERROR(TakeJson(&text, kVersionMark, &json));
  Fields fields(json);
  VersionFacts facts;
  facts.model = fields.Text("model");
  facts.version = fields.Number("version");
  facts.digest = fields.Hash("digest");
  facts.created = fields.Time("created");
  facts.creator = fields.Text("creator");
  facts.message = fields.Text("message");
  facts.labels = fields.Map<std::string>("labels");
  facts.parent = fields.Number("parent");
  const uint64_t manifest_bytes = fields.Number("manifest_bytes");
  const Digest manifest_digest = fields.Hash("manifest_sha256");
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(CheckModelName(facts.model));
  if (text.size() != manifest_bytes || Sha256Of(text) != manifest_digest) {
    return absl::DataLossError("the manifest fails its SHA-256");
  }
  ASSIGN_OR_RETURN(facts.manifest, DecodeManifest(text, limits), "manifest");
  if (VersionDigest(facts.manifest) == facts.digest) return facts;
  return absl::DataLossError("the manifest is not that of the digest");
}

}  // namespace ballast

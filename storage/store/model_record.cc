#include "storage/store/model_record.h"

#include <random>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "storage/base/status.h"
#include "storage/store/record_coding.h"

namespace ballast {
namespace {

constexpr size_t kRequestIdBytesMax = 64;
constexpr uint8_t kRetentionEncoding = 1;

std::string TenDigits(uint64_t version) {
  return absl::StrCat(absl::Dec(kVersionMax - version, absl::kZeroPad10));
}

absl::Status Damaged(absl::string_view what, absl::string_view value) {
  return absl::DataLossError(
      absl::StrCat("record: ", what, " \"", Printable(value.substr(0, 100)), "\" is damaged"));
}

}  // namespace

std::string ModelRecord(absl::string_view model) { return absl::StrCat(kModelPrefix, model); }

std::string IndexRecord(uint32_t shard) {
  return absl::StrCat("i/", absl::Hex(shard, absl::kZeroPad2));
}

uint32_t ModelShard(absl::string_view model) { return Sha256Of(model).bytes[0] % kModelShards; }

std::string VersionKey(uint64_t version) {
  return absl::StrCat(kVersionPrefix, TenDigits(version));
}

std::string DeletedKey(uint64_t version) {
  return absl::StrCat(kDeletedPrefix, TenDigits(version));
}

std::string HistoryKey(uint64_t number) { return absl::StrCat(kHistoryPrefix, TenDigits(number)); }

absl::StatusOr<uint64_t> VersionOfKey(absl::string_view key) {
  uint64_t rest = 0;
  if (key.size() < 10 || !absl::SimpleAtoi(key.substr(key.size() - 10), &rest)) {
    return Damaged("key", key);
  }
  return kVersionMax - rest;
}

std::string AliasKey(absl::string_view alias) { return absl::StrCat(kAliasPrefix, alias); }
std::string IntentKey(absl::string_view push_id) { return absl::StrCat(kIntentPrefix, push_id); }
std::string LeftIntentKey(absl::string_view request_id) {
  return absl::StrCat(kIntentPrefix, "-", request_id);
}
std::string RequestKey(absl::string_view request_id) {
  return absl::StrCat(kRequestPrefix, request_id);
}

std::string DigestPrefix(const Digest& digest) { return absl::StrCat("d/", digest.Hex(), "/"); }

std::string DigestKey(const Digest& digest, uint64_t version) {
  return absl::StrCat(DigestPrefix(digest), TenDigits(version));
}

std::string EncodeHead(const ModelHead& head) { return absl::StrCat(head.newest, " ", head.live); }

absl::StatusOr<ModelHead> DecodeHead(absl::string_view value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(value, ' ');
  ModelHead head;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &head.newest) ||
      !absl::SimpleAtoi(parts[1], &head.live) || head.newest > kVersionMax) {
    return Damaged("head", value);
  }
  return head;
}

std::string EncodeAlias(const AliasValue& alias) {
  return absl::StrCat(alias.version, " ", alias.token);
}

absl::StatusOr<AliasValue> DecodeAlias(absl::string_view value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(value, ' ');
  AliasValue alias;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &alias.version) ||
      alias.version > kVersionMax) {
    return Damaged("alias", value);
  }
  alias.token = std::string(parts[1]);
  return alias;
}

absl::StatusOr<uint64_t> DecodeNames(const std::optional<std::string>& value) {
  uint64_t number = 0;
  if (!value.has_value() || (absl::SimpleAtoi(*value, &number) && number <= kVersionMax)) {
    return number;
  }
  return Damaged("names", *value);
}

std::string EncodeAliasMove(const AliasMove& move) {
  std::string out;
  PutVarint(static_cast<uint64_t>(absl::ToUnixMicros(move.time)), &out);
  PutBytes(move.principal, &out);
  PutBytes(move.alias, &out);
  PutVarint(move.from, &out);
  PutVarint(move.to, &out);
  return out;
}

absl::StatusOr<AliasMove> DecodeAliasMove(absl::string_view value) {
  RecordReader in(value);
  AliasMove move;
  move.time = absl::FromUnixMicros(static_cast<int64_t>(in.Varint()));
  move.principal = in.Bytes();
  move.alias = in.Bytes();
  move.from = in.Varint();
  move.to = in.Varint();
  if (!in.Done()) return Damaged("alias history", value);
  return move;
}

std::string EncodeIntent(const IntentValue& intent) {
  std::string out = absl::StrCat(intent.epoch, " ", absl::ToUnixMicros(intent.start));
  if (!intent.server.empty()) absl::StrAppend(&out, " ", intent.server);
  if (intent.left.has_value()) absl::StrAppend(&out, " ", absl::ToUnixMicros(*intent.left));
  return out;
}

IntentValue DecodeIntent(absl::string_view value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(value, ' ');
  IntentValue intent;
  int64_t start = 0, left = 0;
  if (parts.size() < 2 || parts.size() > 4 || !absl::SimpleAtoi(parts[0], &intent.epoch) ||
      !absl::SimpleAtoi(parts[1], &start) ||
      (parts.size() == 4 && !absl::SimpleAtoi(parts[3], &left))) {
    return {};
  }
  intent.start = absl::FromUnixMicros(start);
  if (parts.size() > 2) intent.server = std::string(parts[2]);
  if (parts.size() > 3) intent.left = absl::FromUnixMicros(left);
  return intent;
}

Epoch EpochOfIntent(absl::string_view value) { return DecodeIntent(value).epoch; }

std::string EncodeRequest(const RequestAnswer& request) {
  const char operation = static_cast<char>(request.operation);
  return absl::StrCat(absl::string_view(&operation, 1), " ", request.answer, " ", request.token,
                      " ", absl::ToUnixMicros(request.time));
}

absl::StatusOr<RequestAnswer> DecodeRequest(absl::string_view value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(value, ' ');
  RequestAnswer request;
  int64_t micros = 0;
  if (parts.size() != 4 || parts[0].size() != 1 || !absl::SimpleAtoi(parts[1], &request.answer) ||
      request.answer > kVersionMax || !absl::SimpleAtoi(parts[3], &micros)) {
    return Damaged("request", value);
  }
  request.operation = static_cast<Operation>(parts[0][0]);
  request.token = std::string(parts[2]);
  request.time = absl::FromUnixMicros(micros);
  return request;
}

std::string EncodeRetention(const RetentionValue& retention) {
  std::string out(1, static_cast<char>(kRetentionEncoding));
  PutVarint(retention.rules.keep_last, &out);
  PutVarint(retention.rules.keep_newer_than_ms, &out);
  PutVarint(retention.rules.keep_labelled.size(), &out);
  for (const LabelRule& label : retention.rules.keep_labelled) {
    PutBytes(label.name, &out);
    out.push_back(label.value.has_value() ? 1 : 0);
    if (label.value.has_value()) PutBytes(*label.value, &out);
  }
  PutBytes(retention.token, &out);
  PutBytes(retention.principal, &out);
  PutVarint(static_cast<uint64_t>(absl::ToUnixMicros(retention.time)), &out);
  return out;
}

absl::StatusOr<RetentionValue> DecodeRetention(absl::string_view value) {
  RecordReader in(value);
  RetentionValue retention;
  const absl::string_view encoding = in.Take(1);
  if (encoding.empty() || static_cast<uint8_t>(encoding[0]) != kRetentionEncoding) {
    return Damaged("retention", value);
  }
  retention.rules.keep_last = in.Varint();
  retention.rules.keep_newer_than_ms = in.Varint();
  const uint64_t labels = in.Varint();
  for (uint64_t i = 0; i < labels && in.ok(); ++i) {
    LabelRule& label = retention.rules.keep_labelled.emplace_back();
    label.name = in.Bytes();
    if (in.Take(1) == absl::string_view("\x01")) label.value = in.Bytes();
  }
  retention.token = in.Bytes();
  retention.principal = in.Bytes();
  retention.time = absl::FromUnixMicros(static_cast<int64_t>(in.Varint()));
  if (!in.Done()) return Damaged("retention", value);
  return retention;
}

std::string EncodeSchema(const SchemaValue& schema) {
  std::string out;
  PutBytes(schema.token, &out);
  PutStoredText(schema.text, &out);
  return out;
}

absl::StatusOr<SchemaValue> DecodeSchema(absl::string_view value) {
  RecordReader in(value);
  SchemaValue schema;
  schema.token = in.Bytes();
  schema.text = TakeStoredText(&in);
  if (!in.Done()) return Damaged("schema", value);
  return schema;
}

std::string NewToken() {
  std::random_device random;
  std::string bytes;
  for (int i = 0; i < 4; ++i) {
    const uint32_t word = random();
    bytes.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  return absl::BytesToHexString(bytes);
}

absl::Status CheckRequestId(absl::string_view request_id) {
  bool printable = true;
  for (const char c : request_id) printable = printable && c >= 0x20 && c < 0x7F;
  if (printable && request_id.size() <= kRequestIdBytesMax) return absl::OkStatus();
  return MalformedError("request id: is \"", Printable(request_id.substr(0, 100)), "\", want 1 to ",
                        kRequestIdBytesMax, " printable ASCII bytes");
}

}  // namespace ballast

// Names and small values of the catalog's records; catalog.h lists them.
#ifndef BALLAST_STORAGE_STORE_MODEL_RECORD_H_
#define BALLAST_STORAGE_STORE_MODEL_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "storage/base/digest.h"
#include "storage/store/blob_store.h"
#include "storage/store/catalog_facts.h"
#include "storage/store/stored_text.h"

namespace ballast {

inline constexpr uint32_t kModelShards = 16;
inline constexpr uint64_t kVersionMax = 9'999'999'999;

inline constexpr absl::string_view kHeadKey = "head";
inline constexpr absl::string_view kSchemaKey = "schema";
inline constexpr absl::string_view kRetentionKey = "retention";
inline constexpr absl::string_view kNamesKey = "names";
inline constexpr absl::string_view kVersionPrefix = "v/";
inline constexpr absl::string_view kDeletedPrefix = "x/";
inline constexpr absl::string_view kAliasPrefix = "a/";
inline constexpr absl::string_view kHistoryPrefix = "h/";
inline constexpr absl::string_view kIntentPrefix = "p/";
inline constexpr absl::string_view kRequestPrefix = "r/";
inline constexpr absl::string_view kModelPrefix = "m/";
inline constexpr absl::string_view kGcRecord = "gc";
inline constexpr absl::string_view kEpochKey = "epoch";

// "m/<model>": the model's record, and its key in an index record.
std::string ModelRecord(absl::string_view model);
// "i/00" to "i/0f".
std::string IndexRecord(uint32_t shard);
uint32_t ModelShard(absl::string_view model);

// Versions sort newest first: the ten digits are kVersionMax - version.
std::string VersionKey(uint64_t version);
std::string DeletedKey(uint64_t version);
// Of either of them, or of a digest's key.
absl::StatusOr<uint64_t> VersionOfKey(absl::string_view key);
// Moves of aliases sort newest first as well; `number` counts them from 1.
std::string HistoryKey(uint64_t number);
std::string AliasKey(absl::string_view alias);
std::string IntentKey(absl::string_view push_id);
// Of a push that was left, by its request; no push id begins with a dash.
std::string LeftIntentKey(absl::string_view request_id);
std::string RequestKey(absl::string_view request_id);
// "d/<digest>/", and with a version behind it, newest first as well.
std::string DigestPrefix(const Digest& digest);
std::string DigestKey(const Digest& digest, uint64_t version);

// "<newest number> <live versions>".
struct ModelHead {
  uint64_t newest = 0;
  uint64_t live = 0;
};
std::string EncodeHead(const ModelHead& head);
absl::StatusOr<ModelHead> DecodeHead(absl::string_view value);

// "<version> <token>".
struct AliasValue {
  uint64_t version = 0;
  std::string token;
};
std::string EncodeAlias(const AliasValue& alias);
absl::StatusOr<AliasValue> DecodeAlias(absl::string_view value);

// How often aliases of a model were moved: "<number>". Every change of an alias counts
// it up in the same commit, so it is also what shows that no alias was changed.
absl::StatusOr<uint64_t> DecodeNames(const std::optional<std::string>& value);

// varint µs since 1970 | bytes principal | bytes alias | varint from | varint to.
std::string EncodeAliasMove(const AliasMove& move);
absl::StatusOr<AliasMove> DecodeAliasMove(absl::string_view value);

// "<epoch> <start, µs since 1970>[ <server>[ <left, µs since 1970>]]".
struct IntentValue {
  Epoch epoch = 0;  // every block of the push has this one or a later one
  absl::Time start;
  std::string server;              // the token of the one that holds it; "" in older stores
  std::optional<absl::Time> left;  // when its client or network went; it may come back
};
std::string EncodeIntent(const IntentValue& intent);
// What cannot be read is older than all, of no server, and was not left.
IntentValue DecodeIntent(absl::string_view value);
Epoch EpochOfIntent(absl::string_view value);

// "<operation> <answer> <token> <µs since 1970>".
enum class Operation : char {
  kPush = 'p',         // answer: the version made
  kSetAlias = 's',     // answer: the version before, 0: none
  kRemoveAlias = 'r',  // answer: 0, as for those below
  kBindSchema = 'b',
  kUnbindSchema = 'u',
  kSetRetention = 't',
  kUndelete = 'n',
  kReserveNumbers = 'v',
  kDelete = 'd',  // answer: how many versions were deleted
};
struct RequestAnswer {
  Operation operation = Operation::kPush;
  uint64_t answer = 0;
  std::string token;
  absl::Time time;
};
std::string EncodeRequest(const RequestAnswer& request);
absl::StatusOr<RequestAnswer> DecodeRequest(absl::string_view value);

// u8 1 (encoding) | varint keep_last | varint keep_newer_than (ms) | varint count, per
// label: bytes name, u8 0 or (u8 1, bytes value) | bytes token | bytes principal |
// varint µs since 1970.
struct RetentionValue {
  Retention rules;
  std::string token;
  std::string principal;  // who set them
  absl::Time time;
};
std::string EncodeRetention(const RetentionValue& retention);
absl::StatusOr<RetentionValue> DecodeRetention(absl::string_view value);

// bytes token | StoredText.
struct SchemaValue {
  std::string token;
  StoredText text;
};
std::string EncodeSchema(const SchemaValue& schema);
absl::StatusOr<SchemaValue> DecodeSchema(absl::string_view value);

// 32 hex digits from the system's random source.
std::string NewToken();

// Errors: InvalidArgument  not "" and not 1 to 64 printable ASCII bytes.
absl::Status CheckRequestId(absl::string_view request_id);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_MODEL_RECORD_H_

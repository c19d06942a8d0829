#include "storage/store/stored_walk.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/model_record.h"
#include "storage/store/record_iteration.h"

namespace ballast {
namespace {

constexpr size_t kPage = 256;

// One model.
class ModelWalk {
 public:
  ModelWalk(RecordStore* records, const std::string& model, const StoredWalk& walk)
      : records_(records), model_(model), record_(ModelRecord(model)), walk_(walk) {}

  absl::Status Run() {
    const absl::Status walked =
        ForEachItem(records_, record_, "", "", kPage,
                    [&](absl::string_view key, absl::string_view value) -> absl::StatusOr<Walk> {
                      RETURN_IF_ERROR(Take(key, value));
                      return Walk::kGoOn;
                    });
    if (stopped_ || !absl::IsDataLoss(walked)) return walked;
    return Damaged(absl::StrCat("its record: ", walked.message()));
  }

 private:
  // What the functions said ends the walk, also if it is DataLoss.
  absl::Status Stop(absl::Status status) {
    stopped_ = !status.ok();
    return status;
  }
  absl::Status Damaged(absl::string_view problem) {
    if (!walk_.damaged) return absl::OkStatus();
    return Stop(walk_.damaged(Printable(absl::StrCat(model_, ": ", problem))));
  }
  absl::Status Check(absl::string_view key, const absl::Status& status) {
    return status.ok() ? status : Damaged(absl::StrCat("key ", key, ": ", status.message()));
  }

  absl::Status Take(absl::string_view key, absl::string_view value) {
    if (absl::StartsWith(key, kVersionPrefix)) return TakeVersion(key, value, false);
    if (absl::StartsWith(key, kDeletedPrefix)) return TakeDeleted(key, value);
    if (absl::StartsWith(key, kAliasPrefix)) return TakeAlias(key, value);
    if (absl::StartsWith(key, kHistoryPrefix)) return Check(key, DecodeAliasMove(value).status());
    if (absl::StartsWith(key, kRequestPrefix)) return Check(key, DecodeRequest(value).status());
    if (key == kHeadKey) return Check(key, DecodeHead(value).status());
    if (key == kNamesKey) return Check(key, DecodeNames(std::string(value)).status());
    if (key == kRetentionKey) return Check(key, DecodeRetention(value).status());
    if (key == kSchemaKey) return TakeSchema(key, value);
    return absl::OkStatus();
  }

  absl::Status TakeVersion(absl::string_view key, absl::string_view value, bool deleted) {
    absl::StatusOr<VersionRecord> record = DecodeVersionRecord(value);
    if (!record.ok()) return Check(key, record.status());
    const auto number = VersionOfKey(key);
    if (!number.ok() || *number != record->info.version) {
      return Damaged(absl::StrCat("key ", key, ": is of version ", record->info.version));
    }
    record->info.model = model_;
    return walk_.version ? Stop(walk_.version(*record, deleted)) : absl::OkStatus();
  }

  absl::Status TakeDeleted(absl::string_view key, absl::string_view value) {
    const auto deleted = DecodeDeletedRecord(value);
    if (!deleted.ok()) return Check(key, deleted.status());
    return TakeVersion(key, deleted->version, true);
  }

  // The alias and its version are looked at together: both may change at any time.
  absl::Status TakeAlias(absl::string_view key, absl::string_view value) {
    const auto alias = DecodeAlias(value);
    if (!alias.ok()) return Check(key, alias.status());
    ASSIGN_OR_RETURN(const auto now,
                     records_->Read(record_, {std::string(key), VersionKey(alias->version)}));
    if (now[0] != value || now[1].has_value()) return absl::OkStatus();
    return Damaged(
        absl::StrCat("key ", key, ": names version ", alias->version, ", which is not there"));
  }

  absl::Status TakeSchema(absl::string_view key, absl::string_view value) {
    const auto schema = DecodeSchema(value);
    if (!schema.ok()) return Check(key, schema.status());
    return walk_.schema ? Stop(walk_.schema(model_, schema->text)) : absl::OkStatus();
  }

  RecordStore* const records_;
  const std::string& model_;
  const std::string record_;
  const StoredWalk& walk_;
  bool stopped_ = false;
};

}  // namespace

absl::Status WalkModel(RecordStore* records, const std::string& model, const StoredWalk& walk) {
  return ModelWalk(records, model, walk).Run();
}

absl::Status WalkStored(RecordStore* records, const StoredWalk& walk) {
  for (uint32_t shard = 0; shard < kModelShards; ++shard) {
    std::vector<std::string> models;
    const absl::Status listed =
        ForEachItem(records, IndexRecord(shard), "", kModelPrefix, kPage,
                    [&](absl::string_view key, absl::string_view) -> absl::StatusOr<Walk> {
                      models.emplace_back(key.substr(kModelPrefix.size()));
                      return Walk::kGoOn;
                    });
    if (absl::IsDataLoss(listed) && walk.damaged) {
      RETURN_IF_ERROR(walk.damaged(Printable(
          absl::StrCat("the list of models ", IndexRecord(shard), ": ", listed.message()))));
    } else if (!absl::IsDataLoss(listed)) {
      RETURN_IF_ERROR(listed);
    }
    for (const std::string& model : models) RETURN_IF_ERROR(WalkModel(records, model, walk));
  }
  return absl::OkStatus();
}

}  // namespace ballast

#include "storage/store/catalog_walk.h"

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/commit_attempts.h"
#include "storage/store/model_record.h"
#include "storage/store/record_iteration.h"

namespace ballast {
namespace {

constexpr size_t kPage = 256;

absl::StatusOr<VersionRecord> Decode(const std::string& model, absl::string_view bytes) {
  ASSIGN_OR_RETURN(VersionRecord record, DecodeVersionRecord(bytes), model);
  record.info.model = model;
  return record;
}

}  // namespace

absl::Status ForEachModel(RecordStore* records,
                          const std::function<absl::Status(const std::string& model)>& each) {
  for (uint32_t shard = 0; shard < kModelShards; ++shard) {
    RETURN_IF_ERROR(
        ForEachItem(records, IndexRecord(shard), "", kModelPrefix, kPage,
                    [&](absl::string_view key, absl::string_view) -> absl::StatusOr<Walk> {
                      RETURN_IF_ERROR(each(std::string(key.substr(kModelPrefix.size()))));
                      return Walk::kGoOn;
                    }));
  }
  return absl::OkStatus();
}

absl::Status ForEachLive(RecordStore* records, const std::string& model,
                         const std::function<absl::Status(const VersionRecord&)>& each) {
  return ForEachItem(records, ModelRecord(model), "", kVersionPrefix, kPage,
                     [&](absl::string_view, absl::string_view value) -> absl::StatusOr<Walk> {
                       ASSIGN_OR_RETURN(const VersionRecord record, Decode(model, value));
                       RETURN_IF_ERROR(each(record));
                       return Walk::kGoOn;
                     });
}

absl::Status ForEachDeleted(
    RecordStore* records, const std::string& model,
    const std::function<absl::Status(const StoredItem&, const DeletedRecord&,
                                     const VersionRecord&)>& each) {
  return ForEachItem(
      records, ModelRecord(model), "", kDeletedPrefix, kPage,
      [&](absl::string_view key, absl::string_view value) -> absl::StatusOr<Walk> {
        ASSIGN_OR_RETURN(const DeletedRecord deleted, DecodeDeletedRecord(value), model);
        ASSIGN_OR_RETURN(const VersionRecord record, Decode(model, deleted.version));
        RETURN_IF_ERROR(each({std::string(key), std::string(value)}, deleted, record));
        return Walk::kGoOn;
      });
}

absl::StatusOr<uint64_t> EraseUnchanged(RecordStore* records, const std::string& record,
                                        std::vector<StoredItem> items) {
  uint64_t erased = 0;
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    if (items.empty()) return erased;
    PauseBeforeAttempt(attempt);
    std::vector<RecordCondition> conditions;
    std::vector<RecordEdit> edits;
    std::vector<std::string> keys;
    for (const auto& [key, value] : items) {
      conditions.push_back({key, value});
      edits.push_back({key, std::nullopt});
      keys.push_back(key);
    }
    ASSIGN_OR_RETURN(const CommitOutcome outcome, records->Commit(record, conditions, edits));
    if (outcome == CommitOutcome::kApplied) return erased + items.size();
    ASSIGN_OR_RETURN(const auto values, records->Read(record, keys));
    std::vector<StoredItem> left;
    for (size_t i = 0; i < items.size(); ++i) {
      if (!values[i].has_value()) ++erased;
      if (values[i] == items[i].second) left.push_back(std::move(items[i]));
    }
    items = std::move(left);
  }
  return absl::UnavailableError(
      absl::StrCat("gc: record ", Printable(record), " could not be changed; try again"));
}

}  // namespace ballast

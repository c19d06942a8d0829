#include "storage/store/collector_tidy.h"

#include <algorithm>
#include <set>
#include <utility>

#include "storage/base/status.h"
#include "storage/store/catalog_walk.h"
#include "storage/store/limit_time.h"
#include "storage/store/model_record.h"
#include "storage/store/record_iteration.h"
#include "storage/store/retention_rules.h"

namespace ballast {
namespace {

constexpr size_t kBatch = 256;

// Gathers items and erases them, a batch at a time.
class Eraser {
 public:
  Eraser(RecordStore* records, const std::string& model)
      : records_(records), record_(ModelRecord(model)) {}
  absl::Status Add(StoredItem item) {
    items_.push_back(std::move(item));
    return items_.size() < kBatch ? absl::OkStatus() : Flush();
  }
  absl::Status Flush() {
    ASSIGN_OR_RETURN(const uint64_t count,
                     EraseUnchanged(records_, record_, std::exchange(items_, {})));
    erased_ += count;
    return absl::OkStatus();
  }
  uint64_t erased() const { return erased_; }

 private:
  RecordStore* const records_;
  const std::string record_;
  std::vector<StoredItem> items_;
  uint64_t erased_ = 0;
};

}  // namespace

absl::Status ModelTidy::Tidy(const std::string& model) {
  RETURN_IF_ERROR(ApplyRetention(model), "retention");
  RETURN_IF_ERROR(RemoveDeleted(model));
  if (out_->dry_run) return absl::OkStatus();
  RETURN_IF_ERROR(ForgetAnswers(model));
  return ForgetMoves(model);
}

const ModelTidy::Note* ModelTidy::Find(const std::string& model, uint64_t version) const {
  const auto of_model = notes_.find(model);
  if (of_model == notes_.end()) return nullptr;
  const auto note = of_model->second.find(version);
  return note == of_model->second.end() ? nullptr : &note->second;
}

void ModelTidy::TakeNote(const std::string& model, uint64_t version, DeletionUse::Why why,
                         absl::Time until) {
  Note note;
  note.use = until <= now_ ? BlockUse::kGone : BlockUse::kHeld;
  if (out_->deletions.size() < limits_.report_items_max) {
    note.owner = static_cast<uint32_t>(out_->deletions.size());
    out_->deletions.push_back({model, version, why, until, 0});
  } else {
    ++out_->deletions_omitted;
  }
  notes_[model][version] = note;
}

absl::StatusOr<std::vector<uint64_t>> ModelTidy::NotKept(const std::string& model,
                                                         const Retention& rules) {
  std::set<uint64_t> named;
  RETURN_IF_ERROR(
      ForEachItem(records_, ModelRecord(model), "", kAliasPrefix, kBatch,
                  [&](absl::string_view, absl::string_view value) -> absl::StatusOr<Walk> {
                    ASSIGN_OR_RETURN(const AliasValue alias, DecodeAlias(value), model);
                    named.insert(alias.version);
                    return Walk::kGoOn;
                  }));
  std::vector<uint64_t> versions;
  uint64_t newer = 0;
  RETURN_IF_ERROR(ForEachLive(records_, model, [&](const VersionRecord& record) {
    const bool kept = RetentionKeeps(rules, record.info, newer++, now_);
    if (!kept && named.count(record.info.version) == 0) versions.push_back(record.info.version);
    return absl::OkStatus();
  }));
  return versions;
}

absl::Status ModelTidy::ApplyRetention(const std::string& model) {
  ASSIGN_OR_RETURN(const auto values,
                   records_->Read(ModelRecord(model), {std::string(kRetentionKey)}));
  if (!values[0].has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const RetentionValue retention, DecodeRetention(*values[0]), model);
  ASSIGN_OR_RETURN(std::vector<uint64_t> versions, NotKept(model, retention.rules));
  if (!out_->dry_run) return DeleteSome(model, std::move(versions));
  for (const uint64_t version : versions) {
    TakeNote(model, version, DeletionUse::Why::kRetention,
             now_ + LimitMilliseconds(limits_.undelete_window_ms));
  }
  out_->versions_deleted += versions.size();
  return absl::OkStatus();
}

// The oldest first. What got an alias or went away since it was looked at stays for
// the next collection, with its batch.
absl::Status ModelTidy::DeleteSome(const std::string& model, std::vector<uint64_t> versions) {
  std::reverse(versions.begin(), versions.end());
  for (size_t i = 0; i < versions.size(); i += Catalog::kDeleteMax) {
    const auto batch = absl::MakeConstSpan(versions).subspan(i, Catalog::kDeleteMax);
    const auto deleted =
        catalog_->DeleteVersions(model, batch, /*force=*/false, {"", std::string(kPrincipal)});
    if (absl::IsFailedPrecondition(deleted.status()) || absl::IsNotFound(deleted.status()))
      continue;
    RETURN_IF_ERROR(deleted.status());
    out_->versions_deleted += *deleted;
  }
  return absl::OkStatus();
}

absl::Status ModelTidy::RemoveDeleted(const std::string& model) {
  Eraser eraser(records_, model);
  RETURN_IF_ERROR(ForEachDeleted(
      records_, model,
      [&](const StoredItem& item, const DeletedRecord& deleted,
          const VersionRecord& record) -> absl::Status {
        const absl::Time until = deleted.time + LimitMilliseconds(limits_.undelete_window_ms);
        const bool over = until <= now_;
        if (!out_->dry_run) return over ? eraser.Add(item) : absl::OkStatus();
        out_->versions_removed += over;
        TakeNote(model, record.info.version,
                 over ? DeletionUse::Why::kRemoved : DeletionUse::Why::kDeleted, until);
        return absl::OkStatus();
      }));
  RETURN_IF_ERROR(eraser.Flush());
  out_->versions_removed += eraser.erased();
  return absl::OkStatus();
}

absl::Status ModelTidy::ForgetAnswers(const std::string& model) {
  Eraser eraser(records_, model);
  const absl::Time before = now_ - LimitMilliseconds(limits_.request_memory_ms);
  RETURN_IF_ERROR(
      ForEachItem(records_, ModelRecord(model), "", kRequestPrefix, kBatch,
                  [&](absl::string_view key, absl::string_view value) -> absl::StatusOr<Walk> {
                    ASSIGN_OR_RETURN(const RequestAnswer answer, DecodeRequest(value), model);
                    if (answer.time < before) {
                      RETURN_IF_ERROR(eraser.Add({std::string(key), std::string(value)}));
                    }
                    return Walk::kGoOn;
                  }));
  RETURN_IF_ERROR(eraser.Flush());
  out_->answers_forgotten += eraser.erased();
  return absl::OkStatus();
}

// Moves beyond the limit are erased by those that push them out; this is for a limit
// that was lowered since.
absl::Status ModelTidy::ForgetMoves(const std::string& model) {
  ASSIGN_OR_RETURN(const auto values, records_->Read(ModelRecord(model), {std::string(kNamesKey)}));
  ASSIGN_OR_RETURN(const uint64_t newest, DecodeNames(values[0]), model);
  if (newest <= limits_.alias_history_max) return absl::OkStatus();
  Eraser eraser(records_, model);
  RETURN_IF_ERROR(
      ForEachItem(records_, ModelRecord(model), HistoryKey(newest - limits_.alias_history_max + 1),
                  kHistoryPrefix, kBatch,
                  [&](absl::string_view key, absl::string_view value) -> absl::StatusOr<Walk> {
                    RETURN_IF_ERROR(eraser.Add({std::string(key), std::string(value)}));
                    return Walk::kGoOn;
                  }));
  return eraser.Flush();
}

}  // namespace ballast

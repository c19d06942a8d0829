#include <algorithm>
#include <utility>

#include "storage/base/status.h"
#include "storage/store/record_bounds.h"
#include "tests/support/memory_engine.h"

namespace ballast {

class MemoryRecords::WatchImpl : public RecordWatch {
 public:
  WatchImpl(MemoryRecords* store, std::shared_ptr<Watcher> watcher)
      : store_(store), watcher_(std::move(watcher)) {}
  ~WatchImpl() override {
    {
      std::lock_guard<std::mutex> lock(store_->watch_mutex_);
      auto& all = store_->watchers_;
      all.erase(std::remove(all.begin(), all.end(), watcher_), all.end());
    }
    std::lock_guard<std::mutex> lock(watcher_->mutex);
    watcher_->changed = nullptr;
  }

 private:
  MemoryRecords* const store_;
  const std::shared_ptr<Watcher> watcher_;
};

absl::Status MemoryRecords::Begin() {
  if (faults_->Happens(faults_->faults().unavailable)) {
    return absl::UnavailableError("memory engine: injected");
  }
  std::lock_guard<std::mutex> lock(mutex_);
  while (!late_.empty() && faults_->Happens(0.3)) {
    const Pending commit = std::move(late_.front());
    late_.pop_front();
    Apply(commit.record, commit.conditions, commit.edits);
  }
  return absl::OkStatus();
}

void MemoryRecords::ApplyLate() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const Pending& commit : late_) Apply(commit.record, commit.conditions, commit.edits);
  late_.clear();
}

// Returns false if a condition does not hold.
bool MemoryRecords::Apply(absl::string_view name, absl::Span<const RecordCondition> conditions,
                          absl::Span<const RecordEdit> edits) {
  Record record;
  const auto known = records_.find(name);
  if (known != records_.end()) record = known->second;
  for (const RecordCondition& condition : conditions) {
    const auto it = record.find(condition.key);
    const bool holds = condition.value.has_value()
                           ? it != record.end() && it->second == *condition.value
                           : it == record.end();
    if (!holds) return false;
  }
  for (const RecordEdit& edit : edits) {
    if (edit.value.has_value()) {
      record[edit.key] = *edit.value;
    } else {
      record.erase(edit.key);
    }
  }
  records_[std::string(name)] = std::move(record);
  return true;
}

absl::StatusOr<CommitOutcome> MemoryRecords::Commit(absl::string_view record,
                                                    absl::Span<const RecordCondition> conditions,
                                                    absl::Span<const RecordEdit> edits) {
  RETURN_IF_ERROR(CheckRecordCommit(record, conditions, edits));
  RETURN_IF_ERROR(Begin());
  const Faults faults = faults_->faults();
  if (faults_->Happens(faults.unknown_lost)) return CommitOutcome::kUnknown;
  if (faults_->Happens(faults.unknown_late)) {
    std::lock_guard<std::mutex> lock(mutex_);
    late_.push_back({std::string(record),
                     {conditions.begin(), conditions.end()},
                     {edits.begin(), edits.end()}});
    return CommitOutcome::kUnknown;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!Apply(record, conditions, edits)) return CommitOutcome::kConflict;
  }
  Notify(record);
  return faults_->Happens(faults.unknown_applied) ? CommitOutcome::kUnknown
                                                  : CommitOutcome::kApplied;
}

absl::StatusOr<std::vector<std::optional<std::string>>> MemoryRecords::Read(
    absl::string_view record, absl::Span<const std::string> keys) {
  RETURN_IF_ERROR(CheckRecordName(record));
  RETURN_IF_ERROR(Begin());
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::optional<std::string>> values(keys.size());
  const auto known = records_.find(record);
  if (known == records_.end()) return values;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto it = known->second.find(keys[i]);
    if (it != known->second.end()) values[i] = it->second;
  }
  return values;
}

absl::StatusOr<RecordPage> MemoryRecords::List(absl::string_view record, absl::string_view after,
                                               absl::string_view prefix, size_t limit) {
  RETURN_IF_ERROR(CheckRecordName(record));
  RETURN_IF_ERROR(Begin());
  if (limit > 1 && faults_->Happens(faults_->faults().short_page)) {
    limit = 1 + faults_->Below(limit);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  RecordPage page;
  const auto known = records_.find(record);
  if (known == records_.end()) return page;
  auto it = known->second.lower_bound(prefix);
  if (after >= prefix) it = known->second.upper_bound(after);
  for (; it != known->second.end(); ++it) {
    if (absl::string_view(it->first).substr(0, prefix.size()) != prefix) break;
    page.more = page.items.size() >= limit;
    if (page.more) break;
    page.items.push_back(*it);
  }
  return page;
}

absl::StatusOr<std::unique_ptr<RecordWatch>> MemoryRecords::Watch(absl::string_view record,
                                                                  std::function<void()> changed) {
  RETURN_IF_ERROR(CheckRecordName(record));
  auto watcher = std::make_shared<Watcher>();
  watcher->record = std::string(record);
  watcher->changed = std::move(changed);
  std::lock_guard<std::mutex> lock(watch_mutex_);
  watchers_.push_back(watcher);
  return std::make_unique<WatchImpl>(this, std::move(watcher));
}

void MemoryRecords::Notify(absl::string_view record) {
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    std::lock_guard<std::mutex> lock(watch_mutex_);
    for (const auto& watcher : watchers_) {
      if (watcher->record == record) watchers.push_back(watcher);
    }
  }
  for (const auto& watcher : watchers) {
    if (faults_->Happens(faults_->faults().lost_notification)) continue;
    std::lock_guard<std::mutex> lock(watcher->mutex);
    if (watcher->changed) watcher->changed();
  }
}

}  // namespace ballast

#include "storage/store/rocksdb/records.h"

#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "rocksdb/write_batch.h"
#include "storage/base/status.h"
#include "storage/store/record_bounds.h"

namespace ballast {
namespace {

std::string FullKey(absl::string_view record, absl::string_view key) {
  return absl::StrCat(record, absl::string_view("\0", 1), key);
}

std::string Named(absl::string_view record) { return absl::StrCat("record ", Printable(record)); }

}  // namespace

class RocksRecords::WatchImpl : public RecordWatch {
 public:
  WatchImpl(std::shared_ptr<Watchers> watchers, std::string record,
            std::shared_ptr<Watcher> watcher)
      : watchers_(std::move(watchers)), record_(std::move(record)), watcher_(std::move(watcher)) {}
  ~WatchImpl() override {
    {
      std::lock_guard<std::mutex> lock(watchers_->mutex);
      const auto [begin, end] = watchers_->by_record.equal_range(record_);
      for (auto it = begin; it != end; ++it) {
        if (it->second != watcher_) continue;
        watchers_->by_record.erase(it);
        break;
      }
    }
    std::lock_guard<std::mutex> lock(watcher_->mutex);
    watcher_->changed = nullptr;
  }

 private:
  const std::shared_ptr<Watchers> watchers_;
  const std::string record_;
  const std::shared_ptr<Watcher> watcher_;
};

std::mutex& RocksRecords::Stripe(absl::string_view record) {
  return stripes_[absl::Hash<absl::string_view>()(record) % stripes_.size()];
}

absl::StatusOr<bool> RocksRecords::Holds(absl::string_view record,
                                         absl::Span<const RecordCondition> conditions) {
  for (const RecordCondition& condition : conditions) {
    rocksdb::PinnableSlice value;
    const rocksdb::Status status =
        database_->Get(Family::kRecords, FullKey(record, condition.key), &value);
    if (!status.ok() && !status.IsNotFound()) return FromRocks(status, Named(record));
    const bool holds = condition.value.has_value()
                           ? status.ok() && ToView(value) == *condition.value
                           : status.IsNotFound();
    if (!holds) return false;
  }
  return true;
}

absl::StatusOr<CommitOutcome> RocksRecords::Commit(absl::string_view record,
                                                   absl::Span<const RecordCondition> conditions,
                                                   absl::Span<const RecordEdit> edits) {
  RETURN_IF_ERROR(CheckRecordCommit(record, conditions, edits));
  rocksdb::WriteBatch batch;
  for (const RecordEdit& edit : edits) {
    const std::string key = FullKey(record, edit.key);
    RETURN_IF_ERROR(
        FromRocks(edit.value.has_value()
                      ? batch.Put(database_->use().family(Family::kRecords), key, *edit.value)
                      : batch.Delete(database_->use().family(Family::kRecords), key),
                  Named(record)));
  }
  {
    std::lock_guard<std::mutex> lock(Stripe(record));
    ASSIGN_OR_RETURN(const bool holds, Holds(record, conditions));
    if (!holds) return CommitOutcome::kConflict;
    RETURN_IF_ERROR(database_->CheckWritable(Named(record)));
    const absl::Status status = database_->Write(&batch, /*sync=*/true, Named(record));
    // Not visible now, but it may be whole in the log, and come back at the next open.
    if (absl::IsUnavailable(status)) return CommitOutcome::kUnknown;
    RETURN_IF_ERROR(status);
  }
  step_("record committed");
  Notify(record);
  return CommitOutcome::kApplied;
}

absl::StatusOr<std::vector<std::optional<std::string>>> RocksRecords::Read(
    absl::string_view record, absl::Span<const std::string> keys) {
  RETURN_IF_ERROR(CheckRecordName(record));
  const Database::Use use = database_->use();
  rocksdb::ManagedSnapshot snapshot(use.get());
  rocksdb::ReadOptions options;
  options.snapshot = snapshot.snapshot();
  std::vector<std::optional<std::string>> values;
  values.reserve(keys.size());
  for (const std::string& key : keys) {
    std::string value;
    const rocksdb::Status status =
        use->Get(options, use.family(Family::kRecords), FullKey(record, key), &value);
    if (status.IsNotFound()) {
      values.emplace_back(std::nullopt);
      continue;
    }
    RETURN_IF_ERROR(FromRocks(status, Named(record)));
    values.emplace_back(std::move(value));
  }
  return values;
}

absl::StatusOr<RecordPage> RocksRecords::List(absl::string_view record, absl::string_view after,
                                              absl::string_view prefix, size_t limit) {
  RETURN_IF_ERROR(CheckRecordName(record));
  RecordPage page;
  const size_t skip = record.size() + 1;
  const std::string from = after.empty() ? std::string() : FullKey(record, after);
  RETURN_IF_ERROR(database_->ForEach(Family::kRecords, FullKey(record, prefix), from,
                                     [&](absl::string_view key, absl::string_view value) {
                                       page.more = page.items.size() >= limit;
                                       if (page.more) return false;
                                       page.items.emplace_back(key.substr(skip), value);
                                       return true;
                                     }));
  return page;
}

absl::StatusOr<std::unique_ptr<RecordWatch>> RocksRecords::Watch(absl::string_view record,
                                                                 std::function<void()> changed) {
  RETURN_IF_ERROR(CheckRecordName(record));
  auto watcher = std::make_shared<Watcher>();
  watcher->changed = std::move(changed);
  std::lock_guard<std::mutex> lock(watchers_->mutex);
  watchers_->by_record.emplace(record, watcher);
  return std::make_unique<WatchImpl>(watchers_, std::string(record), std::move(watcher));
}

void RocksRecords::Notify(absl::string_view record) {
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    std::lock_guard<std::mutex> lock(watchers_->mutex);
    const auto [begin, end] = watchers_->by_record.equal_range(record);
    for (auto it = begin; it != end; ++it) watchers.push_back(it->second);
  }
  for (const auto& watcher : watchers) {
    std::lock_guard<std::mutex> lock(watcher->mutex);
    if (watcher->changed) watcher->changed();
  }
}

}  // namespace ballast

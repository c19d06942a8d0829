// RecordStore in RocksDB. Key: record id | '\0' | key.
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_RECORDS_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_RECORDS_H_

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/store/record_store.h"
#include "storage/store/rocksdb/block_files.h"
#include "storage/store/rocksdb/database.h"

namespace ballast {

class RocksRecords : public RecordStore {
 public:
  // `database` must outlive this.
  RocksRecords(Database* database, StepHook step)
      : database_(database), step_(std::move(step)), watchers_(std::make_shared<Watchers>()) {}

  absl::StatusOr<CommitOutcome> Commit(absl::string_view record,
                                       absl::Span<const RecordCondition> conditions,
                                       absl::Span<const RecordEdit> edits) override;
  absl::StatusOr<std::vector<std::optional<std::string>>> Read(
      absl::string_view record, absl::Span<const std::string> keys) override;
  absl::StatusOr<RecordPage> List(absl::string_view record, absl::string_view after,
                                  absl::string_view prefix, size_t limit) override;
  absl::StatusOr<std::unique_ptr<RecordWatch>> Watch(absl::string_view record,
                                                     std::function<void()> changed) override;

 private:
  class WatchImpl;
  struct Watcher {
    std::mutex mutex;               // held while the callback runs
    std::function<void()> changed;  // null: ended
  };
  // Shared by the store and its watches, which may end after it.
  struct Watchers {
    std::mutex mutex;
    std::multimap<std::string, std::shared_ptr<Watcher>, std::less<>> by_record;
  };

  absl::StatusOr<bool> Holds(absl::string_view record,
                             absl::Span<const RecordCondition> conditions);
  void Notify(absl::string_view record);
  std::mutex& Stripe(absl::string_view record);

  Database* const database_;
  const StepHook step_;
  std::array<std::mutex, 64> stripes_;  // of records: one commit to a record at a time
  const std::shared_ptr<Watchers> watchers_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_RECORDS_H_

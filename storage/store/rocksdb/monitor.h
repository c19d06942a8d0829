// StoreMonitor over RocksDB's properties, the block index and the file system.
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_MONITOR_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_MONITOR_H_

#include <string>

#include "storage/store/rocksdb/block_index.h"
#include "storage/store/rocksdb/database.h"
#include "storage/store/store_monitor.h"

namespace ballast {

class RocksMonitor : public StoreMonitor {
 public:
  // `database` and `index` must outlive this; `dir` is the data folder.
  RocksMonitor(Database* database, BlockIndex* index, std::string dir)
      : database_(database), index_(index), dir_(std::move(dir)) {}

  absl::StatusOr<StoreUsage> Usage() override;
  absl::StatusOr<BlockTotals> CountBlocks() override { return index_->CountBlocks(); }
  // The files of `index` and `records`.
  absl::Status CheckFiles(
      const std::function<absl::Status(absl::string_view problem)>& damaged) override;

 private:
  Database* const database_;
  BlockIndex* const index_;
  const std::string dir_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_MONITOR_H_

#include "storage/store/rocksdb/database.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/listener.h"
#include "rocksdb/table.h"
#include "rocksdb/table_properties.h"
#include "storage/base/status.h"
#include "storage/store/rocksdb/log_check.h"

namespace ballast {
namespace {

constexpr size_t kIndexCacheBytes = 16u << 20;  // blocks of index and records
constexpr size_t kMemtableBytes = 8u << 20;     // per column family
constexpr uint64_t kLogBytes = 32u << 20;       // write-ahead log, replayed at open
constexpr uint64_t kWritebackBytes = 4u << 20;  // handed to the disk while writing on
constexpr int kOpenFiles = 256;
constexpr size_t kBlocksMemtableBytes = 64u << 10;

class ErrorListener : public rocksdb::EventListener {
 public:
  explicit ErrorListener(std::shared_ptr<std::atomic<bool>> takes_files)
      : takes_files_(std::move(takes_files)) {}
  // A damaged block that a compaction meets is that block's fault: its reader is told, and
  // writes go on. The compaction is tried again, and succeeds when nothing needs the block.
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    if (reason == rocksdb::BackgroundErrorReason::kCompaction && error->IsCorruption()) {
      *error = rocksdb::Status::OK();
    } else if (error->severity() >= rocksdb::Status::kHardError) {
      *takes_files_ = false;
    }
  }

 private:
  const std::shared_ptr<std::atomic<bool>> takes_files_;  // shared with the database
};

rocksdb::DBOptions DatabaseOptions(bool create, rocksdb::Env* env) {
  rocksdb::DBOptions options;
  if (env != nullptr) options.env = env;
  options.create_if_missing = create;
  options.create_missing_column_families = create;
  options.max_open_files = kOpenFiles;
  options.max_total_wal_size = kLogBytes;
  options.bytes_per_sync = kWritebackBytes;
  // A damaged log is an error; only an unfinished record at its end is not.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.max_background_jobs = 2;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.keep_log_file_num = 4;
  options.max_log_file_size = 1u << 20;
  options.max_manifest_file_size = 16u << 20;
  return options;
}

std::shared_ptr<rocksdb::Cache> NewCache(size_t bytes) {
  // Few shards: a 1 MiB block must fit into one with room to spare.
  return rocksdb::NewLRUCache(bytes, /*num_shard_bits=*/2, /*strict_capacity_limit=*/false);
}

rocksdb::BlockBasedTableOptions TableOptions(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  table.block_cache = cache;
  return table;
}

rocksdb::ColumnFamilyOptions BlocksFamily(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options;
  rocksdb::BlockBasedTableOptions table = TableOptions(cache);
  table.block_size = 64u << 10;
  // Cuts before nearly every value that would exceed block_size, so that a small
  // value does not drag a large neighbour into memory.
  table.block_size_deviation = 99;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;
  options.disable_auto_compactions = true;
  options.write_buffer_size = kBlocksMemtableBytes;
  return options;
}

rocksdb::ColumnFamilyOptions SmallFamily(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options;
  rocksdb::BlockBasedTableOptions table = TableOptions(cache);
  table.block_size = 64u << 10;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = kMemtableBytes;
  return options;
}

rocksdb::ColumnFamilyOptions KeyedFamily(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options;
  rocksdb::BlockBasedTableOptions table = TableOptions(cache);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = kMemtableBytes;
  return options;
}

// The smallest string above all that begin with `prefix`; "" if there is none.
std::string PrefixEnd(absl::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xFF) end.pop_back();
  if (!end.empty()) ++end.back();
  return end;
}

// RocksDB calls it an InvalidArgument, or an error of the file system, if a part of a
// database is not there, not well formed, or not what it names.
absl::Status OpenFailure(const rocksdb::Status& status, const std::string& dir,
                         absl::string_view where) {
  const absl::Status failure = FromRocks(status, where);
  if (failure.ok() || status.IsNoSpace()) return failure;
  const bool usable = access(dir.c_str(), R_OK | W_OK | X_OK) == 0;
  const bool odd = status.IsInvalidArgument() || status.IsNotSupported() || status.IsNotFound();
  const bool missing =
      status.IsIOError() && status.ToString().find("No such file") != std::string::npos;
  return usable && (odd || missing) ? absl::DataLossError(failure.message()) : failure;
}

}  // namespace

absl::Status FromRocks(const rocksdb::Status& status, absl::string_view where) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit) {
    return absl::ResourceExhaustedError(absl::StrCat(where, ": the disk is full"));
  }
  const std::string text = absl::StrCat(where, ": ", Printable(status.ToString()));
  if (status.IsCorruption() || status.IsPathNotFound()) return absl::DataLossError(text);
  if (status.IsNotFound()) return absl::NotFoundError(text);
  return absl::UnavailableError(text);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& dir,
                                                         const Limits& limits, bool create,
                                                         rocksdb::Env* env) {
  std::unique_ptr<Database> database(new Database());
  database->block_cache_ = NewCache(limits.block_cache_bytes);
  const auto index_cache = NewCache(kIndexCacheBytes);
  rocksdb::DBOptions options = DatabaseOptions(create, env);
  options.listeners = {std::make_shared<ErrorListener>(database->takes_files_)};
  const rocksdb::ColumnFamilyOptions blocks = BlocksFamily(database->block_cache_);
  const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, KeyedFamily(index_cache)},
      {"blocks", blocks},
      {"small", SmallFamily(database->block_cache_)},
      {"index", KeyedFamily(index_cache)},
      {"records", KeyedFamily(index_cache)}};
  database->block_file_options_ = rocksdb::Options(options, blocks);
  const std::string where = absl::StrCat("opening ", Printable(dir));
  if (!create) RETURN_IF_ERROR(CheckLogs(dir), where);
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(options, dir, families, &database->handles_, &db);
  database->db_.reset(db);
  RETURN_IF_ERROR(OpenFailure(status, dir, where));
  return database;
}

Database::~Database() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* handle : handles_) db_->DestroyColumnFamilyHandle(handle);
  db_->Close().PermitUncheckedError();
}

rocksdb::Status Database::Resuming(const std::function<rocksdb::Status()>& change) {
  const rocksdb::Status status = change();
  if (!status.IsIOError() && !status.IsNoSpace()) return status;
  const rocksdb::Status resumed = db_->Resume();
  if (resumed.ok()) return change();
  if (resumed.severity() >= rocksdb::Status::kFatalError) Stop(status);
  return status;
}

void Database::Stop(const rocksdb::Status& why) {
  std::lock_guard<std::mutex> lock(stopped_mutex_);
  if (!stopped_.ok()) return;
  stopped_ =
      absl::UnavailableError(absl::StrCat("nothing is written since \"", Printable(why.ToString()),
                                          "\": want a sound disk, and the server restarted"));
}

absl::Status Database::CheckWritable(absl::string_view where) {
  std::lock_guard<std::mutex> lock(stopped_mutex_);
  return WithContext(stopped_, where);
}

absl::Status Database::Write(rocksdb::WriteBatch* batch, bool sync, absl::string_view where) {
  RETURN_IF_ERROR(CheckWritable(where));
  rocksdb::WriteOptions options;
  options.sync = sync;
  RETURN_IF_ERROR(FromRocks(Resuming([&] { return db_->Write(options, batch); }), where));
  if (sync) return absl::OkStatus();
  std::lock_guard<std::mutex> lock(sync_mutex_);
  ++written_;
  return absl::OkStatus();
}

// Of a file whose sync has failed the kernel may have dropped pages, and the next one succeeds
// all the same: so there is none.
rocksdb::Status Database::SyncLog() {
  const rocksdb::Status status = db_->SyncWAL();
  if (status.IsNoSpace()) return Resuming([&] { return db_->SyncWAL(); });
  if (status.IsIOError()) Stop(status);
  return status;
}

absl::Status Database::Sync() {
  RETURN_IF_ERROR(CheckWritable("syncing the log"));
  std::unique_lock<std::mutex> lock(sync_mutex_);
  const uint64_t target = written_;
  while (synced_ < target) {
    if (syncing_) {
      sync_done_.wait(lock);
      continue;
    }
    syncing_ = true;
    const uint64_t upto = written_;
    lock.unlock();
    const rocksdb::Status status = SyncLog();
    lock.lock();
    syncing_ = false;
    if (status.ok()) synced_ = upto;
    sync_done_.notify_all();
    RETURN_IF_ERROR(FromRocks(status, "syncing the log"));
  }
  return absl::OkStatus();
}

absl::Status Database::Flush() {
  const rocksdb::Status status = Resuming([&] {
    return db_->Flush(rocksdb::FlushOptions(), {small(), index(), records()});
  });
  return FromRocks(status, "flushing");
}

absl::Status Database::DropDeleted(rocksdb::ColumnFamilyHandle* family) {
  constexpr uint64_t kDeletionsPart = 8;
  rocksdb::TablePropertiesCollection tables;
  RETURN_IF_ERROR(FromRocks(db_->GetPropertiesOfAllTables(family, &tables), "reading properties"));
  uint64_t entries = 0;
  uint64_t deletions = 0;
  for (const auto& [name, table] : tables) {
    entries += table->num_entries;
    deletions += table->num_deletions;
  }
  if (deletions == 0 || deletions * kDeletionsPart < entries) return absl::OkStatus();
  const rocksdb::Status status = Resuming(
      [&] { return db_->CompactRange(rocksdb::CompactRangeOptions(), family, nullptr, nullptr); });
  return FromRocks(status, "compacting");
}

absl::Status Database::ForEach(
    rocksdb::ColumnFamilyHandle* family, absl::string_view prefix, absl::string_view after,
    const std::function<bool(absl::string_view key, absl::string_view value)>& each) {
  const std::string end = PrefixEnd(prefix);
  const rocksdb::Slice end_slice(end);
  rocksdb::ReadOptions options;
  if (!end.empty()) options.iterate_upper_bound = &end_slice;
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options, family));
  it->Seek(ToSlice(after < prefix ? prefix : after));
  if (it->Valid() && ToView(it->key()) == after) it->Next();
  for (; it->Valid(); it->Next()) {
    if (!each(ToView(it->key()), ToView(it->value()))) return absl::OkStatus();
  }
  return FromRocks(it->status(), "reading a range");
}

}  // namespace ballast

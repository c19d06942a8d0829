#include "storage/store/rocksdb/database.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "rocksdb/env.h"
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
// What a full disk must have again: what was in the log is written to files.
constexpr uint64_t kSpaceBytes = 2 * kLogBytes;
constexpr std::chrono::seconds kWaitForUses(1);

class FailureListener : public rocksdb::EventListener {
 public:
  explicit FailureListener(std::shared_ptr<Database::Failures> failures)
      : failures_(std::move(failures)) {}
  // A damaged block that a compaction meets is that block's fault: its reader is told, and
  // writes go on. The compaction is tried again, and succeeds when nothing needs the block.
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    if (reason == rocksdb::BackgroundErrorReason::kCompaction && error->IsCorruption()) {
      *error = rocksdb::Status::OK();
    } else if (error->severity() >= rocksdb::Status::kHardError) {
      // Whatever fails after that follows from it ("Seen error. Skip writing buffer").
      if (error->IsNoSpace()) failures_->disk_full = true;
      if (!failures_->disk_full) failures_->other = true;
    }
  }
  // See Database::Recover.
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }

 private:
  const std::shared_ptr<Database::Failures> failures_;
};

rocksdb::DBOptions DatabaseOptions(rocksdb::Env* env) {
  rocksdb::DBOptions options;
  if (env != nullptr) options.env = env;
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
  // Most blocks that are asked for are not there: a skip list tells it slowly (a third of the
  // server's time for a push of small tensors).
  options.memtable_prefix_bloom_size_ratio = 0.02;
  options.memtable_whole_key_filtering = true;
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

std::string NameOf(Family family) {
  constexpr const char* kNames[] = {"default", "blocks", "small", "index", "records"};
  return kNames[static_cast<size_t>(family)];
}

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

Database::Database(std::string dir, const Limits& limits, rocksdb::Env* env)
    : dir_(std::move(dir)),
      block_cache_(NewCache(limits.block_cache_bytes)),
      options_(DatabaseOptions(env)) {
  const auto index_cache = NewCache(kIndexCacheBytes);
  options_.listeners = {std::make_shared<FailureListener>(failures_)};
  const rocksdb::ColumnFamilyOptions blocks = BlocksFamily(block_cache_);
  families_ = {{rocksdb::kDefaultColumnFamilyName, KeyedFamily(index_cache)},
               {NameOf(Family::kBlocks), blocks},
               {NameOf(Family::kSmall), SmallFamily(block_cache_)},
               {NameOf(Family::kIndex), KeyedFamily(index_cache)},
               {NameOf(Family::kRecords), KeyedFamily(index_cache)}};
  block_file_options_ = rocksdb::Options(options_, blocks);
  // Larger blocks are written from where they are, without another copy.
  block_file_options_.writable_file_max_buffer_size = 256u << 10;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& dir,
                                                         const Limits& limits, bool create,
                                                         rocksdb::Env* env) {
  const std::string where = absl::StrCat("opening ", Printable(dir));
  if (!create) RETURN_IF_ERROR(CheckLogs(dir), where);
  std::unique_ptr<Database> database(new Database(dir, limits, env));
  database->options_.create_if_missing = create;
  database->options_.create_missing_column_families = create;
  RETURN_IF_ERROR(OpenFailure(database->OpenRocks(/*read_only=*/false), dir, where));
  database->options_.create_if_missing = false;
  database->options_.create_missing_column_families = false;
  return database;
}

Database::~Database() { CloseRocks(); }

absl::Status Database::Close() {
  RETURN_IF_ERROR(CheckWritable("closing"));
  if (failures_->disk_full || failures_->other) {
    return absl::UnavailableError("closing: writes have stopped");
  }
  const rocksdb::Status synced = SyncLog();
  CloseRocks();
  return FromRocks(synced, "closing");
}

rocksdb::Status Database::OpenRocks(bool read_only) {
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      read_only ? rocksdb::DB::OpenForReadOnly(options_, dir_, families_, &handles_, &db)
                : rocksdb::DB::Open(options_, dir_, families_, &handles_, &db);
  db_.reset(db);
  read_only_ = read_only;
  return status;
}

void Database::CloseRocks() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* handle : handles_) db_->DestroyColumnFamilyHandle(handle);
  handles_.clear();
  db_->Close().PermitUncheckedError();
  db_.reset();
}

// Only what could be written tells; quotas are not in what a file system says.
bool Database::HasSpace() const {
  struct statvfs disk = {};
  if (statvfs(dir_.c_str(), &disk) == 0 && disk.f_bavail * disk.f_frsize < kSpaceBytes) {
    return false;
  }
  const std::string path = dir_ + "/000000.dbtmp";  // RocksDB removes such files
  const rocksdb::Status status = rocksdb::WriteStringToFile(
      options_.env, std::string(1u << 20, '\0'), path, /*should_sync=*/true);
  options_.env->DeleteFile(path).PermitUncheckedError();
  return status.ok();
}

// RocksDB 7.8.3 gets over a full disk by DB::Resume, but by half: it believes in places that it
// is stopped still (a flush is not waited for, an ingested file gets no number), and may go on
// in the log whose last append has failed; an assertion, which Debian's build has, then ends the
// process. Opened anew it is sound.
bool Database::Recover() {
  const std::unique_lock<std::shared_timed_mutex> lock(open_, kWaitForUses);
  if (!lock.owns_lock()) return false;
  if (!failures_->disk_full) return true;  // somebody else did
  if (failures_->other || !HasSpace()) return false;
  CloseRocks();
  failures_->disk_full = false;
  if (OpenRocks(/*read_only=*/false).ok()) {
    const std::lock_guard<std::mutex> sync_lock(sync_mutex_);
    synced_ = written_;  // by the replay of the log
    return true;
  }
  failures_->disk_full = true;
  // Reads go on.
  const rocksdb::Status status = OpenRocks(/*read_only=*/true);
  if (status.ok()) return false;
  std::cerr << "ballastd: opening " << Printable(dir_)
            << " again after the disk was full: " << Printable(status.ToString()) << std::endl;
  std::abort();
}

rocksdb::Status Database::Try(const std::function<rocksdb::Status(const Use&)>& change) {
  const Use use(this);
  return read_only_ ? rocksdb::Status::NoSpace() : change(use);
}

rocksdb::Status Database::Apply(const std::function<rocksdb::Status(const Use&)>& change) {
  if (failures_->disk_full && !Recover()) return rocksdb::Status::NoSpace();
  rocksdb::Status status = Try(change);
  if (status.IsNoSpace() && Recover()) status = Try(change);
  if (!status.ok() && failures_->other) Stop(status);
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
  const rocksdb::Status status = Apply([&](const Use& use) { return use->Write(options, batch); });
  RETURN_IF_ERROR(FromRocks(status, where));
  if (sync) return absl::OkStatus();
  std::lock_guard<std::mutex> lock(sync_mutex_);
  ++written_;
  return absl::OkStatus();
}

// Of a file whose sync has failed the kernel may have dropped pages, and the next one succeeds
// all the same: so there is none.
rocksdb::Status Database::SyncLog() {
  const Use use(this);
  if (read_only_) return rocksdb::Status::NoSpace();
  const rocksdb::Status status = use->SyncWAL();
  if (!status.ok()) Stop(status);
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
  const rocksdb::Status status = Apply([](const Use& use) {
    return use->Flush(
        rocksdb::FlushOptions(),
        {use.family(Family::kSmall), use.family(Family::kIndex), use.family(Family::kRecords)});
  });
  return FromRocks(status, "flushing");
}

absl::Status Database::DropDeleted(Family family) {
  constexpr uint64_t kDeletionsPart = 8;
  rocksdb::TablePropertiesCollection tables;
  {
    const Use use(this);
    RETURN_IF_ERROR(FromRocks(use->GetPropertiesOfAllTables(use.family(family), &tables),
                              "reading properties"));
  }
  uint64_t entries = 0;
  uint64_t deletions = 0;
  for (const auto& [name, table] : tables) {
    entries += table->num_entries;
    deletions += table->num_deletions;
  }
  if (deletions == 0 || deletions * kDeletionsPart < entries) return absl::OkStatus();
  const rocksdb::Status status = Apply([&](const Use& use) {
    return use->CompactRange(rocksdb::CompactRangeOptions(), use.family(family), nullptr, nullptr);
  });
  return FromRocks(status, "compacting");
}

absl::Status Database::ForEach(
    Family family, absl::string_view prefix, absl::string_view after,
    const std::function<bool(absl::string_view key, absl::string_view value)>& each) {
  const std::string end = PrefixEnd(prefix);
  const rocksdb::Slice end_slice(end);
  rocksdb::ReadOptions options;
  if (!end.empty()) options.iterate_upper_bound = &end_slice;
  const Use use(this);
  const std::unique_ptr<rocksdb::Iterator> it(use->NewIterator(options, use.family(family)));
  it->Seek(ToSlice(after < prefix ? prefix : after));
  if (it->Valid() && ToView(it->key()) == after) it->Next();
  for (; it->Valid(); it->Next()) {
    if (!each(ToView(it->key()), ToView(it->value()))) return absl::OkStatus();
  }
  return FromRocks(it->status(), "reading a range");
}

}  // namespace ballast

// RocksDB as the engine uses it: its settings, its column families, its errors as
// ours, and durability that several threads share.
//
//   blocks   block files, ingested whole; no memtable, no compaction
//   small    blocks that came in less than a file's worth; through the log
//   index    where each block is, and how much of each block file is alive
//   records  RecordStore
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_DATABASE_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_DATABASE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "rocksdb/cache.h"
#include "rocksdb/db.h"
#include "rocksdb/options.h"
#include "rocksdb/write_batch.h"
#include "storage/base/limits.h"

namespace ballast {

inline rocksdb::Slice ToSlice(absl::string_view s) { return {s.data(), s.size()}; }
inline absl::string_view ToView(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

// NoSpace: ResourceExhausted "the disk is full". Corruption, or a file that is gone:
// DataLoss. NotFound: NotFound. The rest: Unavailable.
absl::Status FromRocks(const rocksdb::Status& status, absl::string_view where);

// Thread-safe. Destroying it closes the database.
class Database {
 public:
  // Opens what is in `dir`; makes it only if `create`. `env` null: RocksDB's own.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& dir,
                                                        const Limits& limits, bool create,
                                                        rocksdb::Env* env);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  rocksdb::DB* db() { return db_.get(); }
  rocksdb::ColumnFamilyHandle* blocks() { return handles_[1]; }
  rocksdb::ColumnFamilyHandle* small() { return handles_[2]; }
  rocksdb::ColumnFamilyHandle* index() { return handles_[3]; }
  rocksdb::ColumnFamilyHandle* records() { return handles_[4]; }
  // What block files are written with.
  const rocksdb::Options& block_file_options() const { return block_file_options_; }
  // Owner of every pinned block; lives as long as any of them.
  const std::shared_ptr<rocksdb::Cache>& block_cache() const { return block_cache_; }

  // Applies the batch, visible on return. Not durable before Sync(), or before a
  // later write with `sync`. After a full disk, tries once more when RocksDB could
  // be resumed. On an error the batch was not applied, but a crash may bring it back.
  absl::Status Write(rocksdb::WriteBatch* batch, bool sync, absl::string_view where);
  // Unavailable once an I/O error was one that RocksDB does not get over (in the log, its
  // manifest, a memtable's file): from then on nothing is written, surely.
  absl::Status CheckWritable(absl::string_view where);
  // False once RocksDB had an error that stops writes, also if it got over it: 7.8.3 then
  // believes in IngestExternalFile that it is stopped still, and goes on without a file
  // number.
  bool TakesFiles() const { return *takes_files_; }
  // Runs `change`; if it fails and RocksDB can be resumed, runs it once more.
  rocksdb::Status Resuming(const std::function<rocksdb::Status()>& change);
  // Makes all writes that returned before this call durable. One fsync serves all
  // callers that wait for it.
  absl::Status Sync();

  // Writes what is in memory to files, so that the log can go.
  absl::Status Flush();
  // Compacts a family of which at least an eighth is deletions; they and what they
  // delete take up space until then. Call after Flush.
  absl::Status DropDeleted(rocksdb::ColumnFamilyHandle* family);

  // Calls `each` for every key with `prefix` that is > `after`, ascending, until it
  // returns false. An iterator that broke is an error, never an early end.
  absl::Status ForEach(
      rocksdb::ColumnFamilyHandle* family, absl::string_view prefix, absl::string_view after,
      const std::function<bool(absl::string_view key, absl::string_view value)>& each);

 private:
  Database() = default;
  void Stop(const rocksdb::Status& why);
  rocksdb::Status SyncLog();

  // Shared with the listener, which RocksDB owns.
  std::shared_ptr<std::atomic<bool>> takes_files_ = std::make_shared<std::atomic<bool>>(true);
  std::shared_ptr<rocksdb::Cache> block_cache_;
  rocksdb::Options block_file_options_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;

  std::mutex stopped_mutex_;
  absl::Status stopped_;

  std::mutex sync_mutex_;
  std::condition_variable sync_done_;
  bool syncing_ = false;
  uint64_t written_ = 0;  // unsynced writes that returned
  uint64_t synced_ = 0;   // of them, those that are durable
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_DATABASE_H_

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
#include <shared_mutex>
#include <string>
#include <vector>

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

// The column families but `default`, which is empty.
enum class Family : uint8_t { kBlocks = 1, kSmall, kIndex, kRecords };
std::string NameOf(Family family);

// Thread-safe. Destroying it closes the database.
class Database {
 public:
  // RocksDB, which is not opened anew while this lives: so, briefly, and by one thread.
  class Use {
   public:
    explicit Use(const Database* database) : lock_(database->open_), database_(database) {}

    rocksdb::DB* get() const { return database_->db_.get(); }
    rocksdb::DB* operator->() const { return get(); }
    rocksdb::ColumnFamilyHandle* family(Family family) const {
      return database_->handles_[static_cast<size_t>(family)];
    }

   private:
    const std::shared_lock<std::shared_timed_mutex> lock_;
    const Database* const database_;
  };

  // Opens what is in `dir`; makes it only if `create`. `env` null: RocksDB's own.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& dir,
                                                        const Limits& limits, bool create,
                                                        rocksdb::Env* env);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Closes RocksDB; nothing may be called any more. OK if all of it is on the disk.
  absl::Status Close();

  Use use() const { return Use(this); }
  template <typename Value>  // std::string or rocksdb::PinnableSlice
  rocksdb::Status Get(Family family, const rocksdb::Slice& key, Value* value,
                      const rocksdb::ReadOptions& options = {}) const {
    const Use use(this);
    return use->Get(options, use.family(family), key, value);
  }
  // What block files are written with.
  const rocksdb::Options& block_file_options() const { return block_file_options_; }
  // Owner of every pinned block; lives as long as any of them.
  const std::shared_ptr<rocksdb::Cache>& block_cache() const { return block_cache_; }

  // Applies the batch, visible on return. Not durable before Sync(), or before a
  // later write with `sync`. On an error the batch was not applied, but a crash may bring
  // it back.
  absl::Status Write(rocksdb::WriteBatch* batch, bool sync, absl::string_view where);
  // Unavailable once an I/O error was one that RocksDB does not get over (in the log, its
  // manifest, a memtable's file): from then on nothing is written, surely.
  absl::Status CheckWritable(absl::string_view where);
  // Runs `change`. A full disk stops all changes; the first one when there is space again
  // opens RocksDB anew, and runs twice if it has to.
  rocksdb::Status Apply(const std::function<rocksdb::Status(const Use&)>& change);
  // Makes all writes that returned before this call durable. One fsync serves all
  // callers that wait for it.
  absl::Status Sync();

  // Writes what is in memory to files, so that the log can go.
  absl::Status Flush();
  // Compacts a family of which at least an eighth is deletions; they and what they
  // delete take up space until then. Call after Flush.
  absl::Status DropDeleted(Family family);

  // Calls `each` for every key with `prefix` that is > `after`, ascending, until it
  // returns false. An iterator that broke is an error, never an early end.
  absl::Status ForEach(
      Family family, absl::string_view prefix, absl::string_view after,
      const std::function<bool(absl::string_view key, absl::string_view value)>& each);

  // What stopped RocksDB's writes; shared with the listener, which RocksDB owns.
  struct Failures {
    std::atomic<bool> disk_full = false;
    std::atomic<bool> other = false;
  };

 private:
  Database(std::string dir, const Limits& limits, rocksdb::Env* env);
  rocksdb::Status OpenRocks(bool read_only);
  void CloseRocks();
  bool Recover();
  bool HasSpace() const;
  rocksdb::Status Try(const std::function<rocksdb::Status(const Use&)>& change);
  void Stop(const rocksdb::Status& why);
  rocksdb::Status SyncLog();

  const std::string dir_;
  const std::shared_ptr<Failures> failures_ = std::make_shared<Failures>();
  const std::shared_ptr<rocksdb::Cache> block_cache_;
  rocksdb::DBOptions options_;
  std::vector<rocksdb::ColumnFamilyDescriptor> families_;
  rocksdb::Options block_file_options_;

  // Held shared while RocksDB is used, alone while it is opened anew.
  mutable std::shared_timed_mutex open_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  bool read_only_ = false;

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

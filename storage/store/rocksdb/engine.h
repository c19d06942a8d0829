// The embedded engine: RocksDB in one folder. The only place that includes RocksDB.
//
// Folder:  FORMAT (the number of the on-disk format, "1\n") · LOCK (one server at a
//          time) · db/ (RocksDB) · tmp/ (unfinished block files, emptied at open).
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_ENGINE_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_ENGINE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"
#include "storage/store/blob_store.h"
#include "storage/store/record_store.h"
#include "storage/store/store_monitor.h"

namespace rocksdb {
class Env;
}

namespace ballast {

// Both stores of one folder. Thread-safe. Destroying it closes the folder; nobody
// may use the stores then.
class RocksEngine {
 public:
  struct Options {
    std::string data_dir;  // made if it is not there
    Limits limits;
    // For tests: called between the steps of a commit, from any thread, with the
    // name of the step that was just done. Null: nothing is called.
    std::function<void(absl::string_view step)> step_hook = nullptr;
    // For tests: how RocksDB reaches the disk. Must outlive the engine. Null: the system's way.
    rocksdb::Env* env = nullptr;
  };
  // Errors: FailedPrecondition  written by a newer format (says both numbers), or in use
  //         by another process. DataLoss  damaged. PermissionDenied, ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<RocksEngine>> Open(const Options& options);
  // Whether Open could work, as far as looking tells: nothing is made, locked or changed, and
  // the folder may be in use. Errors: as Open.
  static absl::Status Check(const std::string& data_dir);
  virtual ~RocksEngine() = default;
  virtual BlobStore* blobs() = 0;
  virtual RecordStore* records() = 0;
  virtual StoreMonitor* monitor() = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_ENGINE_H_

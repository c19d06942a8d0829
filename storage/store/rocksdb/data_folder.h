// The engine's folder: whose it is, which format it has, and that only one process
// uses it at a time.
//
//   LOCK    flock'ed while in use; made first
//   db/     RocksDB
//   tmp/    unfinished block files; emptied whenever the folder is opened
//   SEAL    what db/ was like when it was closed (seal.h); not there while it is open
//   FORMAT  "1\n"; made last, so a folder without it is one whose making was cut short
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_DATA_FOLDER_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_DATA_FOLDER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ballast {

inline constexpr int kDataFormat = 1;

// Holds the lock of a folder; its destructor gives it up.
class DataFolder {
 public:
  // Makes the folder (and those above it) if it is not there.
  // Errors: FailedPrecondition  not empty and not a data folder, written by a newer
  //         format, in use by another process. DataLoss  FORMAT is not a number.
  //         PermissionDenied, ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<DataFolder>> Open(const std::string& path);
  // Looks only: the folder, or the one that it would be made in, can be written, and its
  // format can be read. Errors: as Open.
  static absl::Status Check(const std::string& path);
  ~DataFolder();
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;

  // True until MarkComplete was called once in the folder's life.
  bool is_new() const { return is_new_; }
  // Writes FORMAT: from now on db/ must be whole.
  absl::Status MarkComplete();

  const std::string& path() const { return path_; }
  std::string db_dir() const { return path_ + "/db"; }
  std::string tmp_dir() const { return path_ + "/tmp"; }

 private:
  DataFolder(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  absl::Status Prepare();

  const std::string path_;
  const int lock_fd_;
  bool is_new_ = false;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_DATA_FOLDER_H_

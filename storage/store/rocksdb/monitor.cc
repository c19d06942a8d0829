#include "storage/store/rocksdb/monitor.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "rocksdb/sst_file_reader.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

using Properties = rocksdb::DB::Properties;

// Over all column families; 0 if RocksDB has no such number.
uint64_t Sum(rocksdb::DB* db, const std::string& property) {
  uint64_t value = 0;
  return db->GetAggregatedIntProperty(property, &value) ? value : 0;
}

absl::Status AskFileSystem(const std::string& dir, StoreUsage* usage) {
  struct statvfs disk = {};
  if (statvfs(dir.c_str(), &disk) != 0) {
    return ErrnoStatus(errno, absl::StrCat("data folder ", Printable(dir)));
  }
  usage->disk_bytes = disk.f_blocks * disk.f_frsize;
  usage->disk_free_bytes = disk.f_bavail * disk.f_frsize;
  return absl::OkStatus();
}

rocksdb::Status CheckFile(const std::string& path) {
  rocksdb::SstFileReader reader((rocksdb::Options()));
  const rocksdb::Status opened = reader.Open(path);
  return opened.ok() ? reader.VerifyChecksum() : opened;
}

}  // namespace

absl::StatusOr<StoreUsage> RocksMonitor::Usage() {
  StoreUsage usage;
  RETURN_IF_ERROR(AskFileSystem(dir_, &usage));
  usage.blocks = index_->totals();
  usage.dead_bytes = index_->dead_bytes();
  const Database::Use use = database_->use();
  rocksdb::DB* const db = use.get();
  usage.files_bytes = Sum(db, Properties::kTotalSstFilesSize);
  usage.buffer_bytes = Sum(db, Properties::kCurSizeAllMemTables);
  usage.backlog_bytes = Sum(db, Properties::kEstimatePendingCompactionBytes);
  usage.cache_bytes = database_->block_cache()->GetUsage();
  usage.cache_pinned_bytes = database_->block_cache()->GetPinnedUsage();
  // Kept for the whole database; RocksDB counts it in the default column family.
  db->GetIntProperty(Properties::kBackgroundErrors, &usage.background_errors);
  return usage;
}

absl::Status RocksMonitor::CheckFiles(
    const std::function<absl::Status(absl::string_view problem)>& damaged) {
  std::vector<rocksdb::LiveFileMetaData> files;
  database_->use()->GetLiveFilesMetaData(&files);
  for (const rocksdb::LiveFileMetaData& file : files) {
    if (file.column_family_name != NameOf(Family::kIndex) &&
        file.column_family_name != NameOf(Family::kRecords)) {
      continue;
    }
    const std::string path = file.db_path + file.name;
    const rocksdb::Status status = CheckFile(path);
    // One that is gone was compacted meanwhile: what it held has been read.
    if (status.ok() || access(path.c_str(), F_OK) != 0) continue;
    RETURN_IF_ERROR(
        damaged(absl::StrCat("the store's file ", file.name.substr(1), " (",
                             file.column_family_name, "): ", Printable(status.ToString()))));
  }
  return absl::OkStatus();
}

}  // namespace ballast

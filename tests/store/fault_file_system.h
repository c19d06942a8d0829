// A disk that fails on demand, and that forgets what was not synced: below RocksDB, above the
// real file system.
#ifndef BALLAST_TESTS_STORE_FAULT_FILE_SYSTEM_H_
#define BALLAST_TESTS_STORE_FAULT_FILE_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/strings/string_view.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace ballast {

// What a change of the disk is: "create", "append", "sync", "rename", "link", "folder" (a
// folder is synced).
struct DiskChange {
  absl::string_view what;
  std::string path;
};

// Thread-safe.
class FaultFileSystem : public rocksdb::FileSystemWrapper {
 public:
  // OK, or how the change fails; it has no effect then.
  using Hook = std::function<rocksdb::IOStatus(const DiskChange&)>;

  FaultFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FaultFileSystem"; }

  // From now on; null: nothing fails.
  void SetHook(Hook hook);
  // Changes so far, failed ones too.
  uint64_t changes();
  // What a loss of power leaves: files are cut to what was synced of them. Nobody may have
  // them open.
  void ForgetUnsynced();

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* folder,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;

 private:
  friend class FaultFile;
  friend class FaultFolder;

  rocksdb::IOStatus Change(absl::string_view what, const std::string& path);
  void Synced(const std::string& path, uint64_t size_bytes);

  std::mutex mutex_;
  Hook hook_;
  uint64_t changes_ = 0;
  std::map<std::string, uint64_t> synced_;  // path → bytes that a loss of power leaves
};

}  // namespace ballast

#endif  // BALLAST_TESTS_STORE_FAULT_FILE_SYSTEM_H_

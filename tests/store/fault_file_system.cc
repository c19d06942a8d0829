#include "tests/store/fault_file_system.h"

#include <filesystem>
#include <utility>

namespace ballast {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

class FaultFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultFile(FaultFileSystem* system, std::string path,
            std::unique_ptr<rocksdb::FSWritableFile> file)
      : FSWritableFileOwnerWrapper(std::move(file)), system_(system), path_(std::move(path)) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    IOStatus status = system_->Change("append", path_);
    return status.ok() ? FSWritableFileOwnerWrapper::Append(data, options, debug) : status;
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return Synced([&] { return FSWritableFileOwnerWrapper::Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Synced([&] { return FSWritableFileOwnerWrapper::Fsync(options, debug); });
  }

 private:
  IOStatus Synced(const std::function<IOStatus()>& sync) {
    IOStatus status = system_->Change("sync", path_);
    if (!status.ok()) return status;
    // What is appended meanwhile may or may not be synced.
    const uint64_t size = std::filesystem::file_size(path_);
    status = sync();
    if (status.ok()) system_->Synced(path_, size);
    return status;
  }

  FaultFileSystem* const system_;  // Must outlive this.
  const std::string path_;
};

class FaultFolder : public rocksdb::FSDirectoryWrapper {
 public:
  FaultFolder(FaultFileSystem* system, std::string path,
              std::unique_ptr<rocksdb::FSDirectory> folder)
      : FSDirectoryWrapper(std::move(folder)), system_(system), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = system_->Change("folder", path_);
    return status.ok() ? FSDirectoryWrapper::Fsync(options, debug) : status;
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& how) override {
    IOStatus status = system_->Change("folder", path_);
    return status.ok() ? FSDirectoryWrapper::FsyncWithDirOptions(options, debug, how) : status;
  }

 private:
  FaultFileSystem* const system_;  // Must outlive this.
  const std::string path_;
};

void FaultFileSystem::SetHook(Hook hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

uint64_t FaultFileSystem::changes() {
  const std::lock_guard lock(mutex_);
  return changes_;
}

IOStatus FaultFileSystem::Change(absl::string_view what, const std::string& path) {
  const std::lock_guard lock(mutex_);
  ++changes_;
  return hook_ ? hook_({what, path}) : IOStatus::OK();
}

void FaultFileSystem::Synced(const std::string& path, uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  synced_[path] = size_bytes;
}

void FaultFileSystem::ForgetUnsynced() {
  const std::lock_guard lock(mutex_);
  std::error_code gone;
  for (const auto& [path, size] : synced_) {
    if (std::filesystem::file_size(path, gone) > size && !gone) {
      std::filesystem::resize_file(path, size);
    }
  }
}

IOStatus FaultFileSystem::NewWritableFile(const std::string& path,
                                          const rocksdb::FileOptions& options,
                                          std::unique_ptr<rocksdb::FSWritableFile>* file,
                                          IODebugContext* debug) {
  IOStatus status = Change("create", path);
  if (!status.ok()) return status;
  status = FileSystemWrapper::NewWritableFile(path, options, file, debug);
  if (!status.ok()) return status;
  Synced(path, 0);
  *file = std::make_unique<FaultFile>(this, path, std::move(*file));
  return status;
}

IOStatus FaultFileSystem::ReopenWritableFile(const std::string& path,
                                             const rocksdb::FileOptions& options,
                                             std::unique_ptr<rocksdb::FSWritableFile>* file,
                                             IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::ReopenWritableFile(path, options, file, debug);
  if (status.ok()) *file = std::make_unique<FaultFile>(this, path, std::move(*file));
  return status;
}

// A log is never used again with the settings of the engine.
IOStatus FaultFileSystem::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                            const rocksdb::FileOptions& options,
                                            std::unique_ptr<rocksdb::FSWritableFile>* file,
                                            IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::ReuseWritableFile(path, old_path, options, file, debug);
  if (status.ok()) *file = std::make_unique<FaultFile>(this, path, std::move(*file));
  return status;
}

IOStatus FaultFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                       std::unique_ptr<rocksdb::FSDirectory>* folder,
                                       IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::NewDirectory(path, options, folder, debug);
  if (status.ok()) *folder = std::make_unique<FaultFolder>(this, path, std::move(*folder));
  return status;
}

IOStatus FaultFileSystem::RenameFile(const std::string& from, const std::string& to,
                                     const IOOptions& options, IODebugContext* debug) {
  IOStatus status = Change("rename", to);
  if (!status.ok()) return status;
  status = FileSystemWrapper::RenameFile(from, to, options, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  if (const auto it = synced_.find(from); it != synced_.end()) {
    synced_[to] = it->second;
    synced_.erase(from);
  }
  return status;
}

IOStatus FaultFileSystem::LinkFile(const std::string& from, const std::string& to,
                                   const IOOptions& options, IODebugContext* debug) {
  IOStatus status = Change("link", to);
  if (!status.ok()) return status;
  status = FileSystemWrapper::LinkFile(from, to, options, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  if (const auto it = synced_.find(from); it != synced_.end()) synced_[to] = it->second;
  return status;
}

}  // namespace ballast

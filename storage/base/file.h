// Local files: reading at offsets, and writing so that a reader sees the old
// content or the new, never something between.
#ifndef BALLAST_STORAGE_BASE_FILE_H_
#define BALLAST_STORAGE_BASE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/base/byte_io.h"

namespace ballast {

// Opens a regular file for reading.
// Errors: NotFound  no such file. PermissionDenied. InvalidArgument  a folder or device.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenFile(const std::string& path);

// Wraps a file descriptor as a forward stream (stdin, pipes). Does not close it.
std::unique_ptr<ByteStream> StreamFromFd(int fd);
// Wraps a file descriptor as a sink (stdout, pipes). Does not close it.
std::unique_ptr<ByteSink> SinkToFd(int fd);
// Whether a sink's failure is that nobody reads the pipe any more (`| head`).
bool IsBrokenPipe(const absl::Status& status);

// An unnamed temporary file: gone when the object is, even if the process dies.
// Write it forward, then read it anywhere. Bounded by `limit_bytes`.
class SpoolFile : public ByteSource, public ByteSink {
 public:
  // `dir` is a folder for the file; limit_name is named in the error.
  static absl::StatusOr<std::unique_ptr<SpoolFile>> Create(const std::string& dir,
                                                           uint64_t limit_bytes,
                                                           absl::string_view limit_name);
  ~SpoolFile() override;
  // Errors: ResourceExhausted  more than limit_bytes, or the disk is full.
  absl::Status Write(absl::string_view bytes) override;
  uint64_t size_bytes() const override { return size_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override;

 private:
  SpoolFile(int fd, uint64_t limit_bytes, std::string limit_name)
      : fd_(fd), limit_(limit_bytes), limit_name_(std::move(limit_name)) {}
  const int fd_;
  const uint64_t limit_;
  const std::string limit_name_;
  uint64_t size_ = 0;
};

// A file that appears under its name only when committed: written to an unnamed file in
// the same folder (O_TMPFILE), fsynced, linked or renamed, the folder fsynced. Destroyed
// without Commit it leaves nothing behind, and neither does a process that is killed: an
// existing file is replaced through a second name, which lives from one system call to the
// next. File systems without unnamed files get a named one, `.ballast-tmp-…`, which a kill
// leaves behind.
class AtomicFile : public ByteSink {
 public:
  // `named`: as on a file system without unnamed files.
  // Errors: AlreadyExists  `path` exists and !overwrite. NotFound  no such folder.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(const std::string& path, bool overwrite,
                                                            bool named = false);
  ~AtomicFile() override;
  // Errors: ResourceExhausted  the disk is full. Unavailable  the device failed.
  absl::Status Write(absl::string_view bytes) override;
  // Writes at an offset instead of the end; thread-safe for disjoint ranges.
  absl::Status WriteAt(uint64_t offset, absl::string_view bytes);
  // Starts writing the pages to the disk behind the stream, so that Commit's
  // fsync finds little left to do. A hint; never fails.
  void StartWriteback(uint64_t offset, uint64_t size_bytes);
  // Errors: AlreadyExists  the name was taken meanwhile, and !overwrite.
  absl::Status Commit();
  uint64_t size_bytes() const { return size_; }
  // Where the bytes are before Commit; for reading them back.
  const std::string& temp_path() const { return temp_path_; }

 private:
  AtomicFile(int fd, std::string temp_path, bool named, std::string path, bool overwrite)
      : fd_(fd),
        temp_path_(std::move(temp_path)),
        named_(named),
        path_(std::move(path)),
        overwrite_(overwrite) {}
  int Publish();
  const int fd_;
  std::string temp_path_;
  bool named_;  // temp_path_ is a name in the folder
  const std::string path_;
  const bool overwrite_;
  uint64_t size_ = 0;
};

// errno as a status: "<what>: <strerror>". ENOENT NotFound, EEXIST AlreadyExists,
// EACCES/EPERM PermissionDenied, ENOSPC/EDQUOT ResourceExhausted, the rest Unavailable.
absl::Status ErrnoStatus(int error, absl::string_view what);

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_FILE_H_

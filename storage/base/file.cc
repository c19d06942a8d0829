#include "storage/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <random>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "storage/base/checked.h"
#include "storage/base/folder.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Linux moves at most 0x7ffff000 bytes per call.
constexpr size_t kMaxIoBytes = 1u << 30;

absl::Status ReadAtFd(int fd, uint64_t offset, absl::Span<char> out) {
  while (!out.empty()) {
    const ssize_t n =
        pread(fd, out.data(), std::min(out.size(), kMaxIoBytes), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("reading at offset ", offset));
    if (n == 0) return TruncatedError("file shrank while being read: no byte at offset ", offset);
    out.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::Status WriteAtFd(int fd, uint64_t offset, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n =
        pwrite(fd, bytes.data(), std::min(bytes.size(), kMaxIoBytes), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("writing at offset ", offset));
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

class FileSource : public ByteSource {
 public:
  FileSource(int fd, uint64_t size_bytes) : fd_(fd), size_(size_bytes) {}
  ~FileSource() override { close(fd_); }
  uint64_t size_bytes() const override { return size_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override {
    if (!InRange(offset, out.size(), size_)) {
      return TruncatedError("reading ", out.size(), " bytes at offset ", offset, ": file is ",
                            size_, " bytes long");
    }
    return ReadAtFd(fd_, offset, out);
  }

 private:
  const int fd_;
  const uint64_t size_;
};

class FdStream : public ByteStream {
 public:
  explicit FdStream(int fd) : fd_(fd) {}
  absl::StatusOr<size_t> Read(absl::Span<char> out) override {
    while (true) {
      const ssize_t n = read(fd_, out.data(), std::min(out.size(), kMaxIoBytes));
      if (n >= 0) return static_cast<size_t>(n);
      if (errno != EINTR) return ErrnoStatus(errno, "reading the input");
    }
  }

 private:
  const int fd_;
};

constexpr char kBrokenPipeMark[] = "ballast/broken-pipe";

absl::Status OutputError(int error) {
  absl::Status status = ErrnoStatus(error, "writing the output");
  if (error == EPIPE) status.SetPayload(kBrokenPipeMark, absl::Cord("1"));
  return status;
}

class FdSink : public ByteSink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  absl::Status Write(absl::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = write(fd_, bytes.data(), std::min(bytes.size(), kMaxIoBytes));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return OutputError(errno);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

 private:
  const int fd_;
};

// A name beside `path` that nothing has.
std::string TempName(const std::string& path) {
  std::random_device random;
  return absl::StrCat(FolderOf(path), "/.ballast-tmp-", absl::Hex(random(), absl::kZeroPad8),
                      absl::Hex(random(), absl::kZeroPad8));
}

std::string FdPath(int fd) { return absl::StrCat("/proc/self/fd/", fd); }

int LinkTo(const std::string& from, const std::string& to) {
  return linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW);
}

// A file without a name that can be given one later; -1 if there is none: the file system
// has no such files, or /proc, through which they get their names, is not mounted.
int OpenUnnamed(const std::string& folder) {
  const int fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0 || access(FdPath(fd).c_str(), F_OK) == 0) return fd;
  close(fd);
  return -1;
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  const std::string message = absl::StrCat(what, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    // Names that no other try makes better.
    case ELOOP:
    case ENAMETOOLONG:
      return absl::InvalidArgumentError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, Printable(path));
  struct stat info {};
  if (fstat(fd, &info) != 0) {
    const int error = errno;
    close(fd);
    return ErrnoStatus(error, Printable(path));
  }
  if (!S_ISREG(info.st_mode)) {
    close(fd);
    return absl::InvalidArgumentError(absl::StrCat(
        Printable(path), ": is ", S_ISDIR(info.st_mode) ? "a folder" : "not a regular file",
        ", want a regular file"));
  }
  return std::make_unique<FileSource>(fd, static_cast<uint64_t>(info.st_size));
}

std::unique_ptr<ByteStream> StreamFromFd(int fd) { return std::make_unique<FdStream>(fd); }
std::unique_ptr<ByteSink> SinkToFd(int fd) { return std::make_unique<FdSink>(fd); }
bool IsBrokenPipe(const absl::Status& status) {
  return status.GetPayload(kBrokenPipeMark).has_value();
}

absl::StatusOr<std::unique_ptr<SpoolFile>> SpoolFile::Create(const std::string& dir,
                                                             uint64_t limit_bytes,
                                                             absl::string_view limit_name) {
  int fd = open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) {  // file systems without O_TMPFILE
    std::string name = dir + "/.ballast-spool-XXXXXX";
    fd = mkostemp(name.data(), O_CLOEXEC);
    if (fd < 0) return ErrnoStatus(errno, absl::StrCat("creating a temporary file in ", dir));
    unlink(name.c_str());
  }
  return std::unique_ptr<SpoolFile>(new SpoolFile(fd, limit_bytes, std::string(limit_name)));
}

SpoolFile::~SpoolFile() { close(fd_); }

absl::Status SpoolFile::Write(absl::string_view bytes) {
  if (!InRange(size_, bytes.size(), limit_)) {
    return LimitError("spooling the input: more than ", limit_, " bytes, want at most ",
                      limit_name_);
  }
  RETURN_IF_ERROR(WriteAtFd(fd_, size_, bytes), "spooling the input");
  size_ += bytes.size();
  return absl::OkStatus();
}

absl::Status SpoolFile::ReadAt(uint64_t offset, absl::Span<char> out) const {
  if (!InRange(offset, out.size(), size_)) {
    return TruncatedError("reading ", out.size(), " bytes at offset ", offset, ": input is ", size_,
                          " bytes long");
  }
  return ReadAtFd(fd_, offset, out);
}

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& path,
                                                               bool overwrite, bool named) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat("writing ", Printable(path), ": is a folder, want a file name"));
    }
    if (!S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat("writing ", Printable(path), ": is not a regular file, want a file name"));
    }
    if (!overwrite) {
      return absl::AlreadyExistsError(absl::StrCat(
          "writing ", Printable(path), ": the file exists, want a new name or --force"));
    }
  }
  int fd = named ? -1 : OpenUnnamed(FolderOf(path));
  if (fd >= 0) {
    return std::unique_ptr<AtomicFile>(new AtomicFile(fd, FdPath(fd), false, path, overwrite));
  }
  const std::string temp_path = TempName(path);
  fd = open(temp_path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("writing ", Printable(path)));
  return std::unique_ptr<AtomicFile>(new AtomicFile(fd, temp_path, true, path, overwrite));
}

AtomicFile::~AtomicFile() {
  close(fd_);
  if (named_) unlink(temp_path_.c_str());
}

absl::Status AtomicFile::Write(absl::string_view bytes) {
  RETURN_IF_ERROR(WriteAtFd(fd_, size_, bytes), absl::StrCat("writing ", Printable(path_)));
  size_ += bytes.size();
  return absl::OkStatus();
}

absl::Status AtomicFile::WriteAt(uint64_t offset, absl::string_view bytes) {
  return WithContext(WriteAtFd(fd_, offset, bytes), absl::StrCat("writing ", Printable(path_)));
}

void AtomicFile::StartWriteback(uint64_t offset, uint64_t size_bytes) {
  sync_file_range(fd_, static_cast<off64_t>(offset), static_cast<off64_t>(size_bytes),
                  SYNC_FILE_RANGE_WRITE);
}

// The name appears with all of the content or not at all: a link where the name is free,
// else a link under another name that is renamed at once. Returns 0 or an errno.
int AtomicFile::Publish() {
  if (!named_) {
    const std::string unnamed = temp_path_;
    if (LinkTo(unnamed, path_) == 0) return 0;
    if (errno != EEXIST || !overwrite_) return errno;
    temp_path_ = TempName(path_);
    if (LinkTo(unnamed, temp_path_) != 0) return errno;
    named_ = true;
  }
  const unsigned flags = overwrite_ ? 0 : RENAME_NOREPLACE;
  int rc = renameat2(AT_FDCWD, temp_path_.c_str(), AT_FDCWD, path_.c_str(), flags);
  if (rc != 0 && errno == EINVAL && flags != 0) {  // file systems without RENAME_NOREPLACE
    rc = link(temp_path_.c_str(), path_.c_str());
    if (rc == 0) unlink(temp_path_.c_str());
  }
  if (rc != 0) return errno;
  named_ = false;
  return 0;
}

absl::Status AtomicFile::Commit() {
  const std::string what = absl::StrCat("writing ", Printable(path_));
  if (fsync(fd_) != 0) return ErrnoStatus(errno, what);
  if (const int error = Publish(); error != 0) return ErrnoStatus(error, what);
  const int dir = open(FolderOf(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir >= 0) {
    fsync(dir);
    close(dir);
  }
  return absl::OkStatus();
}

}  // namespace ballast

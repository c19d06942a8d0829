#include "storage/store/rocksdb/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

std::string Named(const std::string& path) { return absl::StrCat("data folder ", Printable(path)); }

absl::Status SystemStatus(const std::error_code& error, const std::string& path) {
  return ErrnoStatus(error.value(), Named(path));
}

absl::StatusOr<std::set<std::string>> Names(const std::string& path) {
  std::set<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    names.insert(it->path().filename().string());
  }
  if (error) return SystemStatus(error, path);
  names.erase("lost+found");  // the root of a file system has it from birth
  return names;
}

absl::Status CheckFormat(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, OpenFile(path + "/FORMAT"), Named(path));
  std::string text(std::min<uint64_t>(file->size_bytes(), 32), '\0');
  RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(text)), Named(path));
  int format = 0;
  if (!absl::SimpleAtoi(absl::StripSuffix(text, "\n"), &format) || format < 1) {
    return absl::DataLossError(
        absl::StrCat(Named(path), ": format is \"", Printable(text), "\", want a number"));
  }
  if (format > kDataFormat) {
    return absl::FailedPreconditionError(absl::StrCat(Named(path), ": format is ", format,
                                                      ", want at most ", kDataFormat,
                                                      ": use a newer ballastd"));
  }
  return absl::OkStatus();
}

// A folder without FORMAT is taken only if all in it can be from a making that was
// cut short, which always begins with LOCK.
bool IsUnfinished(const std::set<std::string>& names) {
  if (names.empty()) return true;
  for (const std::string& name : names) {
    const bool ours =
        name == "LOCK" || name == "db" || name == "tmp" || name.rfind(".ballast-tmp-", 0) == 0;
    if (!ours) return false;
  }
  return names.count("LOCK") != 0;
}

absl::Status CheckOurs(const std::set<std::string>& names, const std::string& path) {
  if (names.count("FORMAT") != 0 || IsUnfinished(names)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      Named(path), ": holds other files and no FORMAT, want an empty folder or a data folder"));
}

absl::Status CheckWritable(const fs::path& folder, const std::string& path) {
  if (access(folder.c_str(), R_OK | W_OK | X_OK) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat(Named(path), ": writing to ", Printable(folder.string())));
}

// The folder that is there already and in which those below it would be made.
fs::path NearestFolder(fs::path path) {
  std::error_code error;
  while (!fs::exists(path, error) && path.has_parent_path() && path != path.root_path()) {
    path = path.parent_path();
  }
  return path;
}

absl::StatusOr<int> Lock(const std::string& path) {
  const int fd = open((path + "/LOCK").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat(Named(path), ": opening LOCK"));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  close(fd);
  if (error != EWOULDBLOCK) return ErrnoStatus(error, absl::StrCat(Named(path), ": locking"));
  return absl::FailedPreconditionError(absl::StrCat(Named(path), " is in use by another process"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataFolder>> DataFolder::Open(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return SystemStatus(error, path);
  ASSIGN_OR_RETURN(const auto names, Names(path));
  RETURN_IF_ERROR(CheckOurs(names, path));
  ASSIGN_OR_RETURN(const int fd, Lock(path));
  std::unique_ptr<DataFolder> folder(new DataFolder(path, fd));
  RETURN_IF_ERROR(folder->Prepare());
  return folder;
}

absl::Status DataFolder::Check(const std::string& path) {
  const fs::path folder = NearestFolder(fs::absolute(path));
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(Named(path), ": ", Printable(folder.string()), " is not a folder"));
  }
  RETURN_IF_ERROR(CheckWritable(folder, path));
  if (!fs::exists(path, error)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto names, Names(path));
  RETURN_IF_ERROR(CheckOurs(names, path));
  if (names.count("FORMAT") == 0) return absl::OkStatus();
  RETURN_IF_ERROR(CheckFormat(path));
  if (fs::exists(path + "/db/CURRENT", error)) return CheckWritable(fs::path(path) / "db", path);
  return absl::DataLossError(absl::StrCat(Named(path), ": db/CURRENT is missing"));
}

DataFolder::~DataFolder() { close(lock_fd_); }

absl::Status DataFolder::Prepare() {
  std::error_code error;
  is_new_ = !fs::exists(path_ + "/FORMAT", error);
  if (error) return SystemStatus(error, path_);
  if (!is_new_) RETURN_IF_ERROR(CheckFormat(path_));
  fs::remove_all(tmp_dir(), error);
  if (!error) fs::create_directory(tmp_dir(), error);
  if (!error) fs::create_directory(db_dir(), error);
  return error ? SystemStatus(error, path_) : absl::OkStatus();
}

absl::Status DataFolder::MarkComplete() {
  if (!is_new_) return absl::OkStatus();
  ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path_ + "/FORMAT", /*overwrite=*/false),
                   Named(path_));
  RETURN_IF_ERROR(file->Write(absl::StrCat(kDataFormat, "\n")), Named(path_));
  RETURN_IF_ERROR(file->Commit(), Named(path_));
  is_new_ = false;
  return absl::OkStatus();
}

}  // namespace ballast

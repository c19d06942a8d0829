#include "storage/base/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Calls fn(dirent) for everything in a folder but "." and "..", until it fails.
template <typename F>
absl::Status ForEachName(const std::string& path, F fn) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
  if (folder == nullptr) return ErrnoStatus(errno, Printable(path));
  while (true) {
    errno = 0;
    const dirent* item = readdir(folder.get());
    if (item == nullptr) break;
    const absl::string_view name = item->d_name;
    if (name != "." && name != "..") RETURN_IF_ERROR(fn(folder.get(), *item));
  }
  return errno == 0 ? absl::OkStatus() : ErrnoStatus(errno, Printable(path));
}

// Removes the files of which `may_go` is true, and then the folder if nothing else is there.
absl::Status RemoveFolder(const std::string& path, bool (*may_go)(absl::string_view)) {
  RETURN_IF_ERROR(ForEachName(path, [&](DIR* folder, const dirent& item) {
    if (may_go(item.d_name)) unlinkat(dirfd(folder), item.d_name, 0);
    return absl::OkStatus();
  }));
  if (rmdir(path.c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("removing ", Printable(path)));
}

// What is at `path` may be replaced: nothing, an empty folder, or one of such files.
absl::Status CheckReplaceable(const std::string& path, bool overwrite,
                              AtomicFolder::NameFilter replaceable) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return absl::OkStatus();
  const std::string where = absl::StrCat("writing ", Printable(path));
  if (!S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": is a file, want a folder's name"));
  }
  return ForEachName(path, [&](DIR*, const dirent& item) -> absl::Status {
    if (!overwrite) {
      return absl::AlreadyExistsError(
          absl::StrCat(where, ": the folder has files, want a new name or --force"));
    }
    if (replaceable(item.d_name)) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        where, ": the folder also has ", Printable(item.d_name), ", want one of shards only"));
  });
}

}  // namespace

absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, Printable(path));
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, Printable(path));
}

bool IsFolder(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::StatusOr<std::vector<FolderEntry>> ListFolder(const std::string& path, const Limits& limits) {
  std::vector<FolderEntry> out;
  RETURN_IF_ERROR(ForEachName(path, [&](DIR* folder, const dirent& item) -> absl::Status {
    struct stat info {};
    const bool found = fstatat(dirfd(folder), item.d_name, &info, 0) == 0;
    if (!found || !(S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))) return absl::OkStatus();
    out.push_back({item.d_name, S_ISDIR(info.st_mode)});
    if (out.size() <= limits.folder_entries_max) return absl::OkStatus();
    return LimitError(Printable(path), ": holds more than ", limits.folder_entries_max,
                      " files (folder_entries_max)");
  }));
  std::sort(out.begin(), out.end(),
            [](const FolderEntry& a, const FolderEntry& b) { return a.name < b.name; });
  return out;
}

absl::StatusOr<std::unique_ptr<AtomicFolder>> AtomicFolder::Create(const std::string& path,
                                                                   bool overwrite,
                                                                   NameFilter replaceable) {
  std::string target = path;
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  RETURN_IF_ERROR(CheckReplaceable(target, overwrite, replaceable));
  std::string temp_path = absl::StrCat(FolderOf(target), "/.ballast-tmp-XXXXXX");
  if (mkdtemp(temp_path.data()) == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("writing ", Printable(target)));
  }
  const mode_t mask = umask(0);
  umask(mask);
  chmod(temp_path.c_str(), 0777 & ~mask);
  return std::unique_ptr<AtomicFolder>(
      new AtomicFolder(std::move(temp_path), std::move(target), overwrite, replaceable));
}

AtomicFolder::~AtomicFolder() {
  if (temp_path_.empty()) return;
  RemoveFolder(temp_path_, [](absl::string_view) { return true; }).IgnoreError();
}

std::string AtomicFolder::PathOf(absl::string_view name) const {
  return absl::StrCat(temp_path_, "/", name);
}

// rename() puts a folder over none or an empty one, and over nothing else.
absl::Status AtomicFolder::Commit() {
  const std::string what = absl::StrCat("writing ", Printable(path_));
  RETURN_IF_ERROR(SyncFolder(temp_path_), what);
  if (rename(temp_path_.c_str(), path_.c_str()) == 0) {
    temp_path_.clear();
  } else if (errno != ENOTEMPTY && errno != EEXIST) {
    return ErrnoStatus(errno, what);
  } else if (overwrite_) {
    RETURN_IF_ERROR(Replace(), what);
  } else {
    return absl::AlreadyExistsError(absl::StrCat(what, ": somebody has put files there"));
  }
  return WithContext(SyncFolder(FolderOf(path_)), what);
}

// Both change names at once; then the old files, under the temporary name, go.
absl::Status AtomicFolder::Replace() {
  RETURN_IF_ERROR(CheckReplaceable(path_, overwrite_, replaceable_));
  if (renameat2(AT_FDCWD, temp_path_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) != 0) {
    return ErrnoStatus(errno, "exchanging the folders");
  }
  return RemoveFolder(std::exchange(temp_path_, ""), replaceable_);
}

std::string FolderOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string BaseNameOf(absl::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace ballast

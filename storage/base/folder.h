// Folders: what lies in one, the names of paths, and folders that appear as a whole.
#ifndef BALLAST_STORAGE_BASE_FOLDER_H_
#define BALLAST_STORAGE_BASE_FOLDER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"

namespace ballast {

struct FolderEntry {
  std::string name;
  bool is_folder = false;
};

// Whether there is a folder at `path`.
bool IsFolder(const std::string& path);
// Makes the names in a folder durable.
absl::Status SyncFolder(const std::string& path);

// The regular files and folders in a folder, ascending by the bytes of their names. A
// symbolic link counts as what it leads to; one that leads nowhere is left out, and so
// are devices, pipes and sockets.
// Errors: NotFound, PermissionDenied. ResourceExhausted  limits.folder_entries_max.
absl::StatusOr<std::vector<FolderEntry>> ListFolder(const std::string& path, const Limits& limits);

// A folder of files that appears under its name only when committed: filled under a
// temporary name beside it, fsynced, renamed. Destroyed without Commit it leaves nothing
// behind; a process that dies leaves a folder `.ballast-tmp-…`, which nothing reads.
// Not thread-safe.
class AtomicFolder {
 public:
  using NameFilter = bool (*)(absl::string_view name);

  // What is at `path` may be an empty folder, and with `overwrite` one that holds nothing
  // but files whose names `replaceable` accepts: they go.
  // Errors: AlreadyExists  a folder with files, and !overwrite. InvalidArgument  a file.
  //         FailedPrecondition  other files lie there; names one. NotFound  no such folder
  //         to put it in.
  static absl::StatusOr<std::unique_ptr<AtomicFolder>> Create(const std::string& path,
                                                              bool overwrite,
                                                              NameFilter replaceable);
  ~AtomicFolder();
  // Where a file is before Commit; for writing it and for reading it back.
  std::string PathOf(absl::string_view name) const;
  const std::string& temp_path() const { return temp_path_; }
  // Errors: AlreadyExists  somebody has put files there meanwhile.
  absl::Status Commit();

 private:
  AtomicFolder(std::string temp_path, std::string path, bool overwrite, NameFilter replaceable)
      : temp_path_(std::move(temp_path)),
        path_(std::move(path)),
        overwrite_(overwrite),
        replaceable_(replaceable) {}
  absl::Status Replace();

  std::string temp_path_;  // "" once committed
  const std::string path_;
  const bool overwrite_;
  const NameFilter replaceable_;
};

// The folder that a path stands in ("." for a bare name), and its last part.
std::string FolderOf(absl::string_view path);
std::string BaseNameOf(absl::string_view path);

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_FOLDER_H_

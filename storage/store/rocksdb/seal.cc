#include "storage/store/rocksdb/seal.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "storage/base/digest.h"
#include "storage/base/file.h"
#include "storage/base/folder.h"
#include "storage/base/limits.h"
#include "storage/base/small_file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr absl::string_view kNoDigest = "-";
constexpr uint64_t kPieceBytes = 1u << 20;
constexpr uint64_t kSealBytesMax = 64u << 20;

std::string SealPath(const std::string& path) { return path + "/SEAL"; }

bool HasDigest(absl::string_view name) { return !absl::EndsWith(name, ".sst"); }

bool IsSealed(absl::string_view name) {
  return name == "CURRENT" || absl::StartsWith(name, "MANIFEST-") || absl::EndsWith(name, ".log") ||
         absl::EndsWith(name, ".sst");
}

// "<size> <digest>" of a file, as in its line.
absl::StatusOr<std::string> Describe(const std::string& db_dir, const std::string& name) {
  ASSIGN_OR_RETURN(const auto file, OpenFile(absl::StrCat(db_dir, "/", name)));
  const uint64_t size = file->size_bytes();
  if (!HasDigest(name)) return absl::StrCat(size, " ", kNoDigest);
  Sha256 sha;
  std::string piece;
  for (uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(std::min(kPieceBytes, size - at));
    RETURN_IF_ERROR(file->ReadAt(at, absl::MakeSpan(piece)), Printable(name));
    sha.Update(piece);
  }
  return absl::StrCat(size, " ", sha.Finish().Hex());
}

absl::Status Broken(const std::string& path, absl::string_view name, absl::string_view problem) {
  return absl::DataLossError(
      absl::StrCat(Printable(path), "/db/", Printable(name), ": ", problem,
                   " since the database was closed in an orderly way (SEAL says so)"));
}

}  // namespace

absl::Status WriteSeal(const std::string& path) {
  const std::string db_dir = path + "/db";
  Limits limits;
  limits.folder_entries_max = UINT64_MAX;
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(db_dir, limits));
  std::string text;
  for (const FolderEntry& entry : entries) {
    if (entry.is_folder || !IsSealed(entry.name)) continue;
    ASSIGN_OR_RETURN(const std::string described, Describe(db_dir, entry.name));
    absl::StrAppend(&text, described, " ", entry.name, "\n");
  }
  ASSIGN_OR_RETURN(const auto file, AtomicFile::Create(SealPath(path), /*overwrite=*/true));
  RETURN_IF_ERROR(file->Write(text));
  return file->Commit();
}

absl::Status BreakSeal(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadSmallFile(SealPath(path), kSealBytesMax);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  RETURN_IF_ERROR(text.status());
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(' ', 2));
    // What is named here is opened: only a name of the database's own kind.
    if (parts.size() != 3 || !IsSealed(parts[2]) || absl::StrContains(parts[2], '/')) {
      return absl::DataLossError(absl::StrCat(Printable(SealPath(path)), ": is damaged"));
    }
    const auto described = Describe(path + "/db", std::string(parts[2]));
    if (absl::IsNotFound(described.status())) return Broken(path, parts[2], "is gone");
    RETURN_IF_ERROR(described.status());
    const std::vector<absl::string_view> now = absl::StrSplit(*described, ' ');
    if (now[0] != parts[0]) {
      return Broken(path, parts[2], absl::StrCat("is ", now[0], " bytes, not ", parts[0]));
    }
    if (now[1] != parts[1]) return Broken(path, parts[2], "has changed");
  }
  if (unlink(SealPath(path).c_str()) != 0) return ErrnoStatus(errno, Printable(SealPath(path)));
  // Before anything changes, or a loss of power could bring it back.
  return SyncFolder(path);
}

}  // namespace ballast

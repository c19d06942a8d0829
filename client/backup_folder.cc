#include "client/backup_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "storage/base/file.h"
#include "storage/base/folder.h"
#include "storage/base/small_file.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kFormatPrefix = "ballast-backup ";
constexpr int kFormat = 1;
constexpr uint64_t kPackBytes = 256u << 20;
constexpr uint64_t kWaitingBytesMax = 64u << 20;
constexpr uint64_t kFactsBytesMax = 64u << 20;  // of a model, beside its schema
constexpr absl::string_view kLeftover = ".ballast-tmp-";

std::string Named(const std::string& path) { return absl::StrCat("folder ", Printable(path)); }

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  if (fs::create_directory(path, error)) {
    // Its name must be on the disk before what is put into it counts.
    return WithContext(SyncFolder(FolderOf(path)), Named(path));
  }
  return error ? ErrnoStatus(error.value(), Named(path)) : absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, absl::string_view bytes) {
  ASSIGN_OR_RETURN(const auto file, AtomicFile::Create(path, /*overwrite=*/true));
  RETURN_IF_ERROR(file->Write(bytes), Printable(path));
  return file->Commit();
}

// What is in a folder was written by us: bytes that are malformed there are damage.
absl::Status AsDamage(const absl::Status& status, const std::string& file) {
  if (!absl::IsInvalidArgument(status)) return WithContext(status, Printable(file));
  return absl::DataLossError(absl::StrCat(Printable(file), ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BackupFolder>> BackupFolder::OpenForWriting(const std::string& path,
                                                                           const Limits& limits,
                                                                           StepHook step) {
  std::unique_ptr<BackupFolder> folder(new BackupFolder(path, limits, std::move(step)));
  RETURN_IF_ERROR(folder->Prepare());
  RETURN_IF_ERROR(folder->RemoveLeftovers());
  ASSIGN_OR_RETURN(folder->blocks_,
                   PackedBlocks::Open(path + "/packs", limits, PackedBlocks::Damaged::kRefused));
  return folder;
}

absl::StatusOr<std::unique_ptr<BackupFolder>> BackupFolder::OpenForReading(const std::string& path,
                                                                           const Limits& limits) {
  std::unique_ptr<BackupFolder> folder(new BackupFolder(path, limits, nullptr));
  RETURN_IF_ERROR(folder->CheckFormat());
  ASSIGN_OR_RETURN(folder->blocks_,
                   PackedBlocks::Open(path + "/packs", limits, PackedBlocks::Damaged::kLeftOut));
  return folder;
}

BackupFolder::~BackupFolder() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

absl::Status BackupFolder::Prepare() {
  if (!IsFolder(path_)) RETURN_IF_ERROR(MakeFolder(path_));
  std::error_code error;
  const bool is_ours = fs::exists(path_ + "/FORMAT", error);
  if (!is_ours) {
    ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(path_, limits_));
    for (const FolderEntry& entry : entries) {
      if (entry.name == "LOCK" || absl::StartsWith(entry.name, kLeftover)) continue;
      return absl::FailedPreconditionError(
          absl::StrCat(Named(path_), ": holds ", Printable(entry.name),
                       " and no FORMAT, want an empty folder or one of a backup"));
    }
  }
  lock_fd_ = open((path_ + "/LOCK").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (lock_fd_ < 0) return ErrnoStatus(errno, absl::StrCat(Named(path_), ": opening LOCK"));
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat(Named(path_), ": locking"));
    return absl::FailedPreconditionError(
        absl::StrCat(Named(path_), ": is being written by another process"));
  }
  RETURN_IF_ERROR(is_ours
                      ? CheckFormat()
                      : WriteFile(path_ + "/FORMAT", absl::StrCat(kFormatPrefix, kFormat, "\n")));
  for (const char* part : {"/packs", "/models"}) RETURN_IF_ERROR(MakeFolder(path_ + part));
  return absl::OkStatus();
}

// Only file systems without unnamed files have any.
absl::Status BackupFolder::RemoveLeftovers() const {
  std::error_code error;
  for (fs::recursive_directory_iterator it(path_, error), end; !error && it != end;
       it.increment(error)) {
    if (!absl::StartsWith(it->path().filename().string(), kLeftover)) continue;
    if (it->is_regular_file(error)) fs::remove(it->path(), error);
  }
  return error ? ErrnoStatus(error.value(), Named(path_)) : absl::OkStatus();
}

absl::Status BackupFolder::CheckFormat() const {
  if (!IsFolder(path_)) return absl::NotFoundError(absl::StrCat(Named(path_), ": no such folder"));
  const absl::StatusOr<std::string> text = ReadSmallFile(path_ + "/FORMAT", 64);
  if (absl::IsNotFound(text.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(Named(path_), ": has no FORMAT, want a folder of a backup or an export"));
  }
  RETURN_IF_ERROR(text.status());
  absl::string_view number = *text;
  int format = 0;
  if (!absl::ConsumePrefix(&number, kFormatPrefix) ||
      !absl::SimpleAtoi(absl::StripSuffix(number, "\n"), &format) || format < 1) {
    return absl::DataLossError(absl::StrCat(Named(path_), ": FORMAT is \"", Printable(*text),
                                            "\", want ", kFormatPrefix, kFormat));
  }
  if (format <= kFormat) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      Named(path_), ": format is ", format, ", want at most ", kFormat, ": use a newer ballast"));
}

std::string BackupFolder::ModelDir(const std::string& model) const {
  return absl::StrCat(path_, "/models/", absl::StrReplaceAll(model, {{"/", "+"}}));
}

// A folder without model.json was made for versions that are in no state.
absl::StatusOr<std::vector<std::string>> BackupFolder::ModelFolders(bool finished) const {
  const auto entries = ListFolder(path_ + "/models", limits_);
  if (absl::IsNotFound(entries.status())) {
    return absl::DataLossError(absl::StrCat(
        Named(path_), ": has no models/: the backup did not begin, or it is gone; back up again"));
  }
  RETURN_IF_ERROR(entries.status());
  std::vector<std::string> models;
  for (const FolderEntry& entry : *entries) {
    std::string model = absl::StrReplaceAll(entry.name, {{"+", "/"}});
    if (!entry.is_folder || !CheckModelName(model).ok()) continue;
    std::error_code error;
    if (fs::exists(ModelDir(model) + "/model.json", error) != finished) continue;
    models.push_back(std::move(model));
  }
  std::sort(models.begin(), models.end());
  return models;
}

absl::StatusOr<std::vector<std::string>> BackupFolder::Models() const {
  return ModelFolders(/*finished=*/true);
}

absl::Status BackupFolder::TellUnfinished(
    const std::function<void(const std::string& line)>& warn) const {
  if (!warn) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto unfinished, ModelFolders(/*finished=*/false));
  for (const std::string& model : unfinished) {
    warn(absl::StrCat(model,
                      ": left out: the backup ended before it was whole, or its model.json "
                      "is gone; back up again"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelFacts> BackupFolder::ReadModel(const std::string& model) const {
  const std::string file = ModelDir(model) + "/model.json";
  ASSIGN_OR_RETURN(const std::string text,
                   ReadSmallFile(file, kFactsBytesMax + 2 * limits_.schema_bytes_max));
  absl::StatusOr<ModelFacts> facts = DecodeModelFacts(text);
  if (!facts.ok()) return AsDamage(facts.status(), file);
  if (facts->model == model) return facts;
  return absl::DataLossError(absl::StrCat(Printable(file), ": is of ", facts->model));
}

absl::StatusOr<VersionFacts> BackupFolder::ReadVersion(const std::string& model,
                                                       uint64_t version) const {
  const std::string file = absl::StrCat(ModelDir(model), "/", version, ".version");
  ASSIGN_OR_RETURN(const std::string text,
                   ReadSmallFile(file, kFactsBytesMax + limits_.manifest_bytes_max));
  absl::StatusOr<VersionFacts> facts = DecodeVersionFacts(text, limits_);
  if (!facts.ok()) return AsDamage(facts.status(), file);
  if (facts->model == model && facts->version == version) return facts;
  return absl::DataLossError(
      absl::StrCat(Printable(file), ": is of ", facts->model, ":", facts->version));
}

absl::StatusOr<VersionFacts> BackupFolder::ReadListed(const std::string& model,
                                                      uint64_t version) const {
  absl::StatusOr<VersionFacts> facts = ReadVersion(model, version);
  if (!absl::IsNotFound(facts.status())) return facts;
  return absl::DataLossError(facts.status().message());
}

absl::Status BackupFolder::Step(absl::string_view step) const {
  return step_ ? step_(step) : absl::OkStatus();
}

bool BackupFolder::Has(const Digest& digest) const {
  return in_pack_.contains(digest) || blocks_->Has(digest);
}

absl::Status BackupFolder::AddBlock(const Digest& digest, absl::string_view bytes) {
  if (Has(digest)) return absl::OkStatus();
  if (pack_ == nullptr) {
    pack_name_ = blocks_->NextName();
    ASSIGN_OR_RETURN(pack_, PackWriter::Create(absl::StrCat(blocks_->dir(), "/", pack_name_)));
  }
  RETURN_IF_ERROR(pack_->Add(digest, bytes), Named(path_));
  in_pack_.insert(digest);
  return pack_->size_bytes() < kPackBytes ? absl::OkStatus() : Flush();
}

absl::Status BackupFolder::Queue(std::string file, std::string bytes) {
  waiting_bytes_ += bytes.size();
  waiting_.emplace_back(std::move(file), std::move(bytes));
  return waiting_bytes_ < kWaitingBytesMax ? absl::OkStatus() : Flush();
}

absl::Status BackupFolder::AddVersion(const VersionFacts& facts) {
  return Queue(absl::StrCat(ModelDir(facts.model), "/", facts.version, ".version"),
               EncodeVersionFacts(facts));
}

absl::Status BackupFolder::AddModel(const ModelFacts& facts) {
  return Queue(ModelDir(facts.model) + "/model.json", EncodeModelFacts(facts));
}

absl::Status BackupFolder::Flush() {
  if (pack_ != nullptr) {
    RETURN_IF_ERROR(Step("pack written"));
    RETURN_IF_ERROR(pack_->Commit(), Named(path_));
    RETURN_IF_ERROR(Step("pack committed"));
    pack_.reset();
    in_pack_.clear();
    RETURN_IF_ERROR(blocks_->AddPack(pack_name_));
  }
  for (const auto& [file, bytes] : std::exchange(waiting_, {})) {
    RETURN_IF_ERROR(MakeFolder(FolderOf(file)));
    RETURN_IF_ERROR(Step("before a file"));
    RETURN_IF_ERROR(WriteFile(file, bytes));
    RETURN_IF_ERROR(Step("file written"));
  }
  waiting_bytes_ = 0;
  return absl::OkStatus();
}

}  // namespace ballast

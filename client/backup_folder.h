// A portable folder on the disk: what is where, and writing it so that whoever dies in
// between leaves the old state.
//
//   FORMAT                       "ballast-backup 1\n"; made first
//   LOCK                         flock'ed by who writes
//   packs/00000001.pack …        blocks (backup_pack.h)
//   models/team+net/model.json   a model's facts (backup_facts.h); "+" stands for "/"
//   models/team+net/7.version    a version's facts and manifest
//
// Order of writing: a pack, then the versions whose blocks it completes, then the models
// that name them. Each file appears whole or not at all.
#ifndef BALLAST_CLIENT_BACKUP_FOLDER_H_
#define BALLAST_CLIENT_BACKUP_FOLDER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/backup_facts.h"
#include "client/backup_pack.h"
#include "storage/base/limits.h"

namespace ballast {

// Not thread-safe.
class BackupFolder {
 public:
  // Called between two steps of writing; an error stops there. Null: not.
  using StepHook = std::function<absl::Status(absl::string_view step)>;

  // For writing: makes the folder if it is not there, takes what an interrupted writer left
  // away, and locks it. For reading: as it is; damaged packs only matter to what needs them.
  // Errors: NotFound  (reading). FailedPrecondition  other files and no FORMAT, a newer
  //         format, another writer. DataLoss  (writing) a pack that is damaged; a part is gone.
  static absl::StatusOr<std::unique_ptr<BackupFolder>> OpenForWriting(const std::string& path,
                                                                      const Limits& limits,
                                                                      StepHook step);
  static absl::StatusOr<std::unique_ptr<BackupFolder>> OpenForReading(const std::string& path,
                                                                      const Limits& limits);
  ~BackupFolder();
  BackupFolder(const BackupFolder&) = delete;
  BackupFolder& operator=(const BackupFolder&) = delete;

  // The names of all models, ascending.
  absl::StatusOr<std::vector<std::string>> Models() const;
  // A line for each model that an interrupted backup began with and is in no state. Null: none.
  absl::Status TellUnfinished(const std::function<void(const std::string& line)>& warn) const;
  // Errors: NotFound. FailedPrecondition  a newer format. DataLoss  as DecodeModelFacts, also what
  //         is malformed, and facts of another model or version than the file's name says.
  absl::StatusOr<ModelFacts> ReadModel(const std::string& model) const;
  absl::StatusOr<VersionFacts> ReadVersion(const std::string& model, uint64_t version) const;
  // Of one that model.json lists. Errors: as ReadVersion, but DataLoss if it is not there.
  absl::StatusOr<VersionFacts> ReadListed(const std::string& model, uint64_t version) const;
  const PackedBlocks& blocks() const { return *blocks_; }

  // True if a pack has the block, or will have it.
  bool Has(const Digest& digest) const;
  absl::Status AddBlock(const Digest& digest, absl::string_view bytes);
  // They are written when the blocks before them are durable, in this order.
  absl::Status AddVersion(const VersionFacts& facts);
  absl::Status AddModel(const ModelFacts& facts);
  // Writes what is waiting.
  absl::Status Flush();

 private:
  BackupFolder(std::string path, const Limits& limits, StepHook step)
      : path_(std::move(path)), limits_(limits), step_(std::move(step)) {}
  absl::Status Prepare();
  absl::Status RemoveLeftovers() const;
  absl::Status CheckFormat() const;
  absl::Status Step(absl::string_view step) const;
  std::string ModelDir(const std::string& model) const;
  absl::StatusOr<std::vector<std::string>> ModelFolders(bool finished) const;
  absl::Status Queue(std::string file, std::string bytes);

  const std::string path_;
  const Limits limits_;
  const StepHook step_;
  int lock_fd_ = -1;
  std::unique_ptr<PackedBlocks> blocks_;

  std::unique_ptr<PackWriter> pack_;  // null: nothing is in it yet
  std::string pack_name_;
  absl::flat_hash_set<Digest> in_pack_;
  std::vector<std::pair<std::string, std::string>> waiting_;  // path, bytes
  uint64_t waiting_bytes_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_BACKUP_FOLDER_H_

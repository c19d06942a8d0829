// Reading a portable folder back, without a server.

#include <ballast/local.h>

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "client/backup_folder.h"
#include "client/connection.h"
#include "client/failed_models.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

class Checker {
 public:
  Checker(const BackupFolder* folder, Operation* operation)
      : folder_(folder), operation_(operation) {}

  absl::Status CheckModel(const std::string& model) {
    ASSIGN_OR_RETURN(const ModelFacts facts, folder_->ReadModel(model));
    if (facts.versions.empty() && facts.schema.empty()) return absl::OkStatus();
    ++check_.models;
    for (const uint64_t number : facts.versions) {
      RETURN_IF_ERROR(CheckVersion(model, number), absl::StrCat(model, ":", number));
    }
    for (const auto& [alias, number] : facts.aliases) {
      if (std::binary_search(facts.versions.begin(), facts.versions.end(), number)) continue;
      return absl::DataLossError(absl::StrCat(model, "@", alias, ": names version ", number,
                                              ", which the folder does not have"));
    }
    return absl::OkStatus();
  }
  const BackupCheck& check() const { return check_; }

 private:
  absl::Status CheckVersion(const std::string& model, uint64_t number) {
    ASSIGN_OR_RETURN(const VersionFacts version, folder_->ReadListed(model, number));
    for (const ManifestEntry& entry : version.manifest.entries) {
      const uint64_t tensor_bytes = CheckedTensorBytes(entry.spec);
      for (size_t b = 0; b < entry.blocks.size(); ++b) {
        RETURN_IF_ERROR(CheckBlock(entry.blocks[b], BlockSize(tensor_bytes, b)),
                        QuotedKey(entry.spec.key));
      }
    }
    ++check_.versions;
    return absl::OkStatus();
  }

  absl::Status CheckBlock(const BlockRef& block, uint64_t size_bytes) {
    if (!read_.insert(block.digest).second) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string bytes, folder_->blocks().Read(block.digest));
    if (bytes.size() != size_bytes || Crc32(bytes) != block.crc32) {
      return absl::DataLossError(
          absl::StrCat("block ", block.digest.Hex(), " is not what the manifest says"));
    }
    ++check_.blocks;
    check_.bytes += bytes.size();
    return operation_->Report(Progress::Phase::kVerify, check_.bytes, 0);
  }

  const BackupFolder* const folder_;
  Operation* const operation_;
  absl::flat_hash_set<Digest> read_;
  BackupCheck check_;
};

}  // namespace

absl::StatusOr<BackupCheck> CheckBackup(const std::string& folder, const CallControl& control,
                                        const Limits& limits,
                                        const std::function<void(const std::string& line)>& warn) {
  Operation operation(control, CancelToken());
  ASSIGN_OR_RETURN(const std::unique_ptr<BackupFolder> from,
                   BackupFolder::OpenForReading(folder, limits));
  ASSIGN_OR_RETURN(const std::vector<std::string> models, from->Models());
  RETURN_IF_ERROR(from->TellUnfinished(warn));
  Checker checker(from.get(), &operation);
  FailedModels failed(warn);
  for (const std::string& model : models) {
    const absl::Status checked = checker.CheckModel(model);
    if (checked.ok()) continue;
    if (!IsOfTheModel(checked)) return checked;
    failed.Add(NamingModel(checked, model));
  }
  RETURN_IF_ERROR(failed.Summary("restored"));
  return checker.check();
}

}  // namespace ballast

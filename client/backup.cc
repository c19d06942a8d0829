// Backup and export: models into a portable folder.

#include <ballast/client.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/answers.h"
#include "client/backup_folder.h"
#include "client/block_sender.h"
#include "client/block_stream.h"
#include "client/client_impl.h"
#include "client/failed_models.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

constexpr int kAttemptsMax = 5;

// One backup.
class BackupRun {
 public:
  BackupRun(Client* client, Connection* connection, Operation* operation, BackupFolder* folder,
            FailedModels* failed)
      : client_(client),
        connection_(connection),
        operation_(operation),
        folder_(folder),
        failed_(failed) {}

  absl::Status SaveAll();
  // Damage is no error of it: it is added to `failed`.
  // Aborted  the model changed faster than it could be read.
  absl::Status SaveModel(const std::string& model);
  absl::StatusOr<BackupReport> Finish();

 private:
  // A model at one instant: what its aliases name is among its versions.
  struct Snapshot {
    ModelFacts facts;
    std::vector<VersionDescription> versions;        // ascending
    std::map<std::string, uint64_t> aliases_before;  // in the folder
  };
  absl::StatusOr<std::optional<Snapshot>> Look(const std::string& model);
  absl::Status AddExtras(const ModelDescription& model, ModelFacts* facts);
  absl::StatusOr<bool> TrySave(const std::string& model);
  absl::StatusOr<bool> SaveVersions(Snapshot* snapshot, std::vector<absl::Status>* damaged);
  static void LeaveAliases(const std::set<uint64_t>& lost, Snapshot* snapshot);
  absl::Status SaveFacts(const ModelFacts& facts, bool whole);
  absl::StatusOr<bool> SaveVersion(const VersionDescription& version);
  absl::StatusOr<bool> IsSaved(const VersionDescription& version);
  absl::Status SaveBlocks(const VersionDescription& version, const Manifest& manifest);

  Client* const client_;
  Connection* const connection_;
  Operation* const operation_;
  BackupFolder* const folder_;
  FailedModels* const failed_;
  BackupReport report_;
};

// Models that are gone are written down as empty, so that a restore does not bring them back.
absl::Status BackupRun::SaveAll() {
  ASSIGN_OR_RETURN(const std::vector<ModelDescription> models,
                   client_->AllModels("", /*also_empty=*/true));
  ASSIGN_OR_RETURN(const std::vector<std::string> known, folder_->Models());
  std::set<std::string> names(known.begin(), known.end());
  for (const ModelDescription& model : models) names.insert(model.model);
  for (const std::string& name : names) RETURN_IF_ERROR(SaveModel(name));
  return absl::OkStatus();
}

absl::Status BackupRun::SaveModel(const std::string& model) {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const absl::StatusOr<bool> saved = TrySave(model);
    // What cannot even be listed keeps the state that the folder has of it.
    if (absl::IsDataLoss(saved.status())) {
      failed_->Add(WithContext(saved.status(), model));
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(saved.status(), model);
    if (*saved) return absl::OkStatus();
  }
  return ConflictError(model, ": its aliases or versions changed in each of ", kAttemptsMax,
                       " attempts to read them at one instant, want a calmer moment");
}

// False: what was seen does not fit together any more.
absl::StatusOr<bool> BackupRun::TrySave(const std::string& model) {
  ASSIGN_OR_RETURN(std::optional<Snapshot> snapshot, Look(model));
  if (!snapshot) return false;
  std::vector<absl::Status> damaged;
  ASSIGN_OR_RETURN(const bool fits, SaveVersions(&*snapshot, &damaged));
  if (!fits) return false;
  for (size_t i = 0; i < damaged.size(); ++i) failed_->Add(damaged[i], /*again=*/i > 0);
  RETURN_IF_ERROR(SaveFacts(snapshot->facts, damaged.empty()));
  return true;
}

// Adds the versions that are saved to the facts, and takes the aliases of others out.
absl::StatusOr<bool> BackupRun::SaveVersions(Snapshot* snapshot,
                                             std::vector<absl::Status>* damaged) {
  ModelFacts& facts = snapshot->facts;
  std::set<uint64_t> lost;
  for (const VersionDescription& version : snapshot->versions) {
    const absl::StatusOr<bool> there = SaveVersion(version);
    if (absl::IsDataLoss(there.status())) {
      damaged->push_back(
          WithContext(there.status(), ExactReference(version.model, version.version)));
      lost.insert(version.version);
      continue;
    }
    RETURN_IF_ERROR(there.status());
    if (*there) {
      facts.versions.push_back(version.version);
      continue;
    }
    // Deleted meanwhile; a state without it is as good, if nothing names it.
    for (const auto& [alias, number] : facts.aliases) {
      if (number == version.version) return false;
    }
  }
  if (!lost.empty()) LeaveAliases(lost, snapshot);
  return true;
}

// An alias of a damaged version stays where the folder had it, if that is there.
void BackupRun::LeaveAliases(const std::set<uint64_t>& lost, Snapshot* snapshot) {
  ModelFacts& facts = snapshot->facts;
  for (const auto& [alias, number] : std::map(facts.aliases)) {
    if (!lost.contains(number)) continue;
    const auto before = snapshot->aliases_before.find(alias);
    const bool there =
        before != snapshot->aliases_before.end() &&
        std::binary_search(facts.versions.begin(), facts.versions.end(), before->second);
    if (there) {
      facts.aliases[alias] = before->second;
    } else {
      facts.aliases.erase(alias);
    }
  }
}

// A damaged model of which nothing is sound keeps the state that the folder has of it: an
// empty one would say that it is gone.
absl::Status BackupRun::SaveFacts(const ModelFacts& facts, bool whole) {
  if (!whole && facts.versions.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(folder_->AddModel(facts));
  if (facts.versions.empty() && facts.schema.empty()) return absl::OkStatus();
  ++report_.models;
  report_.versions += facts.versions.size();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<BackupRun::Snapshot>> BackupRun::Look(const std::string& model) {
  Snapshot snapshot;
  snapshot.facts.model = model;
  const absl::StatusOr<ModelFacts> before = folder_->ReadModel(model);
  // A damaged one is written anew; what it alone knew is lost.
  if (before.ok()) {
    snapshot.facts.numbers_used = before->numbers_used;
    snapshot.aliases_before = before->aliases;
  }
  const absl::StatusOr<ModelDescription> first = client_->GetModel(model);
  if (absl::IsNotFound(first.status()) && before.ok()) return snapshot;
  RETURN_IF_ERROR(first.status());
  ASSIGN_OR_RETURN(snapshot.versions, client_->AllVersions(model));
  std::reverse(snapshot.versions.begin(), snapshot.versions.end());
  RETURN_IF_ERROR(AddExtras(*first, &snapshot.facts));
  ASSIGN_OR_RETURN(const ModelDescription last, client_->GetModel(model));
  if (last.aliases != first->aliases || last.has_schema != first->has_schema) return std::nullopt;
  // Those that were pushed meanwhile belong to a later state.
  std::erase_if(snapshot.versions,
                [&](const VersionDescription& version) { return version.version > first->latest; });
  snapshot.facts.numbers_used = std::max(snapshot.facts.numbers_used, first->numbers_used);
  for (const auto& [alias, number] : first->aliases) {
    const bool there =
        std::any_of(snapshot.versions.begin(), snapshot.versions.end(),
                    [number = number](const VersionDescription& v) { return v.version == number; });
    if (!there) return std::nullopt;
  }
  snapshot.facts.aliases = first->aliases;
  return snapshot;
}

absl::Status BackupRun::AddExtras(const ModelDescription& model, ModelFacts* facts) {
  ASSIGN_OR_RETURN(facts->retention, client_->GetRetention(model.model));
  if (!model.has_schema) return absl::OkStatus();
  absl::StatusOr<std::string> schema = client_->GetBoundSchema(model.model);
  if (absl::IsNotFound(schema.status())) return absl::OkStatus();  // unbound meanwhile
  RETURN_IF_ERROR(schema.status());
  facts->schema = *std::move(schema);
  return absl::OkStatus();
}

// False: the version is gone.
absl::StatusOr<bool> BackupRun::SaveVersion(const VersionDescription& version) {
  ASSIGN_OR_RETURN(const bool saved, IsSaved(version));
  if (saved) return true;
  absl::StatusOr<Manifest> manifest = PullManifest(connection_, operation_, version);
  if (absl::IsNotFound(manifest.status())) return false;
  RETURN_IF_ERROR(manifest.status());
  const absl::Status blocks = SaveBlocks(version, *manifest);
  if (absl::IsNotFound(blocks)) return false;
  RETURN_IF_ERROR(blocks);
  VersionFacts facts;
  facts.model = version.model;
  facts.version = version.version;
  facts.digest = version.digest;
  facts.created = version.created;
  facts.creator = version.creator;
  facts.message = version.message;
  facts.labels = version.labels;
  facts.parent = version.parent;
  facts.manifest = *std::move(manifest);
  RETURN_IF_ERROR(folder_->AddVersion(facts));
  ++report_.versions_new;
  return true;
}

// What is damaged in the folder, or whose blocks are not all there, is fetched again.
absl::StatusOr<bool> BackupRun::IsSaved(const VersionDescription& version) {
  const absl::StatusOr<VersionFacts> facts = folder_->ReadVersion(version.model, version.version);
  if (absl::IsNotFound(facts.status()) || absl::IsDataLoss(facts.status()) ||
      absl::IsInvalidArgument(facts.status())) {
    return false;
  }
  RETURN_IF_ERROR(facts.status());
  if (facts->digest != version.digest || facts->created != version.created) {
    return absl::FailedPreconditionError(
        absl::StrCat(version.model, ":", version.version, ": the folder has it with sha256:",
                     facts->digest.Hex(), ", the server with sha256:", version.digest.Hex(),
                     ": it is another registry's backup, want a folder of its own"));
  }
  for (const ManifestEntry& entry : facts->manifest.entries) {
    for (const BlockRef& block : entry.blocks) {
      if (!folder_->Has(block.digest)) return false;
    }
  }
  return true;
}

absl::Status BackupRun::SaveBlocks(const VersionDescription& version, const Manifest& manifest) {
  const std::vector<BlockPlace> places = DistinctBlocks(manifest);
  const auto digest = [&](uint64_t number) -> const Digest& {
    return manifest.entries[places[number].entry].blocks[places[number].index].digest;
  };
  std::vector<uint64_t> numbers;
  for (uint64_t n = 0; n < places.size(); ++n) {
    if (!folder_->Has(digest(n))) numbers.push_back(n);
  }
  BlockStream stream(connection_, operation_, ExactReference(version.model, version.version),
                     &manifest, &places);
  return stream.Run(numbers, [&](uint64_t number, absl::string_view bytes) -> absl::Status {
    RETURN_IF_ERROR(folder_->AddBlock(digest(number), bytes));
    ++report_.blocks_new;
    report_.bytes_new += bytes.size();
    return absl::OkStatus();
  });
}

absl::StatusOr<BackupReport> BackupRun::Finish() {
  RETURN_IF_ERROR(folder_->Flush());
  return report_;
}

}  // namespace

absl::StatusOr<BackupReport> Client::Backup(const std::string& folder,
                                            const BackupOptions& options) {
  if (!options.model.empty()) RETURN_IF_ERROR(CheckModelName(options.model));
  Operation operation = impl_->Begin(options.control);
  // Before the folder is made.
  if (!options.model.empty()) RETURN_IF_ERROR(GetModel(options.model).status());
  if (options.model.empty()) RETURN_IF_ERROR(impl_->connection.Reach());
  ASSIGN_OR_RETURN(const std::unique_ptr<BackupFolder> into,
                   BackupFolder::OpenForWriting(folder, impl_->connection.limits(), options.step));
  FailedModels failed(options.warn);
  BackupRun run(this, &impl_->connection, &operation, into.get(), &failed);
  RETURN_IF_ERROR(options.model.empty() ? run.SaveAll() : run.SaveModel(options.model));
  ASSIGN_OR_RETURN(const BackupReport report, run.Finish());
  if (options.done != nullptr) *options.done = report;
  RETURN_IF_ERROR(failed.Summary("copied"));
  return report;
}

}  // namespace ballast

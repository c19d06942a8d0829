// Restore and import: models out of a portable folder.

#include <ballast/client.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/answers.h"
#include "client/backup_folder.h"
#include "client/client_impl.h"
#include "client/failed_models.h"
#include "client/push_exchange.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

// Tensors whose blocks lie in packs.
class PackTensors : public TensorSource {
 public:
  PackTensors(const PackedBlocks* blocks, const Manifest* manifest)
      : blocks_(blocks), manifest_(manifest) {}

  absl::StatusOr<Chunk> Read(uint32_t entry, uint64_t offset, uint64_t max_bytes) override {
    const BlockRef& block = manifest_->entries[entry].blocks[offset / kBlockBytes];
    ASSIGN_OR_RETURN(std::string bytes, blocks_->Read(block.digest));
    const uint64_t within = offset % kBlockBytes;
    if (within >= bytes.size()) return absl::DataLossError("a block is shorter than its tensor");
    return Chunk::Own(std::move(bytes)).Sub(within, max_bytes);
  }
  bool RawRange(uint32_t, uint64_t*) const override { return false; }

 private:
  const PackedBlocks* const blocks_;
  const Manifest* const manifest_;
};

class PackSource : public PushSource {
 public:
  PackSource(const PackedBlocks* blocks, const Manifest* manifest)
      : blocks_(blocks), manifest_(manifest) {}
  std::unique_ptr<TensorSource> NewReader() const override {
    return std::make_unique<PackTensors>(blocks_, manifest_);
  }
  bool Splittable(uint32_t) const override { return true; }
  absl::Status CheckContainer(const Manifest&) const override { return absl::OkStatus(); }

 private:
  const PackedBlocks* const blocks_;
  const Manifest* const manifest_;
};

void ImportedToProto(const VersionFacts& facts, uint64_t numbers_used, v1::Imported* out) {
  out->set_version(facts.version);
  const int64_t micros = absl::ToUnixMicros(facts.created);
  const int64_t seconds = absl::ToUnixSeconds(facts.created);
  out->mutable_created()->set_seconds(seconds);
  out->mutable_created()->set_nanos(static_cast<int32_t>((micros - seconds * 1'000'000) * 1000));
  out->set_creator(facts.creator);
  out->set_parent(facts.parent);
  out->set_numbers_used(numbers_used);
}

// One restore.
class RestoreRun {
 public:
  RestoreRun(Client* client, Connection* connection, Operation* operation,
             const BackupFolder* folder, const RestoreOptions* options)
      : client_(client),
        connection_(connection),
        operation_(operation),
        folder_(folder),
        options_(*options) {}

  // What the folder has of `from`, under the name `to`.
  absl::Status RestoreModel(const std::string& from, const std::string& to);
  const RestoreReport& report() const { return report_; }

 private:
  // What the server had under the name before.
  struct Present {
    std::optional<ModelDescription> model;
    std::map<uint64_t, Digest> versions;
  };
  absl::Status Step(absl::string_view step) const {
    return options_.step ? options_.step(step) : absl::OkStatus();
  }
  absl::Status ReserveNumbers(const std::string& to, uint64_t numbers_used);
  absl::StatusOr<Present> Look(const std::string& model);
  absl::StatusOr<bool> IsBegun(const ModelFacts& facts, const Present& present);
  absl::Status RestoreVersions(const ModelFacts& facts, const std::string& to,
                               const Present& present);
  absl::Status RestoreVersion(const VersionFacts& facts, const std::string& to,
                              uint64_t numbers_used);
  absl::Status Advise(const absl::Status& refused, const VersionFacts& facts,
                      const std::string& to) const;
  absl::Status RestoreFacts(const ModelFacts& facts, const std::string& to);
  absl::Status TellDifferences(const ModelFacts& facts, const std::string& to);
  absl::Status RestoreAliases(const ModelFacts& facts, const std::string& to);
  absl::Status RestoreSchema(const ModelFacts& facts, const std::string& to);
  absl::Status RestoreRetention(const ModelFacts& facts, const std::string& to);

  Client* const client_;
  Connection* const connection_;
  Operation* const operation_;
  const BackupFolder* const folder_;
  const RestoreOptions& options_;
  RestoreReport report_;
};

absl::StatusOr<RestoreRun::Present> RestoreRun::Look(const std::string& model) {
  Present present;
  absl::StatusOr<ModelDescription> description = client_->GetModel(model);
  if (absl::IsNotFound(description.status())) return present;
  RETURN_IF_ERROR(description.status());
  present.model = *std::move(description);
  ASSIGN_OR_RETURN(const auto versions, client_->AllVersions(model));
  for (const VersionDescription& version : versions) {
    present.versions[version.version] = version.digest;
  }
  return present;
}

// A restore that was stopped before its last version leaves the first ones of the folder (or its
// numbers, if there is none) and nothing else: what it did not come to is nobody's choice.
absl::StatusOr<bool> RestoreRun::IsBegun(const ModelFacts& facts, const Present& present) {
  const ModelDescription& model = *present.model;
  if (!model.aliases.empty() || model.has_schema) return false;
  if (present.versions.empty() != facts.versions.empty()) return false;
  if (!facts.versions.empty() && present.versions.size() >= facts.versions.size()) return false;
  auto number = facts.versions.begin();
  for (const auto& [version, digest] : present.versions) {
    if (version != *number++) return false;
  }
  ASSIGN_OR_RETURN(const auto deleted, client_->DeletedVersions(model.model));
  ASSIGN_OR_RETURN(const auto retention, client_->GetRetention(model.model));
  return deleted.empty() && !retention.has_value();
}

absl::Status RestoreRun::RestoreModel(const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(const ModelFacts facts, folder_->ReadModel(from));
  if (facts.versions.empty() && facts.schema.empty() && facts.numbers_used == 0) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Present present, Look(to));
  bool takes_facts = options_.overwrite_facts || !present.model.has_value();
  if (!takes_facts) {
    ASSIGN_OR_RETURN(takes_facts, IsBegun(facts, present));
  }
  RETURN_IF_ERROR(RestoreVersions(facts, to, present));
  if (facts.versions.empty()) RETURN_IF_ERROR(ReserveNumbers(to, facts.numbers_used));
  RETURN_IF_ERROR(takes_facts ? RestoreFacts(facts, to) : TellDifferences(facts, to));
  if (!facts.versions.empty() || !facts.schema.empty()) ++report_.models;
  return absl::OkStatus();
}

// Of a model whose versions are all deleted; otherwise its last version does it.
absl::Status RestoreRun::ReserveNumbers(const std::string& to, uint64_t numbers_used) {
  if (numbers_used == 0) return absl::OkStatus();
  v1::ReserveNumbersRequest request;
  request.set_model(to);
  request.set_numbers_used(numbers_used);
  request.set_request_id(NewRequestId());
  v1::ReserveNumbersResponse response;
  RETURN_IF_ERROR(connection_->Unary("ReserveNumbers", request, &response));
  return Step("numbers reserved");
}

absl::Status RestoreRun::RestoreVersions(const ModelFacts& facts, const std::string& to,
                                         const Present& present) {
  for (const uint64_t number : facts.versions) {
    ASSIGN_OR_RETURN(const VersionFacts version, folder_->ReadListed(facts.model, number));
    const auto there = present.versions.find(number);
    if (there == present.versions.end()) {
      // The numbers behind the last version are used up with it.
      const bool last = number == facts.versions.back();
      RETURN_IF_ERROR(RestoreVersion(version, to, last ? facts.numbers_used : number));
    } else if (there->second != version.digest) {
      return absl::FailedPreconditionError(
          absl::StrCat(to, ":", number, ": the server has it with sha256:", there->second.Hex(),
                       ", the folder with sha256:", version.digest.Hex()));
    } else {
      ++report_.versions_there;
    }
    RETURN_IF_ERROR(Step("version restored"));
  }
  return absl::OkStatus();
}

absl::Status RestoreRun::RestoreFacts(const ModelFacts& facts, const std::string& to) {
  RETURN_IF_ERROR(RestoreAliases(facts, to));
  RETURN_IF_ERROR(RestoreSchema(facts, to));
  return RestoreRetention(facts, to);
}

// Of a model whose facts on the server stay: which of them the folder has otherwise.
absl::Status RestoreRun::TellDifferences(const ModelFacts& facts, const std::string& to) {
  ASSIGN_OR_RETURN(const ModelDescription now, client_->GetModel(to));
  std::vector<std::string> differ;
  for (const auto& [alias, version] : facts.aliases) {
    const auto there = now.aliases.find(alias);
    const bool set = there != now.aliases.end();
    if (set && there->second == version) continue;
    const std::string here = set ? absl::StrCat("is ", there->second) : "is not set";
    differ.push_back(absl::StrCat("@", alias, " ", here, ", in the folder ", version));
  }
  const auto bound = client_->GetBoundSchema(to);
  if (!absl::IsNotFound(bound.status())) RETURN_IF_ERROR(bound.status());
  if (!facts.schema.empty() && (!bound.ok() || *bound != facts.schema)) {
    differ.push_back("another schema is bound, or none");
  }
  ASSIGN_OR_RETURN(const auto retention, client_->GetRetention(to));
  if (facts.retention && retention != facts.retention) {
    differ.push_back("the retention rules are others, or none");
  }
  if (differ.empty() || !options_.warn) return absl::OkStatus();
  options_.warn(absl::StrCat(to, ": left as the server has it: ", absl::StrJoin(differ, "; "),
                             " (--overwrite takes what the folder has)"));
  return absl::OkStatus();
}

absl::Status RestoreRun::RestoreVersion(const VersionFacts& facts, const std::string& to,
                                        uint64_t numbers_used) {
  const PackSource source(&folder_->blocks(), &facts.manifest);
  PushOptions options;
  options.message = facts.message;
  options.labels = facts.labels;
  v1::Imported imported;
  ImportedToProto(facts, numbers_used, &imported);
  const std::string request_id = NewRequestId();
  for (int attempt = 0;; ++attempt) {
    PushExchange exchange(connection_, operation_, options, to, request_id);
    exchange.set_imported(imported);
    const absl::StatusOr<PushResult> result = exchange.SendManifest(facts.manifest, source);
    if (result.ok()) {
      ++report_.versions_new;
      report_.bytes_sent += result->bytes_sent;
      return absl::OkStatus();
    }
    if (!exchange.may_retry() || !connection_->Retry(attempt, result.status(), operation_->cancel(),
                                                     operation_->deadline())) {
      return Advise(WithContext(result.status(), absl::StrCat(to, ":", facts.version)), facts, to);
    }
  }
}

// A refusal of a number that the server has used already says what can be done.
absl::Status RestoreRun::Advise(const absl::Status& refused, const VersionFacts& facts,
                                const std::string& to) const {
  if (!absl::IsFailedPrecondition(refused) || GetReason(refused) != Reason::kNone) return refused;
  const auto deleted = client_->DeletedVersions(to);
  if (!deleted.ok()) return refused;  // the refusal says more than why it cannot be told
  for (const VersionDescription& version : *deleted) {
    if (version.version != facts.version) continue;
    const bool same = version.digest == facts.digest;
    return absl::FailedPreconditionError(
        absl::StrCat(refused.message(), "; it is deleted there: ",
                     same ? absl::StrCat("undelete ", to, ":", facts.version, ", or ") : "",
                     "import DIR OTHERNAME with an export of it"));
  }
  return refused;
}

absl::Status RestoreRun::RestoreAliases(const ModelFacts& facts, const std::string& to) {
  if (facts.aliases.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const ModelDescription now, client_->GetModel(to));
  for (const auto& [alias, version] : facts.aliases) {
    const auto there = now.aliases.find(alias);
    if (there != now.aliases.end() && there->second == version) continue;
    RETURN_IF_ERROR(client_->SetAlias(ExactReference(to, version), alias).status(), alias);
    RETURN_IF_ERROR(Step("alias restored"));
  }
  return absl::OkStatus();
}

absl::Status RestoreRun::RestoreSchema(const ModelFacts& facts, const std::string& to) {
  if (facts.schema.empty()) return absl::OkStatus();
  const auto bound = client_->GetBoundSchema(to);
  if (bound.ok() && *bound == facts.schema) return absl::OkStatus();
  RETURN_IF_ERROR(client_->BindSchema(to, facts.schema).status(), "schema");
  return Step("schema restored");
}

absl::Status RestoreRun::RestoreRetention(const ModelFacts& facts, const std::string& to) {
  if (!facts.retention) return absl::OkStatus();
  RETURN_IF_ERROR(client_->SetRetention(to, facts.retention), "retention");
  return Step("retention restored");
}

// The models to restore: all, or one that may get another name.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Chosen(
    const BackupFolder& folder, const RestoreOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<std::string> models, folder.Models());
  std::vector<std::pair<std::string, std::string>> chosen;
  if (!options.single) {
    for (const std::string& model : models) chosen.emplace_back(model, model);
    return chosen;
  }
  if (models.size() != 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("the folder holds ", models.size(),
                     " models, want one to import; restore takes all of them"));
  }
  chosen.emplace_back(models[0], options.as.empty() ? models[0] : options.as);
  return chosen;
}

}  // namespace

absl::StatusOr<RestoreReport> Client::Restore(const std::string& folder,
                                              const RestoreOptions& options) {
  if (!options.as.empty()) RETURN_IF_ERROR(CheckModelName(options.as));
  Operation operation = impl_->Begin(options.control);
  ASSIGN_OR_RETURN(const std::unique_ptr<BackupFolder> from,
                   BackupFolder::OpenForReading(folder, impl_->connection.limits()));
  ASSIGN_OR_RETURN(const auto chosen, Chosen(*from, options));
  RETURN_IF_ERROR(from->TellUnfinished(options.warn));
  RestoreRun run(this, &impl_->connection, &operation, from.get(), &options);
  FailedModels failed(options.warn);
  for (const auto& [model, to] : chosen) {
    const absl::Status restored = run.RestoreModel(model, to);
    if (options.done != nullptr) *options.done = run.report();
    if (restored.ok()) continue;
    if (!IsOfTheModel(restored)) return restored;
    failed.Add(NamingModel(restored, to));
  }
  RETURN_IF_ERROR(failed.Summary("restored"));
  return run.report();
}

}  // namespace ballast

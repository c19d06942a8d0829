#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"
#include "storage/store/record_iteration.h"
#include "storage/store/version_blocks.h"

namespace ballast {
namespace {

absl::Status NamedByAlias(absl::string_view model, uint64_t version, absl::string_view alias) {
  return absl::FailedPreconditionError(absl::StrCat(
      model, ":", version, ": the version has the alias ", alias, ", want it moved or removed"));
}

}  // namespace

absl::StatusOr<std::optional<VersionRecord>> CatalogImpl::ReadDeleted(absl::string_view model,
                                                                      uint64_t version,
                                                                      std::string* value) {
  if (version == 0 || version > kVersionMax) return std::nullopt;
  ASSIGN_OR_RETURN(auto stored, ReadOne(ModelRecord(model), DeletedKey(version)));
  if (!stored.has_value()) return std::nullopt;
  const std::string name = absl::StrCat(model, ":", version);
  ASSIGN_OR_RETURN(const DeletedRecord deleted, DecodeDeletedRecord(*stored), name);
  ASSIGN_OR_RETURN(VersionRecord record, DecodeVersionRecord(deleted.version), name);
  record.info.model = std::string(model);
  if (value != nullptr) *value = *std::move(stored);
  return record;
}

absl::StatusOr<std::vector<uint64_t>> CatalogImpl::LiveVersions(absl::string_view model) {
  std::vector<uint64_t> versions;
  RETURN_IF_ERROR(
      ForEachItem(records_, ModelRecord(model), "", kVersionPrefix, limits_.page_entries_max,
                  [&](absl::string_view key, absl::string_view) -> absl::StatusOr<Walk> {
                    ASSIGN_OR_RETURN(const uint64_t version, VersionOfKey(key), model);
                    versions.push_back(version);
                    return Walk::kGoOn;
                  }));
  return versions;
}

// Adds one version to the plan; nothing if it is deleted by this very deletion already.
absl::Status CatalogImpl::PlanDeletionOf(absl::string_view model, uint64_t version,
                                         const DeletedRecord& deletion, Plan* plan) {
  ASSIGN_OR_RETURN(const auto values,
                   records_->Read(ModelRecord(model), {VersionKey(version), DeletedKey(version)}));
  if (!values[0].has_value()) {
    if (!values[1].has_value()) return NoSuchVersion(model, version);
    ASSIGN_OR_RETURN(const DeletedRecord before, DecodeDeletedRecord(*values[1]), model);
    return before.token == deletion.token ? absl::OkStatus() : NoSuchVersion(model, version);
  }
  ASSIGN_OR_RETURN(const VersionRecord record, DecodeVersionRecord(*values[0]),
                   absl::StrCat(model, ":", version));
  DeletedRecord deleted = deletion;
  deleted.version = *values[0];
  plan->conditions.push_back({VersionKey(version), values[0]});
  plan->edits.push_back({VersionKey(version), std::nullopt});
  plan->edits.push_back({DigestKey(record.info.digest, version), std::nullopt});
  plan->edits.push_back({DeletedKey(version), EncodeDeletedRecord(deleted)});
  return absl::OkStatus();
}

absl::StatusOr<CatalogImpl::Plan> CatalogImpl::PlanDeletion(absl::string_view model,
                                                            const Doomed& doomed,
                                                            const Requester& by,
                                                            const std::string& token) {
  // Read before the versions and aliases: if none of both changes until the commit,
  // what is read after it is still so.
  ASSIGN_OR_RETURN(const auto values, records_->Read(ModelRecord(model), {std::string(kHeadKey),
                                                                          std::string(kNamesKey)}));
  if (!values[0].has_value()) return absl::NotFoundError(absl::StrCat(model, ": no such model"));
  ASSIGN_OR_RETURN(ModelHead head, DecodeHead(*values[0]), model);
  ASSIGN_OR_RETURN(const auto aliases, Aliases(model));
  Plan plan;
  plan.answer = doomed.counted;
  for (const uint64_t version : doomed.versions) {
    const absl::Status planned =
        PlanDeletionOf(model, version, {Now(), by.principal, token, ""}, &plan);
    if (absl::IsNotFound(planned) && doomed.missing_ok) continue;
    RETURN_IF_ERROR(planned);
    ++plan.answer;
  }
  const uint64_t count = plan.conditions.size();  // one for each version that is live
  plan.done = count == 0;
  if (plan.done) return plan;
  std::vector<AliasMove> moves;
  for (const auto& [alias, version] : aliases) {
    const auto& versions = doomed.versions;
    if (std::find(versions.begin(), versions.end(), version) == versions.end()) continue;
    if (!doomed.force) return NamedByAlias(model, version, alias);
    plan.edits.push_back({AliasKey(alias), std::nullopt});
    moves.push_back({alias, version, 0, by.principal, Now()});
  }
  head.live -= std::min(head.live, count);
  plan.conditions.push_back({std::string(kHeadKey), values[0]});
  plan.edits.push_back({std::string(kHeadKey), EncodeHead(head)});
  if (moves.empty()) plan.conditions.push_back({std::string(kNamesKey), values[1]});
  RETURN_IF_ERROR(AddAliasMoves(values[1], moves, &plan.conditions, &plan.edits));
  return plan;
}

absl::StatusOr<uint64_t> CatalogImpl::Delete(absl::string_view model, const Doomed& doomed,
                                             const Requester& by) {
  return Change(model, by.request_id, Operation::kDelete, [&](const std::string& token, bool) {
    return PlanDeletion(model, doomed, by, token);
  });
}

absl::StatusOr<uint64_t> CatalogImpl::DeleteVersions(absl::string_view model,
                                                     absl::Span<const uint64_t> versions,
                                                     bool force, const Requester& by) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(by.request_id));
  if (versions.empty() || versions.size() > kDeleteMax) {
    return MalformedError(model, ": number of versions to delete is ", versions.size(),
                          ", want 1 to ", kDeleteMax);
  }
  Doomed doomed;
  doomed.force = force;
  for (const uint64_t version : versions) {
    if (version == 0 || version > kVersionMax) {
      return absl::NotFoundError(absl::StrCat(model, ":", version, ": no such version"));
    }
    if (std::find(doomed.versions.begin(), doomed.versions.end(), version) ==
        doomed.versions.end()) {
      doomed.versions.push_back(version);
    }
  }
  return Delete(model, doomed, by);
}

absl::StatusOr<uint64_t> CatalogImpl::DeleteAllVersions(absl::string_view model, bool force,
                                                        const Requester& by) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(by.request_id));
  ASSIGN_OR_RETURN(const auto answered, FindRequest(model, by.request_id, Operation::kDelete));
  if (answered.has_value()) return answered->answer;
  RETURN_IF_ERROR(GetModel(model).status());
  ASSIGN_OR_RETURN(std::vector<uint64_t> versions, LiveVersions(model));
  if (versions.empty()) {
    // The same request may have been applied a moment ago.
    ASSIGN_OR_RETURN(const auto meanwhile, FindRequest(model, by.request_id, Operation::kDelete));
    if (meanwhile.has_value()) return meanwhile->answer;
    return absl::NotFoundError(absl::StrCat(model, ": the model has no versions"));
  }
  if (!force) {
    ASSIGN_OR_RETURN(const auto aliases, Aliases(model));
    if (!aliases.empty()) {
      return NamedByAlias(model, aliases.begin()->second, aliases.begin()->first);
    }
  }
  std::reverse(versions.begin(), versions.end());
  Doomed doomed{{}, force, /*missing_ok=*/true, 0};
  for (size_t i = 0; i < versions.size(); i += kDeleteMax) {
    const size_t end = std::min(versions.size(), i + kDeleteMax);
    doomed.versions.assign(versions.begin() + i, versions.begin() + end);
    // Only the last commit answers the request: cut short before, it goes on.
    const bool last = end == versions.size();
    ASSIGN_OR_RETURN(doomed.counted,
                     Delete(model, doomed, {last ? by.request_id : "", by.principal}));
  }
  return doomed.counted;
}

// Deleted or not, the blocks were roots until now; from here on their epoch keeps them.
absl::Status CatalogImpl::RaiseBlocks(const VersionRecord& record, Epoch epoch) {
  std::vector<Digest> blocks;
  RETURN_IF_ERROR(ForEachBlock(blobs_, record, limits_,
                               [&](const Digest& digest, uint64_t) { blocks.push_back(digest); }));
  ASSIGN_OR_RETURN(const bool all_there, RaiseAll(blobs_, blocks, epoch));
  if (all_there) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(record.info.model, ":", record.info.version, ": a block of it is missing"));
}

absl::Status CatalogImpl::Restore(absl::string_view model, uint64_t version, const Requester& by,
                                  const Begun& begun) {
  const std::string name = absl::StrCat(model, ":", version);
  std::string deleted;
  ASSIGN_OR_RETURN(const auto record, ReadDeleted(model, version, &deleted));
  if (!record.has_value()) {
    ASSIGN_OR_RETURN(const auto live, ReadVersion(model, version));
    if (!live.has_value()) return NoSuchVersion(model, version);
    return absl::FailedPreconditionError(absl::StrCat(name, ": the version is not deleted"));
  }
  if (const absl::Status raised = RaiseBlocks(*record, begun.epoch); !raised.ok()) {
    // A collection may have removed the version meanwhile, and its blocks.
    ASSIGN_OR_RETURN(const auto again, ReadDeleted(model, version));
    return again.has_value() ? raised : NoSuchVersion(model, version);
  }
  const std::string intent_key = IntentKey(begun.id);
  const auto plan = [&](const std::string&, bool maybe_applied) -> absl::StatusOr<Plan> {
    ASSIGN_OR_RETURN(const auto values,
                     records_->Read(ModelRecord(model),
                                    {std::string(kHeadKey), intent_key, DeletedKey(version)}));
    if (values[2] != deleted) {
      if (maybe_applied) return Plan{true, 0, {}, {}};
      return NoSuchVersion(model, version);
    }
    if (values[1] != begun.intent) {
      return absl::UnavailableError(
          absl::StrCat(name, ": a collection of garbage has fenced this request: try again"));
    }
    if (!values[0].has_value()) return absl::DataLossError(absl::StrCat(model, ": has no head"));
    ASSIGN_OR_RETURN(const ModelHead head, DecodeHead(*values[0]), model);
    ASSIGN_OR_RETURN(const DeletedRecord stored, DecodeDeletedRecord(deleted), name);
    return Plan{false,
                0,
                {{std::string(kHeadKey), values[0]},
                 {intent_key, begun.intent},
                 {DeletedKey(version), deleted}},
                {{std::string(kHeadKey), EncodeHead({head.newest, head.live + 1})},
                 {intent_key, std::nullopt},
                 {DeletedKey(version), std::nullopt},
                 {VersionKey(version), stored.version},
                 {DigestKey(record->info.digest, version), "1"}}};
  };
  return Change(model, by.request_id, Operation::kUndelete, plan).status();
}

// To a collection this is a push of blocks that the store has: an intent, then the
// epoch, then the version.
absl::Status CatalogImpl::UndeleteVersion(absl::string_view model, uint64_t version,
                                          const Requester& by) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(by.request_id));
  ASSIGN_OR_RETURN(const auto answered, FindRequest(model, by.request_id, Operation::kUndelete));
  if (answered.has_value()) return absl::OkStatus();
  RETURN_IF_ERROR(GetModel(model).status());
  const std::string name(model);
  ASSIGN_OR_RETURN(const Begun begun, BeginIntent(name));
  const absl::Status restored = Restore(model, version, by, begun);
  DropIntent(name, begun.id);  // still there after an error
  if (restored.ok()) return restored;
  // What stands in the way may be this very request, applied a moment ago.
  ASSIGN_OR_RETURN(const auto meanwhile, FindRequest(model, by.request_id, Operation::kUndelete));
  return meanwhile.has_value() ? absl::OkStatus() : restored;
}

}  // namespace ballast

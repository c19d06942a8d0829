#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"
#include "storage/store/record_iteration.h"

namespace ballast {

absl::StatusOr<std::optional<VersionRecord>> CatalogImpl::ReadVersion(absl::string_view model,
                                                                      uint64_t version) {
  if (version == 0 || version > kVersionMax) return std::nullopt;
  ASSIGN_OR_RETURN(const auto value, ReadOne(ModelRecord(model), VersionKey(version)));
  if (!value.has_value()) return std::nullopt;
  ASSIGN_OR_RETURN(auto record, DecodeVersionRecord(*value), absl::StrCat(model, ":", version));
  if (record.info.version != version) {
    return absl::DataLossError(
        absl::StrCat(model, ":", version, ": the record is of version ", record.info.version));
  }
  record.info.model = std::string(model);
  return record;
}

absl::StatusOr<std::map<std::string, uint64_t>> CatalogImpl::Aliases(absl::string_view model) {
  std::map<std::string, uint64_t> aliases;
  RETURN_IF_ERROR(
      ForEachItem(records_, ModelRecord(model), "", kAliasPrefix, limits_.page_entries_max,
                  [&](absl::string_view key, absl::string_view value) -> absl::StatusOr<Walk> {
                    ASSIGN_OR_RETURN(const AliasValue alias, DecodeAlias(value), model);
                    aliases[std::string(key.substr(kAliasPrefix.size()))] = alias.version;
                    return Walk::kGoOn;
                  }));
  return aliases;
}

absl::StatusOr<VersionInfo> CatalogImpl::VersionWithAliases(absl::string_view model,
                                                            uint64_t version) {
  ASSIGN_OR_RETURN(auto record, ReadVersion(model, version));
  if (!record.has_value()) {
    return absl::NotFoundError(absl::StrCat(model, ":", version, ": no such version"));
  }
  ASSIGN_OR_RETURN(const auto aliases, Aliases(model));
  for (const auto& [alias, number] : aliases) {
    if (number == version) record->info.aliases.push_back(alias);
  }
  return std::move(record->info);
}

// The highest version whose key begins with the prefix; 0: none.
absl::StatusOr<uint64_t> CatalogImpl::NewestWith(absl::string_view model,
                                                 absl::string_view key_prefix) {
  uint64_t newest = 0;
  RETURN_IF_ERROR(
      ForEachItem(records_, ModelRecord(model), "", key_prefix, 1,
                  [&](absl::string_view key, absl::string_view) -> absl::StatusOr<Walk> {
                    ASSIGN_OR_RETURN(newest, VersionOfKey(key), model);
                    return Walk::kStop;
                  }));
  return newest;
}

// The version number a reference means now; 0: none.
absl::StatusOr<uint64_t> CatalogImpl::Resolve(const Reference& reference) {
  switch (reference.selector) {
    case Reference::Selector::kVersion:
      return reference.version;
    case Reference::Selector::kLatest:
      return NewestWith(reference.model, kVersionPrefix);
    case Reference::Selector::kDigest:
      return NewestWith(reference.model, DigestPrefix(reference.digest));
    case Reference::Selector::kAlias: {
      ASSIGN_OR_RETURN(const auto value,
                       ReadOne(ModelRecord(reference.model), AliasKey(reference.alias)));
      if (!value.has_value()) return 0;
      ASSIGN_OR_RETURN(const AliasValue alias, DecodeAlias(*value), reference.model);
      return alias.version;
    }
  }
  return absl::InternalError("reference: unknown selector");
}

absl::Status CatalogImpl::NoSuchVersion(absl::string_view model, uint64_t version) {
  const std::string name = absl::StrCat(model, ":", version);
  if (version > kVersionMax) return absl::NotFoundError(absl::StrCat(name, ": no such version"));
  ASSIGN_OR_RETURN(const auto deleted, ReadOne(ModelRecord(model), DeletedKey(version)));
  return absl::NotFoundError(
      absl::StrCat(name, deleted.has_value() ? ": the version is deleted" : ": no such version"));
}

absl::Status CatalogImpl::MissingVersion(const Reference& reference) {
  RETURN_IF_ERROR(GetModel(reference.model).status());
  switch (reference.selector) {
    case Reference::Selector::kVersion:
      return NoSuchVersion(reference.model, reference.version);
    case Reference::Selector::kAlias:
      return absl::NotFoundError(absl::StrCat(reference.ToString(), ": no such alias"));
    case Reference::Selector::kDigest:
      return absl::NotFoundError(
          absl::StrCat(reference.ToString(), ": no version has this digest"));
    case Reference::Selector::kLatest:
      break;
  }
  return absl::NotFoundError(absl::StrCat(reference.model, ": the model has no versions"));
}

absl::StatusOr<VersionInfo> CatalogImpl::GetVersion(const Reference& reference) {
  RETURN_IF_ERROR(CheckModelName(reference.model));
  ASSIGN_OR_RETURN(const uint64_t version, Resolve(reference));
  if (version == 0) return MissingVersion(reference);
  auto info = VersionWithAliases(reference.model, version);
  if (absl::IsNotFound(info.status())) return MissingVersion(reference);
  return info;
}

absl::StatusOr<Manifest> CatalogImpl::GetManifest(const VersionInfo& version) {
  ASSIGN_OR_RETURN(const auto record, ReadVersion(version.model, version.version));
  if (!record.has_value()) return NoSuchVersion(version.model, version.version);
  return LoadManifest(blobs_, *record, limits_);
}

absl::StatusOr<std::optional<ModelInfo>> CatalogImpl::ReadModel(const std::string& model) {
  ASSIGN_OR_RETURN(
      const auto values,
      records_->Read(ModelRecord(model), {std::string(kHeadKey), std::string(kSchemaKey)}));
  if (!values[0].has_value() && !values[1].has_value()) return std::nullopt;
  ModelInfo info;
  info.model = model;
  info.has_schema = values[1].has_value();
  if (values[0].has_value()) {
    ASSIGN_OR_RETURN(const ModelHead head, DecodeHead(*values[0]), model);
    info.versions = head.live;
    info.numbers_used = head.newest;
  }
  ASSIGN_OR_RETURN(info.latest, NewestWith(model, kVersionPrefix));
  ASSIGN_OR_RETURN(info.aliases, Aliases(model));
  return info;
}

absl::StatusOr<ModelInfo> CatalogImpl::GetModel(absl::string_view model) {
  RETURN_IF_ERROR(CheckModelName(model));
  ASSIGN_OR_RETURN(auto info, ReadModel(std::string(model)));
  if (!info.has_value()) return absl::NotFoundError(absl::StrCat(model, ": no such model"));
  return *std::move(info);
}

absl::StatusOr<std::optional<VersionInfo>> CatalogImpl::FindPush(absl::string_view model,
                                                                 absl::string_view request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(request_id));
  ASSIGN_OR_RETURN(const auto answer, FindRequest(model, request_id, Operation::kPush));
  if (!answer.has_value()) return std::nullopt;
  auto info = VersionWithAliases(model, answer->answer);
  if (absl::IsNotFound(info.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(model, ": request id \"", Printable(request_id), "\" made version ",
                     answer->answer, ", which is deleted; want a new request id"));
  }
  RETURN_IF_ERROR(info.status());
  return *std::move(info);
}

}  // namespace ballast

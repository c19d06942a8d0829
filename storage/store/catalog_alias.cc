#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"

namespace ballast {
namespace {

std::string Pointed(uint64_t version) {
  return version == 0 ? "absent" : absl::StrCat("at version ", version);
}

absl::Status CheckExpected(const std::string& name, std::optional<uint64_t> expected,
                           uint64_t now) {
  if (!expected.has_value() || *expected == now) return absl::OkStatus();
  return ConflictError(name, ": alias is ", Pointed(now), ", want it ", Pointed(*expected));
}

absl::StatusOr<AliasValue> DecodeIfThere(const std::optional<std::string>& value) {
  if (!value.has_value()) return AliasValue{};
  return DecodeAlias(*value);
}

}  // namespace

absl::Status CatalogImpl::CheckRoomForAlias(absl::string_view model) {
  ASSIGN_OR_RETURN(const auto aliases, Aliases(model));
  if (aliases.size() < limits_.aliases_max) return absl::OkStatus();
  return LimitError(model, ": number of aliases is ", aliases.size(), ", want at most ",
                    limits_.aliases_max, " (aliases_max)");
}

absl::Status CatalogImpl::AddAliasMoves(const std::optional<std::string>& names,
                                        absl::Span<const AliasMove> moves,
                                        std::vector<RecordCondition>* conditions,
                                        std::vector<RecordEdit>* edits) {
  if (moves.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(uint64_t number, DecodeNames(names));
  for (const AliasMove& move : moves) {
    ++number;
    edits->push_back({HistoryKey(number), EncodeAliasMove(move)});
    if (number <= limits_.alias_history_max) continue;
    edits->push_back({HistoryKey(number - limits_.alias_history_max), std::nullopt});
  }
  conditions->push_back({std::string(kNamesKey), names});
  edits->push_back({std::string(kNamesKey), absl::StrCat(number)});
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> CatalogImpl::SetAlias(absl::string_view model, absl::string_view alias,
                                               uint64_t version, std::optional<uint64_t> expected,
                                               const Requester& by) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckAliasName(alias));
  RETURN_IF_ERROR(CheckRequestId(by.request_id));
  const std::string name = absl::StrCat(model, "@", alias);
  if (version == 0 || version > kVersionMax) {
    return absl::NotFoundError(absl::StrCat(model, ":", version, ": no such version"));
  }
  uint64_t before = 0;  // as the last plan saw it
  return Change(model, by.request_id, Operation::kSetAlias,
                [&](const std::string& token, bool) -> absl::StatusOr<Plan> {
                  const std::string key = AliasKey(alias);
                  ASSIGN_OR_RETURN(const auto values,
                                   records_->Read(ModelRecord(model), {key, VersionKey(version),
                                                                       std::string(kNamesKey)}));
                  ASSIGN_OR_RETURN(const AliasValue now, DecodeIfThere(values[0]), name);
                  if (!now.token.empty() && now.token == token) return Plan{true, before, {}, {}};
                  if (!values[1].has_value()) {
                    RETURN_IF_ERROR(GetModel(model).status());
                    return NoSuchVersion(model, version);
                  }
                  RETURN_IF_ERROR(CheckExpected(name, expected, now.version));
                  if (!values[0].has_value()) RETURN_IF_ERROR(CheckRoomForAlias(model));
                  before = now.version;
                  Plan plan{false,
                            before,
                            {{key, values[0]}, {VersionKey(version), values[1]}},
                            {{key, EncodeAlias({version, token})}}};
                  RETURN_IF_ERROR(AddAliasMoves(
                      values[2], {{std::string(alias), before, version, by.principal, Now()}},
                      &plan.conditions, &plan.edits));
                  return plan;
                });
}

absl::Status CatalogImpl::RemoveAlias(absl::string_view model, absl::string_view alias,
                                      std::optional<uint64_t> expected, const Requester& by) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckAliasName(alias));
  RETURN_IF_ERROR(CheckRequestId(by.request_id));
  const std::string name = absl::StrCat(model, "@", alias);
  const std::string key = AliasKey(alias);
  return Change(model, by.request_id, Operation::kRemoveAlias,
                [&](const std::string&, bool maybe_applied) -> absl::StatusOr<Plan> {
                  ASSIGN_OR_RETURN(
                      const auto values,
                      records_->Read(ModelRecord(model), {key, std::string(kNamesKey)}));
                  if (!values[0].has_value()) {
                    if (maybe_applied) return Plan{true, 0, {}, {}};
                    RETURN_IF_ERROR(GetModel(model).status());
                    return absl::NotFoundError(absl::StrCat(name, ": no such alias"));
                  }
                  ASSIGN_OR_RETURN(const AliasValue now, DecodeAlias(*values[0]), name);
                  RETURN_IF_ERROR(CheckExpected(name, expected, now.version));
                  Plan plan{false, 0, {{key, values[0]}}, {{key, std::nullopt}}};
                  RETURN_IF_ERROR(AddAliasMoves(
                      values[1], {{std::string(alias), now.version, 0, by.principal, Now()}},
                      &plan.conditions, &plan.edits));
                  return plan;
                })
      .status();
}

}  // namespace ballast

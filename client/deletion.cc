// Deleting and bringing back versions, what they take up, and retention rules.

#include <ballast/client.h>

#include <utility>

#include "client/answers.h"
#include "client/client_impl.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

absl::StatusOr<DeleteResult> Delete(Connection* connection, v1::DeleteVersionRequest request,
                                    const DeleteOptions& options) {
  RETURN_IF_ERROR(CheckModelName(request.model()));
  request.set_force(options.force);
  ASSIGN_OR_RETURN(*request.mutable_request_id(), RequestIdOr(options.request_id));
  v1::DeleteVersionResponse response;
  RETURN_IF_ERROR(connection->Unary("DeleteVersion", request, &response));
  return DeleteResult{response.deleted(), TimeFromProto(response.until())};
}

}  // namespace

absl::StatusOr<DeleteResult> Client::DeleteVersion(const std::string& model, uint64_t version,
                                                   const DeleteOptions& options) {
  if (version == 0) return absl::InvalidArgumentError("delete: version is 0, want at least 1");
  v1::DeleteVersionRequest request;
  request.set_model(model);
  request.set_version(version);
  return Delete(&impl_->connection, std::move(request), options);
}

absl::StatusOr<DeleteResult> Client::DeleteAllVersions(const std::string& model,
                                                       const DeleteOptions& options) {
  v1::DeleteVersionRequest request;
  request.set_model(model);
  request.set_all_versions(true);
  return Delete(&impl_->connection, std::move(request), options);
}

absl::StatusOr<VersionDescription> Client::UndeleteVersion(const std::string& model,
                                                           uint64_t version,
                                                           const std::string& request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  v1::UndeleteVersionRequest request;
  request.set_model(model);
  request.set_version(version);
  ASSIGN_OR_RETURN(*request.mutable_request_id(), RequestIdOr(request_id));
  v1::Version response;
  RETURN_IF_ERROR(impl_->connection.Unary("UndeleteVersion", request, &response));
  return VersionFromProto(response);
}

absl::StatusOr<VersionUsage> Client::GetVersionUsage(const std::string& reference) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  v1::GetVersionUseRequest request;
  request.set_reference(reference);
  v1::GetVersionUseResponse response;
  RETURN_IF_ERROR(impl_->connection.Unary("GetVersionUse", request, &response));
  return VersionUsage{response.exclusive_bytes(), response.shared_bytes()};
}

absl::Status Client::SetRetention(const std::string& model,
                                  const std::optional<RetentionRules>& rules,
                                  const std::string& request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  v1::SetRetentionRequest request;
  request.set_model(model);
  ASSIGN_OR_RETURN(*request.mutable_request_id(), RequestIdOr(request_id));
  if (rules.has_value()) {
    v1::Retention* out = request.mutable_retention();
    out->set_keep_last(rules->keep_last);
    out->set_keep_newer_than_ms(
        static_cast<uint64_t>(absl::ToInt64Milliseconds(rules->keep_newer_than)));
    for (const RetentionRules::Label& label : rules->keep_labelled) {
      v1::LabelRule* rule = out->add_keep_labelled();
      rule->set_name(label.name);
      if (label.value.has_value()) rule->set_value(*label.value);
    }
  }
  v1::SetRetentionResponse response;
  return impl_->connection.Unary("SetRetention", request, &response);
}

absl::StatusOr<std::optional<RetentionRules>> Client::GetRetention(const std::string& model) {
  RETURN_IF_ERROR(CheckModelName(model));
  v1::GetRetentionRequest request;
  request.set_model(model);
  v1::GetRetentionResponse response;
  RETURN_IF_ERROR(impl_->connection.Unary("GetRetention", request, &response));
  if (!response.has_retention()) return std::nullopt;
  RetentionRules rules;
  rules.keep_last = response.retention().keep_last();
  rules.keep_newer_than =
      absl::Milliseconds(static_cast<int64_t>(response.retention().keep_newer_than_ms()));
  for (const v1::LabelRule& label : response.retention().keep_labelled()) {
    RetentionRules::Label& rule = rules.keep_labelled.emplace_back();
    rule.name = label.name();
    if (label.has_value()) rule.value = label.value();
  }
  return rules;
}

}  // namespace ballast

// Deleting and bringing back versions, what they take up, retention rules, and numbers.

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/handlers/stream_io.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"
#include "storage/model/request_id.h"

namespace ballast {
namespace {

absl::Status Begin(const Services& services, Call* call, const std::string& model, Action action) {
  call->subject = model.substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(model));
  return services.authorizer->Authorize(call->principal, action, model);
}

// The same for a change, which needs a request id.
absl::Status BeginChange(const Services& services, Call* call, const std::string& model,
                         const std::string& request_id, Action action) {
  RETURN_IF_ERROR(Begin(services, call, model, action));
  return RequireRequestId(request_id);
}

// When the deletion of a version, 0: of the newest deleted one, can be collected. It is read
// back, because a repeated request deleted it long ago; now if it has been collected since.
absl::StatusOr<absl::Time> EndOfWindow(Catalog* catalog, const std::string& model,
                                       uint64_t version) {
  const std::string above = version == 0 ? "" : absl::StrCat(version + 1);
  ASSIGN_OR_RETURN(const VersionPage page,
                   catalog->ListVersions(model, 1, above, VersionSet::kDeleted));
  if (page.versions.empty() || (version != 0 && page.versions[0].version != version)) {
    return absl::Now();
  }
  return page.versions[0].deletion->until;
}

absl::Status DeleteVersion(const Services& services, Call* call,
                           const v1::DeleteVersionRequest& request,
                           v1::DeleteVersionResponse* response) {
  RETURN_IF_ERROR(
      BeginChange(services, call, request.model(), request.request_id(), Action::kDelete));
  if (request.all_versions() != (request.version() == 0)) {
    return MalformedError("delete: want either a version or all_versions");
  }
  const Requester by{request.request_id(), call->principal};
  const absl::StatusOr<uint64_t> deleted =
      request.all_versions()
          ? services.catalog->DeleteAllVersions(request.model(), request.force(), by)
          : services.catalog->DeleteVersions(request.model(), {request.version()}, request.force(),
                                             by);
  RETURN_IF_ERROR(deleted.status());
  response->set_deleted(*deleted);
  ASSIGN_OR_RETURN(const absl::Time until,
                   EndOfWindow(services.catalog, request.model(), request.version()));
  TimeToProto(until, response->mutable_until());
  return absl::OkStatus();
}

absl::Status UndeleteVersion(const Services& services, Call* call,
                             const v1::UndeleteVersionRequest& request, v1::Version* response) {
  RETURN_IF_ERROR(
      BeginChange(services, call, request.model(), request.request_id(), Action::kUndelete));
  RETURN_IF_ERROR(services.catalog->UndeleteVersion(request.model(), request.version(),
                                                    {request.request_id(), call->principal}));
  Reference reference;
  reference.model = request.model();
  reference.selector = Reference::Selector::kVersion;
  reference.version = request.version();
  ASSIGN_OR_RETURN(const VersionInfo version, services.catalog->GetVersion(reference));
  VersionToProto(version, response);
  return absl::OkStatus();
}

absl::Status GetVersionUse(const Services& services, Call* call,
                           const v1::GetVersionUseRequest& request,
                           v1::GetVersionUseResponse* response) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(request.reference()));
  RETURN_IF_ERROR(Begin(services, call, reference.model, Action::kRead));
  ASSIGN_OR_RETURN(const VersionInfo version, services.catalog->GetVersion(reference));
  ASSIGN_OR_RETURN(const VersionUse use, services.collector->Measure(version));
  response->set_exclusive_bytes(use.exclusive_bytes);
  response->set_shared_bytes(use.shared_bytes);
  return absl::OkStatus();
}

Retention RetentionFromProto(const v1::Retention& in) {
  Retention out;
  out.keep_last = in.keep_last();
  out.keep_newer_than_ms = in.keep_newer_than_ms();
  for (const v1::LabelRule& label : in.keep_labelled()) {
    LabelRule& rule = out.keep_labelled.emplace_back();
    rule.name = label.name();
    if (label.has_value()) rule.value = label.value();
  }
  return out;
}

void RetentionToProto(const Retention& in, v1::Retention* out) {
  out->set_keep_last(in.keep_last);
  out->set_keep_newer_than_ms(in.keep_newer_than_ms);
  for (const LabelRule& rule : in.keep_labelled) {
    v1::LabelRule* label = out->add_keep_labelled();
    label->set_name(rule.name);
    if (rule.value.has_value()) label->set_value(*rule.value);
  }
}

absl::Status SetRetention(const Services& services, Call* call,
                          const v1::SetRetentionRequest& request, v1::SetRetentionResponse*) {
  RETURN_IF_ERROR(
      BeginChange(services, call, request.model(), request.request_id(), Action::kSetRetention));
  std::optional<Retention> rules;
  if (request.has_retention()) rules = RetentionFromProto(request.retention());
  return services.catalog->SetRetention(request.model(), rules,
                                        {request.request_id(), call->principal});
}

absl::Status GetRetention(const Services& services, Call* call,
                          const v1::GetRetentionRequest& request,
                          v1::GetRetentionResponse* response) {
  RETURN_IF_ERROR(Begin(services, call, request.model(), Action::kRead));
  ASSIGN_OR_RETURN(const auto rules, services.catalog->GetRetention(request.model()));
  if (rules.has_value()) RetentionToProto(*rules, response->mutable_retention());
  return absl::OkStatus();
}

absl::Status ReserveNumbers(const Services& services, Call* call,
                            const v1::ReserveNumbersRequest& request, v1::ReserveNumbersResponse*) {
  RETURN_IF_ERROR(
      BeginChange(services, call, request.model(), request.request_id(), Action::kImport));
  return services.catalog->ReserveNumbers(request.model(), request.numbers_used(),
                                          {request.request_id(), call->principal});
}

}  // namespace

void AddDeletionMethods(const Services& services, MethodTable* table) {
  const auto add = [&]<typename Request, typename Response>(
                       const char* name,
                       absl::Status (*serve)(const Services&, Call*, const Request&, Response*)) {
    (*table)[name] = {Unary<Request, Response>(
        [&services, serve](Call* call, const Request& request, Response* response) {
          return serve(services, call, request, response);
        })};
  };
  add("DeleteVersion", DeleteVersion);
  add("UndeleteVersion", UndeleteVersion);
  add("GetVersionUse", GetVersionUse);
  add("SetRetention", SetRetention);
  add("GetRetention", GetRetention);
  add("ReserveNumbers", ReserveNumbers);
}

}  // namespace ballast

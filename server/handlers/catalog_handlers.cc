// Names and lists: models, versions, entries, aliases, capabilities.

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/numbers.h"
#include "proto/wire.h"
#include "server/handlers/stream_io.h"
#include "server/version.h"
#include "storage/base/status.h"
#include "storage/formats/layout.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

// A page of entries ends at about this size, so that it stays a message.
constexpr size_t kPageBytes = 2u << 20;

size_t PageSize(uint32_t asked, const Limits& limits) {
  return asked == 0 ? limits.page_entries_max : std::min<uint64_t>(asked, limits.page_entries_max);
}

// Lists a page, and a smaller one for as long as it is too large for a message: only the
// catalog can say where a page ends.
template <typename Response>
absl::Status ListPage(size_t page_size, Response* response,
                      const std::function<absl::Status(size_t page_size)>& list) {
  RETURN_IF_ERROR(list(page_size));
  while (page_size > 1 && response->ByteSizeLong() > kPageBytes) {
    page_size /= 2;
    response->Clear();
    RETURN_IF_ERROR(list(page_size));
  }
  return absl::OkStatus();
}

void ModelToProto(const ModelInfo& model, v1::Model* out) {
  out->set_model(model.model);
  out->set_latest(model.latest);
  out->set_versions(model.versions);
  out->mutable_aliases()->insert(model.aliases.begin(), model.aliases.end());
  out->set_has_schema(model.has_schema);
}

absl::Status ListModels(const Services& services, Call* call, const v1::ListModelsRequest& request,
                        v1::ListModelsResponse* response) {
  call->subject = request.prefix().substr(0, 255);
  RETURN_IF_ERROR(CheckModelPrefix(request.prefix()), "list models");
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kList, request.prefix()));
  const size_t most = PageSize(request.page_size(), services.limits);
  return ListPage(most, response, [&](size_t page_size) -> absl::Status {
    ASSIGN_OR_RETURN(const ModelPage page, services.catalog->ListModels(request.prefix(), page_size,
                                                                        request.page_token()));
    for (const ModelInfo& model : page.models) ModelToProto(model, response->add_models());
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  });
}

absl::Status GetModel(const Services& services, Call* call, const v1::GetModelRequest& request,
                      v1::Model* response) {
  call->subject = request.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(request.model()));
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kRead, request.model()));
  ASSIGN_OR_RETURN(const ModelInfo model, services.catalog->GetModel(request.model()));
  ModelToProto(model, response);
  return absl::OkStatus();
}

absl::Status ListVersions(const Services& services, Call* call,
                          const v1::ListVersionsRequest& request,
                          v1::ListVersionsResponse* response) {
  call->subject = request.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(request.model()));
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kRead, request.model()));
  const size_t most = PageSize(request.page_size(), services.limits);
  return ListPage(most, response, [&](size_t page_size) -> absl::Status {
    ASSIGN_OR_RETURN(const VersionPage page, services.catalog->ListVersions(
                                                 request.model(), page_size, request.page_token()));
    for (const VersionInfo& version : page.versions) {
      VersionToProto(version, response->add_versions());
    }
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  });
}

absl::StatusOr<VersionInfo> Resolve(const Services& services, Call* call,
                                    const std::string& reference, Action action) {
  call->subject = reference.substr(0, 400);
  ASSIGN_OR_RETURN(const Reference parsed, ParseReference(reference));
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, action, parsed.model));
  return services.catalog->GetVersion(parsed);
}

absl::Status GetVersion(const Services& services, Call* call, const v1::GetVersionRequest& request,
                        v1::Version* response) {
  ASSIGN_OR_RETURN(const VersionInfo version,
                   Resolve(services, call, request.reference(), Action::kRead));
  VersionToProto(version, response);
  return absl::OkStatus();
}

// A page token is the position of the next entry; a version never changes.
absl::Status ListEntries(const Services& services, Call* call,
                         const v1::ListEntriesRequest& request, v1::ListEntriesResponse* response) {
  uint64_t begin = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &begin)) {
    return MalformedError("list entries: page token is not one of this call");
  }
  ASSIGN_OR_RETURN(const VersionInfo version,
                   Resolve(services, call, request.reference(), Action::kRead));
  ASSIGN_OR_RETURN(const Manifest manifest, services.catalog->GetManifest(version));
  VersionToProto(version, response->mutable_version());
  const size_t count = PageSize(request.page_size(), services.limits);
  size_t bytes = 0;
  for (uint64_t i = begin; i < manifest.entries.size(); ++i) {
    const size_t so_far = static_cast<size_t>(response->entries_size());
    if (so_far > 0 && (so_far == count || bytes >= kPageBytes)) {
      response->set_next_page_token(absl::StrCat(i));
      break;
    }
    wire::EntryToProto(manifest.entries[i], request.with_blocks(), response->add_entries());
    bytes += response->entries(static_cast<int>(so_far)).ByteSizeLong();
  }
  return absl::OkStatus();
}

template <typename Request>
std::optional<uint64_t> Expected(const Request& request) {
  if (!request.has_expected_version()) return std::nullopt;
  return request.expected_version();
}

absl::Status SetAlias(const Services& services, Call* call, const v1::SetAliasRequest& request,
                      v1::SetAliasResponse* response) {
  RETURN_IF_ERROR(CheckAliasName(request.alias()));
  ASSIGN_OR_RETURN(const VersionInfo version,
                   Resolve(services, call, request.reference(), Action::kSetAlias));
  ASSIGN_OR_RETURN(const uint64_t previous,
                   services.catalog->SetAlias(version.model, request.alias(), version.version,
                                              Expected(request), request.request_id()));
  VersionToProto(version, response->mutable_version());
  response->set_previous_version(previous);
  return absl::OkStatus();
}

absl::Status DeleteAlias(const Services& services, Call* call,
                         const v1::DeleteAliasRequest& request, v1::DeleteAliasResponse*) {
  call->subject = request.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(request.model()));
  RETURN_IF_ERROR(CheckAliasName(request.alias()));
  RETURN_IF_ERROR(
      services.authorizer->Authorize(call->principal, Action::kSetAlias, request.model()));
  return services.catalog->RemoveAlias(request.model(), request.alias(), Expected(request),
                                       request.request_id());
}

// Formats that ReadStateDict opens.
bool CanRead(Format format) { return format != Format::kTensors && format != Format::kPickle; }

absl::Status GetCapabilities(const Services& services, Call*, const v1::GetCapabilitiesRequest&,
                             v1::GetCapabilitiesResponse* response) {
  response->set_server_version(kVersion);
  for (const Format format : AllFormats()) {
    if (!CanRead(format) && !CanWrite(format)) continue;
    v1::FormatCapability* out = response->add_formats();
    out->set_format(std::string(FormatName(format)));
    out->set_read(CanRead(format));
    out->set_write(CanWrite(format));
    for (const DTypeInfo& dtype : AllDTypes()) {
      if (CanWrite(format) && FormatHasDType(format, dtype.dtype)) {
        out->add_dtypes(std::string(dtype.name));
      }
    }
  }
  for (const LimitField& limit : AllLimits()) {
    (*response->mutable_limits())[std::string(limit.name)] = services.limits.*limit.field;
  }
  return absl::OkStatus();
}

}  // namespace

void AddCatalogMethods(const Services& services, MethodTable* table) {
  const auto add = [&]<typename Request, typename Response>(
                       const char* name,
                       absl::Status (*serve)(const Services&, Call*, const Request&, Response*)) {
    (*table)[name] = {Unary<Request, Response>(
        [&services, serve](Call* call, const Request& request, Response* response) {
          return serve(services, call, request, response);
        })};
  };
  add("ListModels", ListModels);
  add("GetModel", GetModel);
  add("ListVersions", ListVersions);
  add("GetVersion", GetVersion);
  add("ListEntries", ListEntries);
  add("SetAlias", SetAlias);
  add("DeleteAlias", DeleteAlias);
  add("GetCapabilities", GetCapabilities);
}

MethodTable MakeMethodTable(const Services& services) {
  MethodTable table;
  AddPushMethods(services, &table);
  AddPullMethods(services, &table);
  AddFileMethods(services, &table);
  AddSchemaMethods(services, &table);
  AddCatalogMethods(services, &table);
  return table;
}

}  // namespace ballast

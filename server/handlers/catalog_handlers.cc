// Names and lists: models, versions, entries, aliases, capabilities.

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "proto/wire.h"
#include "server/handlers/page_token.h"
#include "server/handlers/stream_io.h"
#include "server/use_cases/held_manifest.h"
#include "server/version.h"
#include "storage/base/status.h"
#include "storage/formats/layout.h"
#include "storage/model/reference.h"
#include "storage/model/request_id.h"

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
  out->set_numbers_used(model.numbers_used);
}

absl::Status ListModels(const Services& services, Call* call, const v1::ListModelsRequest& request,
                        v1::ListModelsResponse* response) {
  call->subject = request.prefix().substr(0, 255);
  RETURN_IF_ERROR(CheckModelPrefix(request.prefix()), "list models");
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kList, request.prefix()));
  const size_t most = PageSize(request.page_size(), services.limits);
  const Listing listing{request.also_empty() ? "list all models" : "list models", request.prefix()};
  ASSIGN_OR_RETURN(const std::string after, ReadPageToken(listing, request.page_token()));
  return ListPage(most, response, [&](size_t page_size) -> absl::Status {
    ASSIGN_OR_RETURN(
        const ModelPage page,
        services.catalog->ListModels(request.prefix(), page_size, after, request.also_empty()));
    for (const ModelInfo& model : page.models) ModelToProto(model, response->add_models());
    response->set_next_page_token(MakePageToken(listing, page.next_page_token));
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
  const std::string subject = absl::StrCat(request.model(), request.deleted() ? ", deleted" : "");
  const Listing listing{"list versions", subject};
  ASSIGN_OR_RETURN(const std::string below, ReadPageToken(listing, request.page_token()));
  return ListPage(most, response, [&](size_t page_size) -> absl::Status {
    ASSIGN_OR_RETURN(const VersionPage page,
                     services.catalog->ListVersions(
                         request.model(), page_size, below,
                         request.deleted() ? VersionSet::kDeleted : VersionSet::kLive));
    for (const VersionInfo& version : page.versions) {
      VersionToProto(version, response->add_versions());
    }
    response->set_next_page_token(MakePageToken(listing, page.next_page_token));
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

// Where a page of entries begins: an entry, and one of its blocks if the page before
// ended inside of it.
struct EntryPosition {
  uint64_t entry = 0;
  uint64_t block = 0;
};

std::string PositionText(const EntryPosition& at) { return absl::StrCat(at.entry, "/", at.block); }

EntryPosition PositionOf(absl::string_view text) {
  EntryPosition at;
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, '/');
  const bool numbers =
      absl::SimpleAtoi(parts.first, &at.entry) && absl::SimpleAtoi(parts.second, &at.block);
  return numbers ? at : EntryPosition();
}

// Fills a page from `at` on; returns where the next one begins, nullopt at the end.
std::optional<EntryPosition> FillPage(const Manifest& manifest, EntryPosition at, size_t count,
                                      bool with_blocks, v1::ListEntriesResponse* response) {
  constexpr uint64_t kBlocksMax = kPageBytes / (Digest::kBytes + sizeof(uint32_t));
  size_t bytes = 0;
  while (at.entry < manifest.entries.size()) {
    const size_t so_far = static_cast<size_t>(response->entries_size());
    if (so_far > 0 && (so_far >= count || bytes >= kPageBytes)) return at;
    const ManifestEntry& entry = manifest.entries[at.entry];
    const uint64_t blocks = with_blocks ? entry.blocks.size() : 0;
    const uint64_t end = std::min(blocks, at.block + kBlocksMax);
    wire::EntryToProto(entry, at.block, end, response->add_entries());
    bytes += response->entries(static_cast<int>(so_far)).ByteSizeLong();
    at = end < blocks ? EntryPosition{at.entry, end} : EntryPosition{at.entry + 1, 0};
  }
  return std::nullopt;
}

// Pages are of the version that the first one was of: one that is latest meanwhile has
// other entries.
absl::Status ListEntries(const Services& services, Call* call,
                         const v1::ListEntriesRequest& request, v1::ListEntriesResponse* response) {
  ASSIGN_OR_RETURN(const VersionInfo version,
                   Resolve(services, call, request.reference(), Action::kRead));
  const std::string exact = absl::StrCat(version.model, ":", version.version,
                                         request.with_blocks() ? " with blocks" : "");
  const Listing listing{"list entries", exact};
  ASSIGN_OR_RETURN(const std::string position, ReadPageToken(listing, request.page_token()));
  ASSIGN_OR_RETURN(const HeldManifest held, LoadManifest(services, version));
  VersionToProto(version, response->mutable_version());
  const std::optional<EntryPosition> next =
      FillPage(held.manifest, PositionOf(position), PageSize(request.page_size(), services.limits),
               request.with_blocks(), response);
  if (next) response->set_next_page_token(MakePageToken(listing, PositionText(*next)));
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
  RETURN_IF_ERROR(RequireRequestId(request.request_id()), "set alias");
  ASSIGN_OR_RETURN(const VersionInfo version,
                   Resolve(services, call, request.reference(), Action::kSetAlias));
  ASSIGN_OR_RETURN(
      const uint64_t previous,
      services.catalog->SetAlias(version.model, request.alias(), version.version, Expected(request),
                                 {request.request_id(), call->principal}));
  VersionToProto(version, response->mutable_version());
  response->set_previous_version(previous);
  return absl::OkStatus();
}

absl::Status DeleteAlias(const Services& services, Call* call,
                         const v1::DeleteAliasRequest& request, v1::DeleteAliasResponse*) {
  call->subject = request.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(request.model()));
  RETURN_IF_ERROR(CheckAliasName(request.alias()));
  RETURN_IF_ERROR(RequireRequestId(request.request_id()), "delete alias");
  RETURN_IF_ERROR(
      services.authorizer->Authorize(call->principal, Action::kSetAlias, request.model()));
  return services.catalog->RemoveAlias(request.model(), request.alias(), Expected(request),
                                       {request.request_id(), call->principal});
}

absl::Status ListAliasHistory(const Services& services, Call* call,
                              const v1::ListAliasHistoryRequest& request,
                              v1::ListAliasHistoryResponse* response) {
  call->subject = request.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(request.model()));
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kRead, request.model()));
  const size_t most = PageSize(request.page_size(), services.limits);
  const std::string subject = absl::StrCat(request.model(), "@", request.alias());
  const Listing listing{"list alias history", subject};
  ASSIGN_OR_RETURN(const std::string below, ReadPageToken(listing, request.page_token()));
  return ListPage(most, response, [&](size_t page_size) -> absl::Status {
    ASSIGN_OR_RETURN(
        const AliasHistoryPage page,
        services.catalog->ListAliasHistory(request.model(), request.alias(), page_size, below));
    for (const AliasMove& move : page.moves) AliasMoveToProto(move, response->add_moves());
    response->set_next_page_token(MakePageToken(listing, page.next_page_token));
    return absl::OkStatus();
  });
}

// Formats that ReadStateDict opens.
bool CanRead(Format format) { return format != Format::kTensors; }

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
  add("ListAliasHistory", ListAliasHistory);
  add("GetCapabilities", GetCapabilities);
  for (const char* method : {"GetModel", "GetVersion"}) (*table)[method].quick = true;
  // A manifest can be large: this waits beside the data streams, not before the control calls.
  (*table)["ListEntries"].moves_data = true;
}

MethodTable MakeMethodTable(const Services& services) {
  MethodTable table;
  AddPushMethods(services, &table);
  AddPullMethods(services, &table);
  AddFileMethods(services, &table);
  AddSchemaMethods(services, &table);
  AddCatalogMethods(services, &table);
  AddDeletionMethods(services, &table);
  AddCollectionMethods(services, &table);
  AddVerifyMethods(services, &table);
  AddOperationsMethods(services, &table);
  AddDiffMethods(services, &table);
  AddWatchMethods(services, &table);
  return table;
}

}  // namespace ballast

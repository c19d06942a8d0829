// Control calls: models, versions, aliases.

#include <ballast/client.h>

#include <utility>

#include "client/answers.h"
#include "client/client_impl.h"
#include "proto/wire.h"
#include "storage/base/status.h"
#include "storage/model/manifest.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

// Follows the pages of `list(token)` to the end.
template <typename T, typename F>
absl::StatusOr<std::vector<T>> AllPages(F list) {
  std::vector<T> all;
  std::string token;
  do {
    ASSIGN_OR_RETURN(Page<T> page, list(token));
    if (!page.next_page_token.empty() && page.next_page_token == token) {
      return BadAnswer(absl::InternalError("a page leads to itself"));
    }
    std::move(page.items.begin(), page.items.end(), std::back_inserter(all));
    token = std::move(page.next_page_token);
  } while (!token.empty());
  return all;
}

// Whether all of its blocks are there: a page may end inside of a large entry.
absl::StatusOr<bool> IsComplete(const ManifestEntry& entry, const Limits& limits) {
  ASSIGN_OR_RETURN(const uint64_t size, TensorBytes(entry.spec.dtype, entry.spec.shape, limits));
  return entry.blocks.size() >= BlockCount(size);
}

// Asks for pages until the last entry is whole; leaves the next page's token in the request.
absl::Status ReadEntries(Connection* connection, v1::ListEntriesRequest* request,
                         std::vector<ManifestEntry>* entries) {
  bool complete = true;
  do {
    v1::ListEntriesResponse response;
    RETURN_IF_ERROR(connection->Unary("ListEntries", *request, &response));
    for (const v1::Entry& entry : response.entries()) {
      if (absl::Status added = wire::AddEntry(entry, entries); !added.ok()) return BadAnswer(added);
    }
    const bool stuck = response.next_page_token() == request->page_token();
    request->set_page_token(response.next_page_token());
    if (entries->empty()) return absl::OkStatus();
    const absl::StatusOr<bool> whole = IsComplete(entries->back(), connection->limits());
    if (!whole.ok()) return BadAnswer(whole.status());
    complete = *whole;
    if (!complete && (stuck || request->page_token().empty())) {
      return BadAnswer(absl::InternalError("an entry is not complete"));
    }
  } while (!complete);
  return absl::OkStatus();
}

absl::StatusOr<Page<VersionDescription>> VersionPage(Connection* connection,
                                                     const v1::ListVersionsRequest& request) {
  RETURN_IF_ERROR(CheckModelName(request.model()));
  v1::ListVersionsResponse response;
  RETURN_IF_ERROR(connection->Unary("ListVersions", request, &response));
  Page<VersionDescription> page;
  for (const v1::Version& version : response.versions()) {
    ASSIGN_OR_RETURN(VersionDescription description, VersionFromProto(version));
    page.items.push_back(std::move(description));
  }
  page.next_page_token = response.next_page_token();
  return page;
}

}  // namespace

absl::StatusOr<Page<ModelDescription>> Client::ListModels(const std::string& prefix,
                                                          const std::string& page_token,
                                                          uint32_t page_size, bool also_empty) {
  RETURN_IF_ERROR(CheckModelPrefix(prefix));
  v1::ListModelsRequest request;
  request.set_prefix(prefix);
  request.set_page_token(page_token);
  request.set_page_size(page_size);
  request.set_also_empty(also_empty);
  v1::ListModelsResponse response;
  RETURN_IF_ERROR(impl_->connection.Unary("ListModels", request, &response));
  Page<ModelDescription> page;
  for (const v1::Model& model : response.models()) page.items.push_back(ModelFromProto(model));
  page.next_page_token = response.next_page_token();
  return page;
}

absl::StatusOr<Page<VersionDescription>> Client::ListVersions(const std::string& model,
                                                              const std::string& page_token,
                                                              uint32_t page_size) {
  v1::ListVersionsRequest request;
  request.set_model(model);
  request.set_page_token(page_token);
  request.set_page_size(page_size);
  return VersionPage(&impl_->connection, request);
}

absl::StatusOr<Page<EntryDescription>> Client::ListEntries(const std::string& reference,
                                                           const std::string& page_token,
                                                           uint32_t page_size) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  v1::ListEntriesRequest request;
  request.set_reference(reference);
  request.set_page_token(page_token);
  request.set_page_size(page_size);
  request.set_with_blocks(true);
  std::vector<ManifestEntry> entries;
  RETURN_IF_ERROR(ReadEntries(&impl_->connection, &request, &entries));
  Page<EntryDescription> page;
  for (const ManifestEntry& entry : entries) {
    page.items.push_back({entry.spec, TensorDigest(entry), entry.health});
  }
  page.next_page_token = request.page_token();
  return page;
}

absl::StatusOr<std::vector<ModelDescription>> Client::AllModels(const std::string& prefix,
                                                                bool also_empty) {
  return AllPages<ModelDescription>(
      [&](const std::string& token) { return ListModels(prefix, token, 0, also_empty); });
}

absl::StatusOr<std::vector<VersionDescription>> Client::AllVersions(const std::string& model) {
  return AllPages<VersionDescription>(
      [&](const std::string& token) { return ListVersions(model, token); });
}

absl::StatusOr<std::vector<VersionDescription>> Client::DeletedVersions(const std::string& model) {
  v1::ListVersionsRequest request;
  request.set_model(model);
  request.set_deleted(true);
  return AllPages<VersionDescription>([&](const std::string& token) {
    request.set_page_token(token);
    return VersionPage(&impl_->connection, request);
  });
}

absl::StatusOr<std::vector<AliasMoveDescription>> Client::AliasHistory(const std::string& model,
                                                                       const std::string& alias) {
  RETURN_IF_ERROR(CheckModelName(model));
  if (!alias.empty()) RETURN_IF_ERROR(CheckAliasName(alias));
  v1::ListAliasHistoryRequest request;
  request.set_model(model);
  request.set_alias(alias);
  const auto list = [&](const std::string& token) -> absl::StatusOr<Page<AliasMoveDescription>> {
    request.set_page_token(token);
    v1::ListAliasHistoryResponse response;
    RETURN_IF_ERROR(impl_->connection.Unary("ListAliasHistory", request, &response));
    Page<AliasMoveDescription> page;
    for (const v1::AliasMove& move : response.moves()) {
      page.items.push_back(AliasMoveFromProto(move));
    }
    page.next_page_token = response.next_page_token();
    return page;
  };
  return AllPages<AliasMoveDescription>(list);
}

absl::StatusOr<std::vector<EntryDescription>> Client::AllEntries(const std::string& reference) {
  // All pages are of the version that the first one was of.
  ASSIGN_OR_RETURN(const VersionDescription version, GetVersion(reference));
  const std::string exact = ExactReference(version.model, version.version);
  return AllPages<EntryDescription>(
      [&](const std::string& token) { return ListEntries(exact, token); });
}

absl::StatusOr<ModelDescription> Client::GetModel(const std::string& model) {
  RETURN_IF_ERROR(CheckModelName(model));
  v1::GetModelRequest request;
  request.set_model(model);
  v1::Model response;
  RETURN_IF_ERROR(impl_->connection.Unary("GetModel", request, &response));
  return ModelFromProto(response);
}

absl::StatusOr<VersionDescription> Client::GetVersion(const std::string& reference) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  v1::GetVersionRequest request;
  request.set_reference(reference);
  v1::Version response;
  RETURN_IF_ERROR(impl_->connection.Unary("GetVersion", request, &response));
  return VersionFromProto(response);
}

absl::StatusOr<AliasChange> Client::SetAlias(const std::string& reference, const std::string& alias,
                                             std::optional<uint64_t> expected,
                                             const std::string& request_id) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  RETURN_IF_ERROR(CheckAliasName(alias));
  ASSIGN_OR_RETURN(const std::string id, RequestIdOr(request_id));
  v1::SetAliasRequest request;
  request.set_reference(reference);
  request.set_alias(alias);
  request.set_request_id(id);
  if (expected) request.set_expected_version(*expected);
  v1::SetAliasResponse response;
  RETURN_IF_ERROR(impl_->connection.Unary("SetAlias", request, &response));
  ASSIGN_OR_RETURN(VersionDescription version, VersionFromProto(response.version()));
  return AliasChange{std::move(version), response.previous_version()};
}

absl::Status Client::DeleteAlias(const std::string& model, const std::string& alias,
                                 std::optional<uint64_t> expected, const std::string& request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckAliasName(alias));
  ASSIGN_OR_RETURN(const std::string id, RequestIdOr(request_id));
  v1::DeleteAliasRequest request;
  request.set_model(model);
  request.set_alias(alias);
  request.set_request_id(id);
  if (expected) request.set_expected_version(*expected);
  v1::DeleteAliasResponse response;
  return impl_->connection.Unary("DeleteAlias", request, &response);
}

absl::Status Client::UnbindSchema(const std::string& model, const std::string& request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  ASSIGN_OR_RETURN(const std::string id, RequestIdOr(request_id));
  v1::UnbindSchemaRequest request;
  request.set_model(model);
  request.set_request_id(id);
  v1::UnbindSchemaResponse response;
  return impl_->connection.Unary("UnbindSchema", request, &response);
}

absl::StatusOr<Capabilities> Client::GetCapabilities() {
  v1::GetCapabilitiesResponse response;
  RETURN_IF_ERROR(
      impl_->connection.Unary("GetCapabilities", v1::GetCapabilitiesRequest(), &response));
  Capabilities out;
  out.server_version = response.server_version();
  out.features.assign(response.features().begin(), response.features().end());
  for (const v1::FormatCapability& format : response.formats()) {
    out.formats.push_back({format.format(),
                           format.read(),
                           format.write(),
                           {format.dtypes().begin(), format.dtypes().end()}});
  }
  out.limits.insert(response.limits().begin(), response.limits().end());
  return out;
}

}  // namespace ballast

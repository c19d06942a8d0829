// The service Operations: what those who run a server ask.

#include "ballast/v1/operations.pb.h"
#include "server/handlers/stream_io.h"
#include "server/use_cases/statistics.h"
#include "server/version.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

absl::Status GetStats(const Services& services, Call* call, const v1::GetStatsRequest& request,
                      v1::GetStatsResponse* response) {
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kOperate, ""));
  ASSIGN_OR_RETURN(const ServerStats stats, services.statistics->Get(request.exact()));
  response->set_server_version(kVersion);
  TimeToProto(stats.started, response->mutable_started());
  TimeToProto(stats.tally.counted, response->mutable_counted());
  response->set_models(stats.tally.models);
  response->set_versions(stats.tally.versions);
  response->set_logical_bytes(stats.tally.logical_bytes);
  response->set_blocks(stats.store.blocks.blocks);
  response->set_block_bytes(stats.store.blocks.bytes);
  response->set_dead_bytes(stats.store.dead_bytes);
  response->set_files_bytes(stats.store.files_bytes);
  response->set_disk_bytes(stats.store.disk_bytes);
  response->set_disk_free_bytes(stats.store.disk_free_bytes);
  for (const LimitUse& limit : stats.limits) {
    v1::LimitUse* out = response->add_limits();
    out->set_name(limit.name);
    out->set_used(limit.used);
    out->set_max(limit.max);
  }
  return absl::OkStatus();
}

}  // namespace

void AddOperationsMethods(const Services& services, MethodTable* table) {
  (*table)["GetStats"] = {Unary<v1::GetStatsRequest, v1::GetStatsResponse>(
      [&services](Call* call, const auto& request, auto* response) {
        return GetStats(services, call, request, response);
      })};
}

}  // namespace ballast

// Calls for those who run a server.

#include <ballast/client.h>

#include "ballast/v1/operations.pb.h"
#include "client/answers.h"
#include "client/client_impl.h"
#include "storage/base/status.h"

namespace ballast {

absl::StatusOr<ServerStatistics> Client::GetStats(bool exact) {
  v1::GetStatsRequest request;
  request.set_exact(exact);
  v1::GetStatsResponse response;
  RETURN_IF_ERROR(impl_->connection.Unary("GetStats", request, &response));
  ServerStatistics stats;
  stats.server_version = response.server_version();
  stats.started = TimeFromProto(response.started());
  stats.counted = TimeFromProto(response.counted());
  stats.models = response.models();
  stats.versions = response.versions();
  stats.logical_bytes = response.logical_bytes();
  stats.blocks = response.blocks();
  stats.block_bytes = response.block_bytes();
  stats.dead_bytes = response.dead_bytes();
  stats.files_bytes = response.files_bytes();
  stats.disk_bytes = response.disk_bytes();
  stats.disk_free_bytes = response.disk_free_bytes();
  for (const v1::LimitUse& limit : response.limits()) {
    stats.limits.push_back({limit.name(), limit.used(), limit.max()});
  }
  return stats;
}

}  // namespace ballast

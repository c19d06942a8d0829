#include "server/readiness.h"

#include "storage/base/status.h"

namespace ballast {

absl::Status Readiness::Check() const {
  if (stopping_) return absl::UnavailableError("the server is stopping");
  ASSIGN_OR_RETURN(const StoreUsage usage, store_->Usage());
  if (usage.disk_free_bytes >= free_bytes_min_) return absl::OkStatus();
  return LimitError("disk: free bytes are ", usage.disk_free_bytes, ", want at least ",
                    free_bytes_min_, " (ready_free_bytes_min)");
}

}  // namespace ballast

// Whether the server should get calls: for load balancers and probes.
#ifndef BALLAST_SERVER_READINESS_H_
#define BALLAST_SERVER_READINESS_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "storage/store/store_monitor.h"

namespace ballast {

// Thread-safe.
class Readiness {
 public:
  // `store` must outlive this. `free_bytes_min`: with less free disk the server is not
  // ready; 0: whatever there is.
  Readiness(StoreMonitor* store, uint64_t free_bytes_min)
      : store_(store), free_bytes_min_(free_bytes_min) {}

  // From now on the server is not ready.
  void SetStopping() { stopping_ = true; }

  // Errors: Unavailable         stopping, or the file system does not answer.
  //         ResourceExhausted   the disk is nearly full; says both numbers.
  absl::Status Check() const;

 private:
  StoreMonitor* const store_;
  const uint64_t free_bytes_min_;
  std::atomic<bool> stopping_ = false;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_READINESS_H_

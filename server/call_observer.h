// What is told of calls while they run: for the log and the metrics.
#ifndef BALLAST_SERVER_CALL_OBSERVER_H_
#define BALLAST_SERVER_CALL_OBSERVER_H_

#include <chrono>
#include <cstdint>

#include "absl/status/status.h"
#include "server/call.h"

namespace ballast {

// Thread-safe. Called on the threads that serve: must be quick and must not wait. All
// three of one call come one after the other; Ended is the last.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  // Arrived: method, principal and peer are known.
  virtual void Begun(const Call& call) = 0;
  // One message came (bytes_in) or is on its way out (bytes_out); up to 4 MiB each.
  virtual void Moved(const Call& call, uint64_t bytes_in, uint64_t bytes_out) = 0;
  virtual void Ended(const Call& call, const absl::Status& status,
                     std::chrono::nanoseconds took) = 0;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_CALL_OBSERVER_H_

// What all operations share: the transport, retries of control calls, and the
// progress and cancellation of one operation.
#ifndef BALLAST_CLIENT_CONNECTION_H_
#define BALLAST_CLIENT_CONNECTION_H_

#include <ballast/client.h>

#include <memory>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/call.h"
#include "client/transport.h"

namespace ballast {

// Thread-safe.
class Connection {
 public:
  Connection(std::unique_ptr<Transport> transport, ClientOptions options);

  const ClientOptions& options() const { return options_; }
  const Limits& limits() const { return options_.limits; }

  // A control call that is safe to repeat: retried after Unavailable.
  absl::Status Unary(absl::string_view method, const google::protobuf::MessageLite& request,
                     google::protobuf::MessageLite* response);
  // Waits until the server answers, with retries: an operation whose input can be read only
  // once begins after it. Errors: Unavailable.
  absl::Status Reach();
  // A stream for an operation that ends at `deadline`.
  std::unique_ptr<ClientCall> Open(absl::string_view method, const CancelToken& cancel,
                                   absl::Time deadline);
  // A stream that moves little: it ends by control_timeout.
  std::unique_ptr<ClientCall> OpenControl(absl::string_view method);

  // Whether attempt number `attempt` (0, 1 …) of a control call that ended with `status` is
  // followed by another one; waits the back-off before it says yes.
  bool Retry(int attempt, const absl::Status& status, const CancelToken& cancel,
             absl::Time deadline);
  // Waits before attempt number `attempt` (1, 2 …), `most` at the longest. False: the
  // deadline comes first, or it was cancelled.
  bool BackOff(int attempt, absl::Duration most, const CancelToken& cancel, absl::Time deadline);

 private:
  const std::unique_ptr<Transport> transport_;
  const ClientOptions options_;
  IdleWatch idle_watch_;
};

// Progress, cancellation and the time limit of one operation. Thread-safe.
class Operation {
 public:
  Operation(const CallControl& control, const CancelToken& of_client)
      : control_(control),
        of_client_(of_client),
        deadline_(control.timeout == absl::InfiniteDuration() ? absl::InfiniteFuture()
                                                              : absl::Now() + control.timeout) {}

  absl::Time deadline() const { return deadline_; }
  const CancelToken& cancel() const { return control_.cancel; }
  const std::optional<absl::Duration>& retry_for() const { return control_.retry_for; }
  // Tells the caller. Errors: Cancelled, DeadlineExceeded.
  absl::Status Report(Progress::Phase phase, uint64_t done_bytes, uint64_t total_bytes);

 private:
  const CallControl& control_;  // Must outlive this.
  const CancelToken of_client_;
  const absl::Time deadline_;
  std::mutex mutex_;  // callbacks come from one thread at a time
};

// How often one push or pull is tried again. Not thread-safe.
class Patience {
 public:
  // Both must outlive this.
  Patience(Connection* connection, const Operation* operation)
      : connection_(connection), operation_(operation), since_(absl::Now()) {}

  // The server has answered in the attempt that is over.
  void Answered() { answered_ = true; }
  // Payload has moved in it. `further`: less is left to do than ever; with attempts of which
  // none gets further the patience ends as well, however much moves in them.
  void Moved(bool further);
  // Whether an attempt that ended with `status` is followed by another one; waits the
  // back-off before it says yes.
  bool TryAgain(const absl::Status& status);
  // Attempts after the first.
  uint64_t retries() const { return retries_; }

 private:
  Connection* const connection_;
  const Operation* const operation_;
  bool answered_ = false;
  absl::Time since_;  // when something last moved
  int attempt_ = 0;   // since something moved
  int fruitless_ = 0;
  uint64_t retries_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_CONNECTION_H_

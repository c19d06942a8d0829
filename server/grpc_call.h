// One call over gRPC, as the blocking stream that a method works on.
#ifndef BALLAST_SERVER_GRPC_CALL_H_
#define BALLAST_SERVER_GRPC_CALL_H_

#include <grpcpp/generic/async_generic_service.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "proto/blocking_ops.h"
#include "proto/frame_stream.h"
#include "server/call.h"
#include "server/call_observer.h"
#include "server/grpc_frontend.h"
#include "server/handlers/handlers.h"
#include "server/worker_pool.h"

namespace ballast {

// The status of a call that finds the queue full.
absl::Status TooManyCalls();

// What is known of a call when it arrives.
Call CallOf(const grpc::CallbackServerContext& context, const std::string& method);

// Lives from the call's arrival to its OnDone, which deletes it. The method runs on a
// pool thread from the first message on (a caller that sends nothing costs no
// thread), a quick one on gRPC's; after Finish that thread does not touch it again.
class GrpcCall : public grpc::ServerGenericBidiReactor, public FrameStream {
 public:
  // All must outlive the call.
  GrpcCall(grpc::GenericCallbackServerContext* context, const Method* method, WorkerPool* pool,
           const std::vector<CallObserver*>& observers, const Limits& limits);

  absl::StatusOr<std::optional<Frame>> Read() override;
  // The last message of a control call waits for the status and goes out with it.
  absl::Status Write(Frame frame) override;

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override { ops_.OnWriteDone(ok); }
  void OnCancel() override {
    ops_.End(absl::CancelledError("the call was cancelled"));
    call_.end->Set();
  }
  void OnDone() override { delete this; }
  void Serve();
  absl::Status Send(Frame frame);
  void Moved(uint64_t bytes_in, uint64_t bytes_out);
  void End(absl::Status status);

  grpc::GenericCallbackServerContext* context_;
  const Method* method_;  // null: no such method
  WorkerPool* pool_;
  const std::vector<CallObserver*>& observers_;
  const std::chrono::steady_clock::time_point begun_;
  Call call_;
  bool started_ = false;  // only touched by OnReadDone, which gRPC serialises
  std::optional<Frame> held_;
  grpc::ByteBuffer last_;
  BlockingOps ops_;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_GRPC_CALL_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "proto/blocking_ops.h"
#include "proto/grpc_bridge.h"

namespace ballast {
namespace {

using Reactor = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// One call. The hold taken before StartCall allows operations from any thread;
// it is given back once, by WritesDone-and-drained or Finish.
class GrpcClientStream : public ClientFrameStream, private Reactor {
 public:
  GrpcClientStream(std::shared_ptr<grpc::Channel> channel, const std::string& method,
                   const std::function<void(grpc::ClientContext*)>& configure)
      : stub_(std::move(channel)),
        ops_([this](grpc::ByteBuffer* buffer) { StartRead(buffer); },
             [this](const grpc::ByteBuffer* buffer) { StartWrite(buffer); }) {
    if (configure) configure(&context_);
    stub_.PrepareBidiStreamingCall(&context_, method, grpc::StubOptions(), this);
    AddHold();
    ops_.Prefetch();
    StartCall();
  }
  ~GrpcClientStream() override {
    Cancel();
    Finish().IgnoreError();
  }

  absl::StatusOr<std::optional<Frame>> Read() override { return ops_.Read(); }
  absl::Status Write(Frame frame) override { return ops_.Write(std::move(frame)); }

  absl::Status WritesDone() override {
    if (absl::Status idle = ops_.DrainWrites(); !idle.ok()) return idle;
    StartWritesDone();
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    if (!finished_) {
      finished_ = true;
      // Reads that nobody wants would keep the call from ending.
      while (true) {
        auto frame = ops_.Read();
        if (!frame.ok() || !frame->has_value()) break;
      }
      ops_.DrainWrites().IgnoreError();
      RemoveHold();
    }
    std::unique_lock lock(mutex_);
    done_changed_.wait(lock, [&] { return done_; });
    return status_;
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override { ops_.OnReadDone(ok); }
  void OnWriteDone(bool ok) override { ops_.OnWriteDone(ok); }
  void OnDone(const grpc::Status& status) override {
    const std::lock_guard lock(mutex_);
    status_ = FromGrpcStatus(status);
    done_ = true;
    done_changed_.notify_all();
  }

  grpc::ClientContext context_;
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub_;
  BlockingOps ops_;
  std::mutex mutex_;
  std::condition_variable done_changed_;
  bool finished_ = false;
  bool done_ = false;
  absl::Status status_;
};

}  // namespace

std::unique_ptr<ClientFrameStream> StartClientCall(
    std::shared_ptr<grpc::Channel> channel, const std::string& method,
    const std::function<void(grpc::ClientContext*)>& configure) {
  return std::make_unique<GrpcClientStream>(std::move(channel), method, configure);
}

}  // namespace ballast

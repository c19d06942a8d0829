#include "tests/support/in_process_call.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "proto/wire.h"

namespace ballast {
namespace {

// Frames that may wait in one direction, as a transport's buffers would hold.
constexpr size_t kQueuedFrames = 4;

// One direction of a call.
class Pipe {
 public:
  absl::Status Write(Frame frame) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return frames_.size() < kQueuedFrames || broken_; });
    if (broken_) return absl::CancelledError("the call is over");
    frames_.push_back(std::move(frame));
    changed_.notify_all();
    return absl::OkStatus();
  }
  absl::StatusOr<std::optional<Frame>> Read() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !frames_.empty() || closed_ || broken_; });
    if (!frames_.empty()) {
      std::optional<Frame> frame = std::move(frames_.front());
      frames_.pop_front();
      changed_.notify_all();
      return frame;
    }
    if (closed_) return std::nullopt;
    return absl::CancelledError("the call is over");
  }
  void Close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  void Break() {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> frames_;
  bool closed_ = false;
  bool broken_ = false;
};

// Both directions.
struct Wire {
  Pipe to_server;
  Pipe to_client;
};

class ServerEnd : public FrameStream {
 public:
  explicit ServerEnd(Wire* wire) : wire_(wire) {}
  absl::StatusOr<std::optional<Frame>> Read() override { return wire_->to_server.Read(); }
  absl::Status Write(Frame frame) override { return wire_->to_client.Write(std::move(frame)); }

 private:
  Wire* wire_;  // Must outlive this.
};

class InProcessCall : public ClientFrameStream {
 public:
  InProcessCall(const MethodTable* methods, const std::string& method, const std::string& principal,
                CutHook cut)
      : method_(method), cut_(std::move(cut)), thread_([this, methods, principal] {
          ServerEnd end(&wire_);
          Call call;
          call.end = end_;
          call.method = method_;
          call.principal = principal;
          const absl::Status served = methods->at(method_).handler(&call, &end);
          status_ = wire::StatusFromWire(static_cast<int>(served.code()), wire::StatusMessage(served),
                                         wire::StatusDetails(served));
          wire_.to_client.Close();
          wire_.to_server.Break();
        }) {}
  ~InProcessCall() override {
    Cancel();
    Finish().IgnoreError();
  }
  absl::StatusOr<std::optional<Frame>> Read() override {
    absl::StatusOr<std::optional<Frame>> frame = wire_.to_client.Read();
    if (Cut()) return absl::CancelledError("the call was cut");
    return frame;
  }
  absl::Status Write(Frame frame) override {
    if (Cut()) return absl::CancelledError("the call was cut");
    return wire_.to_server.Write(std::move(frame));
  }
  absl::Status WritesDone() override {
    wire_.to_server.Close();
    return absl::OkStatus();
  }
  absl::Status Finish() override {
    while (thread_.joinable()) {
      absl::StatusOr<std::optional<Frame>> frame = wire_.to_client.Read();
      if (!frame.ok() || !frame->has_value()) thread_.join();
    }
    return cut_happened_ ? absl::UnavailableError("the connection was cut") : status_;
  }
  void Cancel() override {
    wire_.to_server.Break();
    wire_.to_client.Break();
    end_->Set();
  }

 private:
  bool Cut() {
    const std::lock_guard lock(cut_mutex_);
    if (!cut_happened_ && cut_ && cut_(method_)) {
      cut_happened_ = true;
      Cancel();
    }
    return cut_happened_;
  }

  const std::string method_;
  const CutHook cut_;
  Wire wire_;
  const std::shared_ptr<CallEnd> end_ = std::make_shared<CallEnd>();
  absl::Status status_;
  std::mutex cut_mutex_;
  bool cut_happened_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace

std::unique_ptr<ClientFrameStream> StartInProcessCall(const MethodTable* methods,
                                                      const std::string& method,
                                                      const std::string& principal, CutHook cut) {
  return std::make_unique<InProcessCall>(methods, method, principal, std::move(cut));
}

}  // namespace ballast

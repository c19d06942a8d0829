// What the two reactors (client, server) share: one read prefetched, one write
// under way, threads that wait for either, and an end that wakes them all.
#ifndef BALLAST_PROTO_BLOCKING_OPS_H_
#define BALLAST_PROTO_BLOCKING_OPS_H_

#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proto/grpc_bridge.h"

namespace ballast {

// Thread-safe. `start_read` and `start_write` issue the operation on a buffer that
// stays valid until On…Done; they are called without the lock.
class BlockingOps {
 public:
  // `idle_ms`: how long Read and Write wait for the other end before they give up
  // with DeadlineExceeded; 0: as long as the call lives.
  BlockingOps(std::function<void(grpc::ByteBuffer*)> start_read,
              std::function<void(const grpc::ByteBuffer*)> start_write, uint64_t idle_ms = 0)
      : start_read_(std::move(start_read)),
        start_write_(std::move(start_write)),
        idle_ms_(idle_ms) {}

  // The first read; later ones are issued whenever the one before has been taken.
  void Prefetch() { start_read_(&read_buffer_); }

  absl::StatusOr<std::optional<Frame>> Read() {
    std::unique_lock lock(mutex_);
    if (!Wait(&lock, [&] { return read_ready_ || read_ended_ || over_; })) {
      return IdleStatus("sent");
    }
    if (!read_ready_) {
      if (over_) return over_status_;
      return std::nullopt;
    }
    grpc::ByteBuffer buffer;
    buffer.Swap(&read_buffer_);
    read_ready_ = false;
    lock.unlock();
    start_read_(&read_buffer_);
    return Wrap(FromByteBuffer(buffer));
  }

  absl::Status Write(Frame frame) {
    grpc::ByteBuffer buffer = ToByteBuffer(std::move(frame));
    std::unique_lock lock(mutex_);
    if (absl::Status idle = WaitForWrite(&lock); !idle.ok()) return idle;
    write_buffer_.Swap(&buffer);
    writing_ = true;
    lock.unlock();
    start_write_(&write_buffer_);
    return absl::OkStatus();
  }

  // Waits for the write under way.
  absl::Status DrainWrites() {
    std::unique_lock lock(mutex_);
    return WaitForWrite(&lock);
  }

  void OnReadDone(bool ok) {
    const std::lock_guard lock(mutex_);
    (ok ? read_ready_ : read_ended_) = true;
    changed_.notify_all();
  }
  void OnWriteDone(bool ok) {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    write_failed_ |= !ok;
    write_buffer_.Clear();
    changed_.notify_all();
  }
  // The call is over: whoever waits gets `status`.
  void End(absl::Status status) {
    const std::lock_guard lock(mutex_);
    if (!over_) over_status_ = std::move(status);
    over_ = true;
    changed_.notify_all();
  }

 private:
  absl::Status WaitForWrite(std::unique_lock<std::mutex>* lock) {
    if (!Wait(lock, [&] { return !writing_ || over_; })) return IdleStatus("took");
    if (over_) return over_status_;
    if (write_failed_) return absl::CancelledError("the call was ended by the other side");
    return absl::OkStatus();
  }
  // False if the other end stayed idle.
  template <typename Condition>
  bool Wait(std::unique_lock<std::mutex>* lock, Condition condition) {
    if (idle_ms_ == 0) {
      changed_.wait(*lock, condition);
      return true;
    }
    return changed_.wait_for(*lock, std::chrono::milliseconds(idle_ms_), condition);
  }
  absl::Status IdleStatus(absl::string_view did) const {
    return absl::DeadlineExceededError(
        absl::StrCat("the other side ", did, " nothing for ", idle_ms_, " ms"));
  }
  static absl::StatusOr<std::optional<Frame>> Wrap(absl::StatusOr<Frame> frame) {
    if (!frame.ok()) return frame.status();
    return std::optional<Frame>(*std::move(frame));
  }

  const std::function<void(grpc::ByteBuffer*)> start_read_;
  const std::function<void(const grpc::ByteBuffer*)> start_write_;
  const uint64_t idle_ms_;
  std::mutex mutex_;
  std::condition_variable changed_;
  grpc::ByteBuffer read_buffer_;
  grpc::ByteBuffer write_buffer_;
  bool read_ready_ = false;
  bool read_ended_ = false;
  bool writing_ = false;
  bool write_failed_ = false;
  bool over_ = false;
  absl::Status over_status_;
};

}  // namespace ballast

#endif  // BALLAST_PROTO_BLOCKING_OPS_H_

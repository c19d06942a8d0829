// One streaming call as the operations use it: messages in and out, cancellation,
// and a limit on how long nothing may move.
#ifndef BALLAST_CLIENT_CALL_H_
#define BALLAST_CLIENT_CALL_H_

#include <ballast/cancel.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/frame.h"
#include "proto/frame_stream.h"

namespace ballast {

// Cancels calls that wait for the other end longer than the limit. Thread-safe.
class IdleWatch {
 public:
  struct Watched {
    ClientFrameStream* stream = nullptr;
    std::atomic<int64_t> moved_ns = 0;  // when something last moved
    std::atomic<int> waiting = 0;       // threads inside the stream
    std::atomic<bool> expired = false;
  };

  explicit IdleWatch(absl::Duration limit) : limit_(limit) {}
  ~IdleWatch();
  void Add(Watched* watched);
  // After it the watch does not touch `watched` any more.
  void Remove(Watched* watched);
  absl::Duration limit() const { return limit_; }

 private:
  void Run();

  const absl::Duration limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::set<Watched*> watched_;
  std::thread thread_;  // started with the first call
};

// One thread may read while another sends. Errors of Send, SendData, WritesDone and
// Read say only that the call is over: give them to Explain.
class ClientCall {
 public:
  // `watch` must outlive this.
  ClientCall(std::unique_ptr<ClientFrameStream> stream, const std::vector<CancelToken>& tokens,
             IdleWatch* watch, std::string peer);
  ~ClientCall();

  absl::Status Send(const google::protobuf::MessageLite& message);
  absl::Status SendData(DataFrame data);
  absl::Status WritesDone();
  // nullopt: the other end has sent all.
  absl::StatusOr<std::optional<Frame>> Read();
  // As Read, parsed.
  template <typename Message>
  absl::StatusOr<std::optional<Message>> Receive();

  // The call's status: waits for its end.
  absl::Status Finish();
  // Why the call is over, given what an operation on it said. No thread may be in it.
  absl::Status Explain(const absl::Status& seen);
  // Gives the call up because of `why`, which is returned.
  absl::Status Abandon(absl::Status why);
  void Cancel() { stream_->Cancel(); }

  // Whether a Read may take as long as it likes, because the other end waits for us.
  void set_reads_wait_for_us(bool value) { reads_wait_for_us_ = value; }

 private:
  class Waiting;

  std::unique_ptr<ClientFrameStream> stream_;
  const std::vector<CancelToken> tokens_;
  IdleWatch* const watch_;  // Must outlive this.
  const std::string peer_;
  IdleWatch::Watched watched_;
  std::atomic<bool> reads_wait_for_us_ = false;
  std::vector<std::shared_ptr<const void>> registrations_;
};

// A message of the other end that is not one.
absl::Status BadAnswer(const absl::Status& why);

template <typename Message>
absl::StatusOr<std::optional<Message>> ClientCall::Receive() {
  auto frame = Read();
  if (!frame.ok()) return frame.status();
  if (!frame->has_value()) return std::nullopt;
  Message message;
  if (absl::Status s = DecodeMessage(**frame, &message); !s.ok()) return BadAnswer(s);
  return message;
}

}  // namespace ballast

#endif  // BALLAST_CLIENT_CALL_H_

#include "client/call.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

int64_t SteadyNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

IdleWatch::~IdleWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void IdleWatch::Add(Watched* watched) {
  watched->moved_ns = SteadyNanos();
  const std::lock_guard lock(mutex_);
  watched_.insert(watched);
  if (limit_ == absl::InfiniteDuration()) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_all();
}

void IdleWatch::Remove(Watched* watched) {
  const std::lock_guard lock(mutex_);
  watched_.erase(watched);
}

void IdleWatch::Run() {
  const int64_t limit_ns = absl::ToInt64Nanoseconds(limit_);
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (watched_.empty()) {
      changed_.wait(lock);
      continue;
    }
    changed_.wait_for(lock, std::chrono::nanoseconds(limit_ns / 4 + 1));
    for (Watched* watched : watched_) {
      if (watched->waiting == 0 || SteadyNanos() - watched->moved_ns < limit_ns) continue;
      watched->expired = true;
      watched->stream->Cancel();
    }
  }
}

// Counts a thread as waiting for the other end.
class ClientCall::Waiting {
 public:
  Waiting(ClientCall* call, bool counts) : call_(call), counts_(counts) {
    call_->watched_.moved_ns = SteadyNanos();
    if (counts_) ++call_->watched_.waiting;
  }
  ~Waiting() {
    if (counts_) --call_->watched_.waiting;
    call_->watched_.moved_ns = SteadyNanos();
  }

 private:
  ClientCall* call_;  // Must outlive this.
  const bool counts_;
};

ClientCall::ClientCall(std::unique_ptr<ClientFrameStream> stream,
                       const std::vector<CancelToken>& tokens, IdleWatch* watch, std::string peer)
    : stream_(std::move(stream)), tokens_(tokens), watch_(watch), peer_(std::move(peer)) {
  watched_.stream = stream_.get();
  watch_->Add(&watched_);
  for (const CancelToken& token : tokens_) {
    registrations_.push_back(token.OnCancel([this] { stream_->Cancel(); }));
  }
}

ClientCall::~ClientCall() {
  registrations_.clear();
  watch_->Remove(&watched_);
}

absl::Status ClientCall::Send(const google::protobuf::MessageLite& message) {
  const Waiting waiting(this, true);
  return stream_->Write(EncodeMessage(message));
}

absl::Status ClientCall::SendData(DataFrame data) {
  const Waiting waiting(this, true);
  return stream_->Write(EncodeData(std::move(data)));
}

absl::Status ClientCall::WritesDone() {
  const Waiting waiting(this, true);
  return stream_->WritesDone();
}

absl::StatusOr<std::optional<Frame>> ClientCall::Read() {
  const Waiting waiting(this, !reads_wait_for_us_);
  return stream_->Read();
}

absl::Status ClientCall::Finish() {
  const Waiting waiting(this, true);
  const absl::Status status = stream_->Finish();
  if (status.ok()) return status;
  for (const CancelToken& token : tokens_) {
    if (token.cancelled()) return absl::CancelledError("cancelled");
  }
  if (watched_.expired) {
    return absl::UnavailableError(absl::StrCat(
        peer_, ": nothing moved for ", absl::FormatDuration(watch_->limit()), ", giving up"));
  }
  if (status.code() == absl::StatusCode::kUnavailable) return WithContext(status, peer_);
  return status;
}

absl::Status ClientCall::Explain(const absl::Status& seen) {
  if (seen.code() != absl::StatusCode::kCancelled) return Abandon(seen);
  const absl::Status status = Finish();
  if (!status.ok()) return status;
  return absl::UnavailableError(absl::StrCat(peer_, ": the call ended too early"));
}

absl::Status ClientCall::Abandon(absl::Status why) {
  stream_->Cancel();
  return why;
}

absl::Status BadAnswer(const absl::Status& why) {
  return absl::InternalError(absl::StrCat("the server's answer: ", why.message()));
}

}  // namespace ballast

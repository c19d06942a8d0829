#include "client/connection.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/synchronization/notification.h"
#include "ballast/v1/registry.pb.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr absl::Duration kLongestBackOff = absl::Seconds(5);
constexpr absl::Duration kRetryFor = absl::Seconds(30);
// Attempts in a row that move payload and get no further.
constexpr int kFruitlessMax = 10;

// True if the time has passed, false if it was cut short.
bool SleepUnlessCancelled(absl::Duration duration, const CancelToken& a, const CancelToken& b) {
  absl::Notification cancelled;
  std::mutex once;
  bool notified = false;
  const auto notify = [&] {
    const std::lock_guard lock(once);
    if (!notified) cancelled.Notify();
    notified = true;
  };
  const auto first = a.OnCancel(notify);
  const auto second = b.OnCancel(notify);
  return !cancelled.WaitForNotificationWithTimeout(duration);
}

}  // namespace

Connection::Connection(std::unique_ptr<Transport> transport, ClientOptions options)
    : transport_(std::move(transport)),
      options_(std::move(options)),
      idle_watch_(options_.idle_timeout) {}

absl::Status Connection::Unary(absl::string_view method,
                               const google::protobuf::MessageLite& request,
                               google::protobuf::MessageLite* response) {
  const absl::Time deadline = absl::Now() + options_.control_timeout;
  for (int attempt = 0;; ++attempt) {
    const absl::Status status =
        transport_->Unary(method, request, response, deadline, options_.cancel);
    if (Retry(attempt, status, options_.cancel, deadline)) continue;
    if (status.code() != absl::StatusCode::kUnavailable) return status;
    return WithContext(status, transport_->peer());
  }
}

absl::Status Connection::Reach() {
  v1::GetCapabilitiesResponse response;
  return Unary("GetCapabilities", v1::GetCapabilitiesRequest(), &response);
}

std::unique_ptr<ClientCall> Connection::Open(absl::string_view method, const CancelToken& cancel,
                                             absl::Time deadline) {
  return std::make_unique<ClientCall>(transport_->Open(method, deadline),
                                      std::vector<CancelToken>{options_.cancel, cancel},
                                      &idle_watch_, transport_->peer());
}

std::unique_ptr<ClientCall> Connection::OpenControl(absl::string_view method) {
  return Open(method, options_.cancel, absl::Now() + options_.control_timeout);
}

bool Connection::Retry(int attempt, const absl::Status& status, const CancelToken& cancel,
                       absl::Time deadline) {
  if (status.code() != absl::StatusCode::kUnavailable || attempt >= options_.retries) return false;
  return BackOff(attempt + 1, absl::InfiniteDuration(), cancel, deadline);
}

bool Connection::BackOff(int attempt, absl::Duration most, const CancelToken& cancel,
                         absl::Time deadline) {
  absl::BitGen random;
  const double spread = absl::Uniform(random, 0.75, 1.25);
  const absl::Duration doubled = options_.back_off * (1 << std::min(attempt - 1, 10));
  const absl::Duration wait = std::min(std::min(doubled, kLongestBackOff) * spread, most);
  if (absl::Now() + wait >= deadline) return false;
  return SleepUnlessCancelled(wait, cancel, options_.cancel);
}

void Patience::Moved(bool further) {
  since_ = absl::Now();
  if (further) {
    attempt_ = fruitless_ = 0;
  } else {
    ++fruitless_;
  }
}

bool Patience::TryAgain(const absl::Status& status) {
  if (!absl::IsUnavailable(status) || fruitless_ >= kFruitlessMax) return false;
  const std::optional<absl::Duration> asked = operation_->retry_for();
  absl::Duration left = absl::InfiniteDuration();
  if (answered_ || asked.has_value()) {
    left = asked.value_or(kRetryFor) - (absl::Now() - since_);
    if (left <= absl::ZeroDuration()) return false;
  } else if (attempt_ >= connection_->options().retries) {
    return false;
  }
  ++retries_;
  return connection_->BackOff(++attempt_, left, operation_->cancel(), operation_->deadline());
}

absl::Status Operation::Report(Progress::Phase phase, uint64_t done_bytes, uint64_t total_bytes) {
  if (control_.cancel.cancelled() || of_client_.cancelled()) {
    return absl::CancelledError("cancelled");
  }
  if (deadline_ != absl::InfiniteFuture() && absl::Now() > deadline_) {
    return absl::DeadlineExceededError("the time limit of the operation has passed");
  }
  if (!control_.progress) return absl::OkStatus();
  const std::lock_guard lock(mutex_);
  if (control_.progress(Progress{phase, done_bytes, total_bytes})) return absl::OkStatus();
  return absl::CancelledError("cancelled");
}

}  // namespace ballast

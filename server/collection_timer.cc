#include "server/collection_timer.h"

#include <utility>

namespace ballast {

CollectionTimer::CollectionTimer(Collector* collector, std::chrono::milliseconds interval,
                                 Observer observer)
    : collector_(collector), observer_(std::move(observer)) {
  if (interval.count() > 0) thread_ = std::thread([this, interval] { Run(interval); });
}

CollectionTimer::~CollectionTimer() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool CollectionTimer::stopping() {
  const std::lock_guard lock(mutex_);
  return stop_;
}

void CollectionTimer::Run(std::chrono::milliseconds interval) {
  CollectOptions options;
  options.progress = [this](const CollectProgress&) {
    return stopping() ? absl::CancelledError("gc: the server is stopping") : absl::OkStatus();
  };
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval, [this] { return stop_; })) {
    lock.unlock();
    observer_(collector_->Collect(options));
    lock.lock();
  }
}

}  // namespace ballast

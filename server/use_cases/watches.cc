#include "server/use_cases/watches.h"

namespace ballast {

Watches::Sleeper::Sleeper(Watches* watches) : watches_(watches) {
  const std::lock_guard lock(watches_->mutex_);
  watches_->sleepers_.insert(this);
  woken_ = watches_->closed_;
}

Watches::Sleeper::~Sleeper() {
  const std::lock_guard lock(watches_->mutex_);
  watches_->sleepers_.erase(this);
}

void Watches::Sleeper::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

bool Watches::Sleeper::Sleep(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  const bool woken = changed_.wait_for(lock, longest, [this] { return woken_; });
  woken_ = false;
  return woken;
}

void Watches::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (Sleeper* sleeper : sleepers_) sleeper->Wake();
}

absl::Status Watches::Check() const {
  const std::lock_guard lock(mutex_);
  if (!closed_) return absl::OkStatus();
  return absl::UnavailableError("watch: the server is stopping");
}

}  // namespace ballast

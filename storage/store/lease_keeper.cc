#include "storage/store/lease_keeper.h"

#include <utility>
#include <vector>

#include "storage/store/model_record.h"

namespace ballast {

LeaseKeeper::Lease::~Lease() {
  std::unique_lock<std::mutex> lock(keeper_->mutex_);
  keeper_->leases_.erase(this);
  keeper_->changed_.wait(lock, [this] { return !running_; });
}

LeaseKeeper::~LeaseKeeper() {
  watch_.reset();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::unique_ptr<LeaseKeeper::Lease> LeaseKeeper::Keep(std::function<void()> renew) {
  auto lease = std::make_unique<Lease>(this, std::move(renew));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    leases_.insert(lease.get());
  }
  std::call_once(started_, [this] { Start(); });
  return lease;
}

void LeaseKeeper::Start() {
  auto watch = records_->Watch(kGcRecord, [this] { Wake(); });
  if (watch.ok()) watch_ = *std::move(watch);
  thread_ = std::thread([this] { Run(); });
}

void LeaseKeeper::Wake() {
  ++round_;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

void LeaseKeeper::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    const bool told = changed_.wait_for(lock, absl::ToChronoNanoseconds(period_),
                                        [this] { return stop_ || woken_; });
    if (stop_) return;
    if (!told) ++round_;
    woken_ = false;
    RenewAll(&lock);
  }
}

void LeaseKeeper::RenewAll(std::unique_lock<std::mutex>* lock) {
  const std::vector<Lease*> all(leases_.begin(), leases_.end());
  for (Lease* lease : all) {
    if (stop_) return;
    if (leases_.count(lease) == 0) continue;  // gone meanwhile
    lease->running_ = true;
    lock->unlock();
    lease->renew_();
    lock->lock();
    lease->running_ = false;
    changed_.notify_all();
  }
}

}  // namespace ballast

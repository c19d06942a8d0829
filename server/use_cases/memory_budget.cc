#include "server/use_cases/memory_budget.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ballast {

absl::Status MemoryBudget::Share::Grow(uint64_t bytes) {
  bytes = std::min(bytes, budget_->bytes_);
  if (bytes <= std::max(held_, kUncountedBytes)) return absl::OkStatus();
  // Doubled, so that what grows piece by piece asks a few times only.
  const uint64_t want = std::min(std::max(bytes, 2 * held_), budget_->bytes_);
  absl::Status taken = budget_->Take(want - held_, held_);
  if (taken.ok()) held_ = want;
  return taken;
}

// Whether it is the next one to be served, and there is room for it.
bool MemoryBudget::Fits(const Waiter& waiter) const {
  auto next = std::find_if(waiters_.begin(), waiters_.end(), Holds);
  if (next == waiters_.end()) next = waiters_.begin();
  return &waiter == &*next && waiter.bytes <= bytes_ - used_;
}

// Whether all that hold something wait for each other, and it is the last of them.
bool MemoryBudget::MustYield(const Waiter& waiter) const {
  const auto last = std::find_if(waiters_.rbegin(), waiters_.rend(), Holds);
  if (last == waiters_.rend() || &*last != &waiter) return false;
  const auto waiting = std::count_if(waiters_.begin(), waiters_.end(), Holds);
  const auto first = std::find_if(waiters_.begin(), waiters_.end(), Holds);
  return static_cast<size_t>(waiting) == holders_ && !Fits(*first);
}

absl::Status MemoryBudget::Take(uint64_t bytes, uint64_t held) {
  std::unique_lock lock(mutex_);
  const auto self = waiters_.insert(waiters_.end(), Waiter{bytes, held > 0});
  changed_.wait_for(lock, wait_, [&] { return closed_ || Fits(*self) || MustYield(*self); });
  const bool taken = Fits(*self);
  waiters_.erase(self);
  changed_.notify_all();
  if (!taken) {
    return absl::UnavailableError(absl::StrCat(
        "the server is busy: other calls hold ", used_ - held, " bytes of manifests, want ", bytes,
        " more of ", bytes_, " (", limit_name_, "); try again"));
  }
  used_ += bytes;
  if (held == 0) ++holders_;
  return absl::OkStatus();
}

void MemoryBudget::Release(uint64_t bytes) {
  if (bytes == 0) return;
  const std::lock_guard lock(mutex_);
  used_ -= bytes;
  --holders_;
  changed_.notify_all();
}

void MemoryBudget::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

uint64_t ManifestMemory(uint64_t entries, uint64_t encoded_bytes) {
  constexpr uint64_t kPerEntry = 600;
  constexpr uint64_t kPerEncodedByte = 8;
  return entries * kPerEntry + encoded_bytes * kPerEncodedByte;
}

}  // namespace ballast

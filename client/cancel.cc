#include <ballast/cancel.h>

#include <atomic>
#include <map>
#include <mutex>
#include <utility>

namespace ballast {

struct CancelToken::State {
  std::atomic<bool> cancelled = false;
  std::mutex mutex;  // held while a callback runs, so that removal waits for it
  std::map<uint64_t, std::function<void()>> callbacks;
  uint64_t next_id = 0;
};

CancelToken::CancelToken() : state_(std::make_shared<State>()) {}

bool CancelToken::cancelled() const { return state_->cancelled.load(std::memory_order_relaxed); }

void CancelToken::Cancel() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->cancelled.exchange(true)) return;
  for (const auto& [id, fn] : state_->callbacks) fn();
}

std::shared_ptr<const void> CancelToken::OnCancel(std::function<void()> fn) const {
  const std::lock_guard lock(state_->mutex);
  if (state_->cancelled) fn();
  const uint64_t id = state_->next_id++;
  state_->callbacks.emplace(id, std::move(fn));
  return std::shared_ptr<const void>(state_.get(), [state = state_, id](const void*) {
    const std::lock_guard lock(state->mutex);
    state->callbacks.erase(id);
  });
}

}  // namespace ballast

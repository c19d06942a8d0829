#include "server/use_cases/ongoing_pushes.h"

namespace ballast {

OngoingPushes::Turn::~Turn() {
  {
    const std::lock_guard lock(entry_->mutex);
    entry_->leave = nullptr;
  }
  pushes_->Remove(request_, entry_.get());
}

std::unique_ptr<OngoingPushes::Turn> OngoingPushes::Enter(const std::string& request,
                                                          std::function<void()> leave) {
  const auto entry = std::make_shared<Entry>();
  entry->leave = std::move(leave);
  std::shared_ptr<Entry> before;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(by_request_[request], entry);
  }
  if (before != nullptr) {
    const std::lock_guard lock(before->mutex);
    if (before->leave) std::exchange(before->leave, nullptr)();
  }
  return std::make_unique<Turn>(this, request, entry);
}

// A later push may stand there.
void OngoingPushes::Remove(const std::string& request, const Entry* entry) {
  const std::lock_guard lock(mutex_);
  const auto it = by_request_.find(request);
  if (it != by_request_.end() && it->second.get() == entry) by_request_.erase(it);
}

}  // namespace ballast

// The end of a call that comes from outside (the client is gone, or cancels), for a
// handler that waits for something else than its stream.
#ifndef BALLAST_SERVER_CALL_END_H_
#define BALLAST_SERVER_CALL_END_H_

#include <functional>
#include <mutex>
#include <utility>

namespace ballast {

// Thread-safe.
class CallEnd {
 public:
  // Said by the transport; once more does nothing.
  void Set() {
    const std::lock_guard lock(mutex_);
    if (happened_) return;
    happened_ = true;
    if (listener_) listener_();
  }
  bool happened() const {
    const std::lock_guard lock(mutex_);
    return happened_;
  }
  // Calls `listener` when the call ends, at once if it has; null: nobody any more, and a
  // running listener has returned. It must not block and must not call this object.
  void Listen(std::function<void()> listener) {
    const std::lock_guard lock(mutex_);
    listener_ = std::move(listener);
    if (happened_ && listener_) listener_();
  }

 private:
  mutable std::mutex mutex_;
  bool happened_ = false;
  std::function<void()> listener_;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_CALL_END_H_

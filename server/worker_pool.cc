#include "server/worker_pool.h"

#include <utility>

namespace ballast {

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool WorkerPool::Submit(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (queue_.size() >= idle_ && threads_.size() < threads_max_) {
    threads_.emplace_back([this] { Run(); });
    ++idle_;
  }
  if (queue_.size() >= idle_ + queue_max_) return false;
  queue_.push_back(std::move(work));
  changed_.notify_one();
  return true;
}

PoolLoad WorkerPool::load() const {
  const std::lock_guard lock(mutex_);
  // A call that a thread is just being woken for counts as queued.
  return {threads_.size() - idle_, queue_.size(), threads_max_, queue_max_};
}

void WorkerPool::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    --idle_;
    lock.unlock();
    work();
    lock.lock();
    ++idle_;
  }
}

}  // namespace ballast

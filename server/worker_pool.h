// Threads for calls. They are started as they are needed, up to a bound; beyond it
// calls wait in a queue, which is bounded too.
#ifndef BALLAST_SERVER_WORKER_POOL_H_
#define BALLAST_SERVER_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ballast {

struct PoolLoad {
  uint64_t busy = 0;    // threads that work
  uint64_t queued = 0;  // calls that wait for one
  uint64_t threads_max = 0;
  uint64_t queue_max = 0;
};

// Thread-safe.
class WorkerPool {
 public:
  WorkerPool(size_t threads_max, size_t queue_max)
      : threads_max_(threads_max), queue_max_(queue_max) {}
  // Waits for everything that was submitted.
  ~WorkerPool();

  // Runs `work` on a thread soon; false if the queue is full.
  bool Submit(std::function<void()> work);
  PoolLoad load() const;

 private:
  void Run();

  const size_t threads_max_;
  const size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_WORKER_POOL_H_

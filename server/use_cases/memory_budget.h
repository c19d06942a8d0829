// Memory that all calls share: a call waits until there is room for what it is about to
// hold, so that many large calls at once queue up instead of adding up.
#ifndef BALLAST_SERVER_USE_CASES_MEMORY_BUDGET_H_
#define BALLAST_SERVER_USE_CASES_MEMORY_BUDGET_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "storage/model/manifest.h"

namespace ballast {

// Thread-safe. Shares are served in the order in which they asked, those that hold
// something already before those that don't.
class MemoryBudget {
 public:
  // What is small is not counted and never waits: the number of calls bounds it.
  static constexpr uint64_t kUncountedBytes = 1u << 20;

  // `limit_name` is named in errors.
  MemoryBudget(uint64_t bytes, std::chrono::milliseconds wait, const char* limit_name)
      : bytes_(bytes), wait_(wait), limit_name_(limit_name) {}

  // What one call holds; given back at the end. Not thread-safe. The budget must outlive it.
  class Share {
   public:
    explicit Share(MemoryBudget* budget) : budget_(budget) {}
    ~Share() { budget_->Release(held_); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // Makes it at least so much, waiting for others to end; more than the whole budget is
    // had by being alone.
    // Errors: Unavailable  not within the wait, or every share that holds something waits
    //         for more, and this one is the last; or the budget was closed.
    absl::Status Grow(uint64_t bytes);

   private:
    MemoryBudget* budget_;  // Must outlive this.
    uint64_t held_ = 0;
  };

  // Nobody waits any more, now and later: the server stops.
  void Close();

 private:
  struct Waiter {
    uint64_t bytes = 0;
    bool holds = false;  // its share holds something already
  };
  static bool Holds(const Waiter& waiter) { return waiter.holds; }

  absl::Status Take(uint64_t bytes, uint64_t held);
  void Release(uint64_t bytes);
  bool Fits(const Waiter& waiter) const;
  bool MustYield(const Waiter& waiter) const;

  const uint64_t bytes_;
  const std::chrono::milliseconds wait_;
  const char* const limit_name_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t used_ = 0;
  size_t holders_ = 0;  // shares that hold something
  std::list<Waiter> waiters_;
  bool closed_ = false;
};

// Estimates, on the safe side, of what a manifest costs beside its encoded size: maps of
// blocks while it is pushed, the layout while it is pulled.
uint64_t ManifestMemory(uint64_t entries, uint64_t encoded_bytes);

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_MEMORY_BUDGET_H_

// Watches: they sleep until there is news, some time has passed, or the server stops.
#ifndef BALLAST_SERVER_USE_CASES_WATCHES_H_
#define BALLAST_SERVER_USE_CASES_WATCHES_H_

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>

#include "absl/status/status.h"

namespace ballast {

// All watches of a server. Thread-safe.
class Watches {
 public:
  // One of them. Wake is thread-safe. `watches` must outlive it.
  class Sleeper {
   public:
    explicit Sleeper(Watches* watches);
    ~Sleeper();
    Sleeper(const Sleeper&) = delete;
    Sleeper& operator=(const Sleeper&) = delete;

    // There may be news. One that comes while nobody sleeps is kept for the next Sleep.
    void Wake();
    // True if it was woken, false after `longest`.
    bool Sleep(std::chrono::milliseconds longest);

   private:
    Watches* const watches_;  // Must outlive this.
    std::mutex mutex_;
    std::condition_variable changed_;
    bool woken_ = false;
  };

  // Wakes all, now and those that come later at once: the server stops.
  void Close();
  // Errors: Unavailable  it was closed.
  absl::Status Check() const;

 private:
  mutable std::mutex mutex_;
  std::set<Sleeper*> sleepers_;
  bool closed_ = false;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_WATCHES_H_

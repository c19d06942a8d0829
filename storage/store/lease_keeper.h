// Keeps pushes from being taken for dead: calls each of them now and then, and at
// once when a collection has raised the epoch, so that it takes the epoch over.
#ifndef BALLAST_STORAGE_STORE_LEASE_KEEPER_H_
#define BALLAST_STORAGE_STORE_LEASE_KEEPER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "storage/store/record_store.h"

namespace ballast {

// Thread-safe. Has a thread from the first Keep on.
class LeaseKeeper {
 public:
  // Ends the calls; its destructor waits for a running one.
  class Lease {
   public:
    Lease(LeaseKeeper* keeper, std::function<void()> renew)
        : keeper_(keeper), renew_(std::move(renew)) {}
    ~Lease();

   private:
    friend class LeaseKeeper;
    LeaseKeeper* const keeper_;  // Must outlive this.
    const std::function<void()> renew_;
    bool running_ = false;  // guarded by the keeper's mutex
  };

  // `records` must outlive the keeper. A notification may be lost, so everybody is
  // called every `period` as well.
  LeaseKeeper(RecordStore* records, absl::Duration period) : records_(records), period_(period) {}
  ~LeaseKeeper();

  // `renew` is called from the keeper's thread.
  std::unique_ptr<Lease> Keep(std::function<void()> renew);

  // Grows with every reason to renew, before anybody is called: whoever is busy
  // compares it with what it saw last.
  uint64_t round() const { return round_; }

 private:
  void Start();
  void Wake();
  void Run();
  void RenewAll(std::unique_lock<std::mutex>* lock);

  RecordStore* const records_;  // Must outlive this.
  const absl::Duration period_;
  std::atomic<uint64_t> round_ = 1;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  bool woken_ = false;
  std::set<Lease*> leases_;
  std::once_flag started_;
  std::thread thread_;
  std::unique_ptr<RecordWatch> watch_;  // null if the store gave none: the period has to do
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_LEASE_KEEPER_H_

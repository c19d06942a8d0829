// Collects garbage again and again, without being asked.
#ifndef BALLAST_SERVER_COLLECTION_TIMER_H_
#define BALLAST_SERVER_COLLECTION_TIMER_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "storage/store/collector.h"

namespace ballast {

class CollectionTimer {
 public:
  // Told what became of each collection, on the timer's thread.
  using Observer = std::function<void(const absl::StatusOr<Collection>& collection)>;

  // The first collection begins `interval` after this, the next as long after its end.
  // 0: none ever. `collector` must outlive this.
  CollectionTimer(Collector* collector, std::chrono::milliseconds interval, Observer observer);
  // Stops; a running collection ends at its next step.
  ~CollectionTimer();

 private:
  void Run(std::chrono::milliseconds interval);
  bool stopping();

  Collector* const collector_;  // Must outlive this.
  const Observer observer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_COLLECTION_TIMER_H_

// The threads that serve calls: streams of data have theirs, so that a full house of
// them does not slow down a lookup; so have watches, which sleep in them for days.
#ifndef BALLAST_SERVER_CALL_THREADS_H_
#define BALLAST_SERVER_CALL_THREADS_H_

#include "server/worker_pool.h"
#include "storage/base/limits.h"

namespace ballast {

struct CallThreads {
  // Control calls touch small records only; a few threads keep them quick.
  static constexpr size_t kControlThreads = 8;
  static constexpr size_t kControlQueue = 4096;

  explicit CallThreads(const Limits& limits)
      : control(kControlThreads, kControlQueue),
        data(limits.streams_max, limits.stream_queue_max),
        watch(limits.watches_max, /*queue_max=*/0) {}
  WorkerPool control;
  WorkerPool data;
  WorkerPool watch;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_CALL_THREADS_H_

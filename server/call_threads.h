// The threads that serve calls: streams of data have theirs, so that a full house of
// them does not slow down a lookup.
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
        data(limits.streams_max, limits.stream_queue_max) {}
  WorkerPool control;
  WorkerPool data;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_CALL_THREADS_H_

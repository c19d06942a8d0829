// What Prometheus is told. Counters and histograms of calls are kept as calls go; what
// can be looked up (the store, the process, queues) is looked up when somebody asks.
// Nothing is done per byte, and labels have few values: never a model, a principal or
// a name that a caller made up.
//
//   ballast_calls_total{method,code}           calls that ended
//   ballast_call_duration_seconds{class}       how long they took (histogram)
//   ballast_open_calls{class}                  calls that are running or waiting
//   ballast_received_bytes_total{class}        messages that came, without HTTP/2 and TLS
//   ballast_sent_bytes_total{class}            messages that went
//   ballast_pushes_refused_total{reason}       pushes that were the caller's fault, or did not fit
//   ballast_push_blocks_total{result}          blocks of committed pushes: stored, known
//   ballast_threads_busy{pool}, _threads_max   threads that serve calls: control, data, watch
//   ballast_queued_calls{pool}, _queue_max     calls that wait for one of them
//   ballast_store_…                            StoreUsage
//   ballast_ready                              1 if /readyz says yes
//   ballast_build_info{version}                1
//   process_…                                  as Prometheus' own libraries name them
//
// `class` is the method in small letters for calls that run on the data threads (push,
// pull, convert, inspect, validate, collectgarbage …), and control for all others.
#ifndef BALLAST_SERVER_METRICS_H_
#define BALLAST_SERVER_METRICS_H_

#include <memory>
#include <string>

#include "server/call_observer.h"
#include "server/call_threads.h"
#include "server/handlers/handlers.h"
#include "server/readiness.h"
#include "storage/store/store_monitor.h"

namespace ballast {

// Thread-safe.
class Metrics : public CallObserver {
 public:
  // All must outlive the metrics.
  struct Sources {
    const MethodTable* methods = nullptr;
    StoreMonitor* store = nullptr;
    const CallThreads* threads = nullptr;
    const Readiness* readiness = nullptr;
    std::string version;
  };
  static std::unique_ptr<Metrics> Create(const Sources& sources);

  // Everything, in Prometheus' text format 0.0.4. A store that does not answer is left out.
  virtual std::string Text() const = 0;
};

inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace ballast

#endif  // BALLAST_SERVER_METRICS_H_

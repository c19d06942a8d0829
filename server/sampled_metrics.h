// The metrics that are looked up when they are asked for: store, threads, process.
#ifndef BALLAST_SERVER_SAMPLED_METRICS_H_
#define BALLAST_SERVER_SAMPLED_METRICS_H_

#include <prometheus/metric_family.h>

#include <vector>

#include "server/metrics.h"

namespace ballast {

// Thread-safe.
class SampledMetrics {
 public:
  explicit SampledMetrics(const Metrics::Sources& sources) : sources_(sources) {}
  std::vector<prometheus::MetricFamily> Collect() const;

 private:
  const Metrics::Sources sources_;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_SAMPLED_METRICS_H_

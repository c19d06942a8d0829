#include "server/sampled_metrics.h"

#include <string>
#include <utility>

#include "server/process_stats.h"

namespace ballast {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Gathers families; a value is one sample of the family that was begun last.
class Families {
 public:
  void Begin(const char* name, MetricType type, const char* help) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    families_.push_back(std::move(family));
  }
  void Value(double value, std::vector<ClientMetric::Label> labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    metric.counter.value = value;
    families_.back().metric.push_back(std::move(metric));
  }
  void Gauge(const char* name, const char* help, double value) {
    Begin(name, MetricType::Gauge, help);
    Value(value);
  }
  void Counter(const char* name, const char* help, double value) {
    Begin(name, MetricType::Counter, help);
    Value(value);
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

double Double(uint64_t value) { return static_cast<double>(value); }

void AddThreads(const CallThreads& threads, Families* out) {
  const PoolLoad control = threads.control.load();
  const PoolLoad data = threads.data.load();
  const PoolLoad watch = threads.watch.load();
  const auto each = [&](const char* name, const char* help, uint64_t PoolLoad::*field) {
    out->Begin(name, MetricType::Gauge, help);
    out->Value(Double(control.*field), {{"pool", "control"}});
    out->Value(Double(data.*field), {{"pool", "data"}});
    out->Value(Double(watch.*field), {{"pool", "watch"}});
  };
  each("ballast_threads_busy", "Threads that serve a call.", &PoolLoad::busy);
  each("ballast_threads_max", "Most threads that serve calls.", &PoolLoad::threads_max);
  each("ballast_queued_calls", "Calls that wait for a thread.", &PoolLoad::queued);
  each("ballast_queue_max", "Calls that may wait before others are refused.", &PoolLoad::queue_max);
}

void AddStore(StoreMonitor* store, Families* out) {
  const absl::StatusOr<StoreUsage> usage = store->Usage();
  if (!usage.ok()) return;
  const auto gauge = [&](const char* name, const char* help, uint64_t value) {
    out->Gauge(name, help, Double(value));
  };
  gauge("ballast_store_blocks", "Blocks in the store, each once.", usage->blocks.blocks);
  gauge("ballast_store_block_bytes", "Their bytes.", usage->blocks.bytes);
  gauge("ballast_store_dead_bytes", "Bytes of removed blocks that still take disk.",
        usage->dead_bytes);
  gauge("ballast_store_files_bytes", "Size of the store's data files.", usage->files_bytes);
  gauge("ballast_store_disk_bytes", "Size of the store's file system.", usage->disk_bytes);
  gauge("ballast_store_disk_free_bytes", "Free bytes of it.", usage->disk_free_bytes);
  gauge("ballast_store_cache_bytes", "Memory of blocks that were read lately.", usage->cache_bytes);
  gauge("ballast_store_cache_pinned_bytes", "Of it, held by calls.", usage->cache_pinned_bytes);
  gauge("ballast_store_buffer_bytes", "Memory of records and small blocks not yet in files.",
        usage->buffer_bytes);
  gauge("ballast_store_backlog_bytes", "Bytes that wait to be reorganised.", usage->backlog_bytes);
  out->Counter("ballast_store_background_errors_total", "Failed writes of the store's own threads.",
               Double(usage->background_errors));
}

void AddProcess(Families* out) {
  const ProcessStats stats = ReadProcessStats();
  out->Counter("process_cpu_seconds_total", "User and system CPU time.", stats.cpu_seconds);
  out->Gauge("process_resident_memory_bytes", "Resident memory.", Double(stats.resident_bytes));
  out->Gauge("process_virtual_memory_bytes", "Virtual memory.", Double(stats.virtual_bytes));
  out->Gauge("process_open_fds", "Open file descriptors.", Double(stats.open_fds));
  out->Gauge("process_max_fds", "Most open file descriptors.", Double(stats.max_fds));
  out->Gauge("process_threads", "Threads.", Double(stats.threads));
  out->Gauge("process_start_time_seconds", "Start, as Unix time.", stats.start_time_seconds);
}

}  // namespace

std::vector<MetricFamily> SampledMetrics::Collect() const {
  Families out;
  AddThreads(*sources_.threads, &out);
  AddStore(sources_.store, &out);
  out.Gauge("ballast_ready", "1 if the server should get calls.",
            sources_.readiness->Check().ok() ? 1 : 0);
  out.Begin("ballast_build_info", MetricType::Gauge, "The server's version.");
  out.Value(1, {{"version", sources_.version}});
  AddProcess(&out);
  return out.Take();
}

}  // namespace ballast

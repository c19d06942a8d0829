// ballastd: puts the parts together and serves until a signal says stop.
//
//   data folder ─► engine ─► catalog ─► use cases (services) ─► methods ─► gRPC

#include <malloc.h>
#include <signal.h>

#include <cstdlib>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/authorizer.h"
#include "server/call_log.h"
#include "server/collection_timer.h"
#include "server/config.h"
#include "server/grpc_frontend.h"
#include "server/grpc_log.h"
#include "server/handlers/handlers.h"
#include "server/http_endpoint.h"
#include "server/metrics.h"
#include "server/process_stats.h"
#include "server/readiness.h"
#include "server/service_manager.h"
#include "server/services.h"
#include "server/setup_check.h"
#include "server/use_cases/statistics.h"
#include "server/version.h"
#include "storage/base/status.h"
#include "storage/store/catalog.h"
#include "storage/store/collector.h"
#include "storage/store/rocksdb/engine.h"

namespace ballast {
namespace {

// Exit codes: as the command line's.
constexpr int kFailure = 1;
constexpr int kUsage = 2;
// Of an error in the log.
constexpr size_t kMessageBytesMax = 1000;

// Buffers of a megabyte are reused instead of being returned to the system and
// faulted in anew: 3 to 6 times the throughput of reading blocks. Few arenas, since each keeps
// what it once had.
void KeepBigBuffers() {
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
  mallopt(M_ARENA_MAX, 2);
}

// Debian's abseil looks for deadlocks unless it is told not to: then every lock that gRPC takes
// goes through one graph, which has one lock itself.
void LetLocksBeLocks() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

// A hangup that was ignored when the process was started (nohup) stays ignored.
bool IsIgnored(int number) {
  struct sigaction action {};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// Signals are waited for by one thread; everyone else must not see them.
sigset_t BlockStopSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (!IsIgnored(SIGHUP)) sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

std::vector<LimitUse> LimitsInUse(const CallThreads& threads) {
  const PoolLoad data = threads.data.load();
  const PoolLoad watch = threads.watch.load();
  const ProcessStats process = ReadProcessStats();
  return {{"streams_max", data.busy, data.threads_max},
          {"stream_queue_max", data.queued, data.queue_max},
          {"watches_max", watch.busy, watch.threads_max},
          {"open_files", process.open_fds, process.max_fds}};
}

// Metrics and probes over HTTP; null if they are not wanted.
absl::StatusOr<std::unique_ptr<HttpEndpoint>> StartHttp(const Config& config,
                                                        const Metrics& metrics,
                                                        const Readiness& readiness) {
  if (config.metrics_listen.empty()) return nullptr;
  return HttpEndpoint::Start(config.metrics_listen,
                             {{"/metrics",
                               [&] {
                                 return HttpPage{200, kMetricsContentType, metrics.Text()};
                               }},
                              {"/healthz", [] { return HttpPage{.body = "alive\n"}; }},
                              {"/readyz", [&] {
                                 const absl::Status ready = readiness.Check();
                                 if (ready.ok()) return HttpPage{.body = "ready\n"};
                                 return HttpPage{.status = 503,
                                                 .body = absl::StrCat(ready.message(), "\n")};
                               }}});
}

// A manager that cannot be told is no reason not to serve.
void TellServiceManager(absl::string_view state, Log* log) {
  const absl::Status told = NotifyServiceManager(state);
  if (told.ok()) return;
  log->Write(LogLevel::kWarn, "service_manager", {{"message", std::string(told.message())}});
}

void LogCollection(const absl::StatusOr<Collection>& collection, Log* log) {
  if (!collection.ok()) {
    const absl::Status& status = collection.status();
    log->Write(LogLevel::kWarn, "gc",
               {{"code", LogWord{absl::StatusCodeToString(status.code())}},
                {"message", std::string(status.message().substr(0, kMessageBytesMax))}});
    return;
  }
  log->Write(LogLevel::kInfo, "gc",
             {{"freed_blocks", collection->blocks_freed},
              {"freed_bytes", collection->bytes_freed},
              {"deleted_versions", collection->versions_deleted},
              {"removed_versions", collection->versions_removed},
              {"fenced_pushes", collection->pushes_fenced},
              {"held_pushes", collection->pushes_held}});
}

absl::Status Serve(const Config& config, Log* log, const sigset_t& stop_signals) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RocksEngine> engine,
                   RocksEngine::Open({config.data_dir, config.limits}), "opening the data folder");
  ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog,
                   Catalog::Open(engine->blobs(), engine->records(), config.limits,
                                 /*clock=*/nullptr, EngineUse::kSole));
  AllowAll authorizer;
  Collector collector(catalog.get(), engine->blobs(), engine->records(), config.limits);
  MemoryBudget manifest_memory(config.limits.manifest_memory_bytes,
                               std::chrono::milliseconds(config.limits.manifest_wait_ms),
                               "manifest_memory_bytes");
  Watches watches;
  Verifier verifier(engine->blobs(), engine->records(), engine->monitor(), config.limits);
  CallThreads threads(config.limits);
  Statistics statistics(
      {catalog.get(), engine->monitor(), config.limits, [&] { return LimitsInUse(threads); }});
  const Services services{
      catalog.get(),    engine->blobs(), &authorizer, config.limits, config.data_dir + "/tmp",
      &manifest_memory, &collector,      &statistics, &watches,      &verifier};
  const MethodTable methods = MakeMethodTable(services);
  Readiness readiness(engine->monitor(), config.limits.ready_free_bytes_min);
  const std::unique_ptr<Metrics> metrics =
      Metrics::Create({&methods, engine->monitor(), &threads, &readiness, kVersion});
  CallLog call_log(log);
  ASSIGN_OR_RETURN(const std::unique_ptr<GrpcFrontend> frontend,
                   GrpcFrontend::Start({config.listen, config.tls, config.limits}, &methods,
                                       &threads, {&call_log, metrics.get()}));
  ASSIGN_OR_RETURN(const std::unique_ptr<HttpEndpoint> http,
                   StartHttp(config, *metrics, readiness));
  const CollectionTimer collections(
      &collector, config.gc_interval,
      [log](const absl::StatusOr<Collection>& collection) { LogCollection(collection, log); });
  for (const std::string& address : frontend->addresses()) {
    std::cout << "listening on " << address << std::endl;
  }
  if (http != nullptr) std::cout << "metrics on " << http->address() << std::endl;
  log->Write(LogLevel::kInfo, "started",
             {{"version", LogWord{kVersion}}, {"data_dir", config.data_dir}});
  TellServiceManager("READY=1", log);
  int signal_number = 0;
  sigwait(&stop_signals, &signal_number);
  log->Write(LogLevel::kInfo, "stopping",
             {{"signal", static_cast<uint64_t>(signal_number)},
              {"grace_ms", static_cast<uint64_t>(config.grace.count())}});
  TellServiceManager("STOPPING=1", log);
  readiness.SetStopping();
  manifest_memory.Close();
  watches.Close();
  frontend->Stop(config.grace);
  log->Write(LogLevel::kInfo, "stopped", {});
  return absl::OkStatus();
}

int CheckSetup(const Config& config) {
  std::vector<std::string> problems = SetupProblems(config);
  const absl::Status folder = RocksEngine::Check(config.data_dir);
  if (!folder.ok()) problems.push_back(absl::StrCat("--data-dir: ", folder.message()));
  for (const std::string& problem : problems) std::cerr << "ballastd: " << problem << "\n";
  if (!problems.empty()) return kUsage;
  std::cout << "config ok\n";
  return 0;
}

int Main(int argc, char** argv) {
  KeepBigBuffers();
  LetLocksBeLocks();
  // gRPC's own log would stand before the one line that a failure is.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const sigset_t stop_signals = BlockStopSignals();
  const absl::StatusOr<Invocation> invocation = ParseCommandLine(argc, argv);
  if (!invocation.ok()) {
    std::cerr << "ballastd: " << invocation.status().message() << "\n";
    return kUsage;
  }
  if (!invocation->print.empty()) {
    std::cout << invocation->print;
    return 0;
  }
  const Config& config = invocation->config;
  if (invocation->check) return CheckSetup(config);
  // Never freed: threads of gRPC may write to it until the process is gone.
  Log* const log = Log::Open({config.log_level, config.log_format, &std::cerr}).release();
  SendGrpcLogTo(log);
  const absl::Status served = Serve(config, log, stop_signals);
  if (served.ok()) return 0;
  if (config.log_format == LogFormat::kJson) {
    log->Write(LogLevel::kError, "failed", {{"message", std::string(served.message())}});
  } else {
    std::cerr << "ballastd: " << served.message() << "\n";
  }
  return kFailure;
}

}  // namespace
}  // namespace ballast

int main(int argc, char** argv) { return ballast::Main(argc, argv); }

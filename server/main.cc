// ballastd: puts the parts together and serves until a signal says stop.
//
//   data folder ─► engine ─► catalog ─► use cases (services) ─► methods ─► gRPC

#include <malloc.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/authorizer.h"
#include "server/collection_timer.h"
#include "server/config.h"
#include "server/grpc_frontend.h"
#include "server/handlers/handlers.h"
#include "server/services.h"
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

// Buffers of a megabyte are reused instead of being returned to the system and
// faulted in anew: 3 to 6 times the throughput of reading blocks.
void KeepBigBuffers() {
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
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

void SetUpLog(const std::string& level) {
  auto log = std::make_shared<spdlog::logger>("ballastd",
                                              std::make_shared<spdlog::sinks::stderr_sink_mt>());
  log->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  log->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(log));
}

// A value of the log line: printable, in quotes.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(Printable(text), {{"\"", "\\\""}}), "\"");
}

// One line per call. What is no fault of the caller's is an error.
void LogCall(const Call& call, const absl::Status& status, std::chrono::nanoseconds took) {
  std::string line =
      absl::StrCat("call method=", Printable(call.method), " principal=", Quoted(call.principal),
                   " peer=", call.peer, " subject=", Quoted(call.subject),
                   " code=", absl::StatusCodeToString(status.code()), " in=", call.bytes_in,
                   " out=", call.bytes_out,
                   " ms=", std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
  const Reason reason = GetReason(status);
  if (reason != Reason::kNone) absl::StrAppend(&line, " reason=", ReasonName(reason));
  if (!status.ok()) absl::StrAppend(&line, " message=", Quoted(status.message().substr(0, 1000)));
  const bool ours = absl::IsInternal(status) || absl::IsDataLoss(status);
  spdlog::log(ours ? spdlog::level::err : spdlog::level::info, "{}", line);
}

void LogCollection(const absl::StatusOr<Collection>& collection) {
  if (!collection.ok()) {
    spdlog::warn("gc code={} message={}", absl::StatusCodeToString(collection.status().code()),
                 Quoted(collection.status().message().substr(0, 1000)));
    return;
  }
  spdlog::info(
      "gc freed_blocks={} freed_bytes={} deleted_versions={} removed_versions={} "
      "fenced_pushes={}",
      collection->blocks_freed, collection->bytes_freed, collection->versions_deleted,
      collection->versions_removed, collection->pushes_fenced);
}

absl::Status Serve(const Config& config, const sigset_t& stop_signals) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RocksEngine> engine,
                   RocksEngine::Open({config.data_dir, config.limits}), "opening the data folder");
  ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog,
                   Catalog::Open(engine->blobs(), engine->records(), config.limits));
  AllowAll authorizer;
  Collector collector(catalog.get(), engine->blobs(), engine->records(), config.limits);
  MemoryBudget manifest_memory(config.limits.manifest_memory_bytes,
                               std::chrono::milliseconds(config.limits.manifest_wait_ms),
                               "manifest_memory_bytes");
  const Services services{catalog.get(), engine->blobs(),          &authorizer,
                          config.limits, config.data_dir + "/tmp", &manifest_memory,
                          &collector};
  const MethodTable methods = MakeMethodTable(services);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GrpcFrontend> frontend,
      GrpcFrontend::Start({config.listen, config.tls, config.limits}, &methods, LogCall));
  const CollectionTimer collections(&collector, config.gc_interval, LogCollection);
  for (const std::string& address : frontend->addresses()) {
    std::cout << "listening on " << address << std::endl;
  }
  spdlog::info("started version={} data_dir=\"{}\"", kVersion, config.data_dir);
  int signal_number = 0;
  sigwait(&stop_signals, &signal_number);
  spdlog::info("stopping signal={} grace_ms={}", signal_number, config.grace.count());
  manifest_memory.Close();
  frontend->Stop(config.grace);
  spdlog::info("stopped");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  KeepBigBuffers();
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
  SetUpLog(invocation->config.log_level);
  const absl::Status served = Serve(invocation->config, stop_signals);
  if (served.ok()) return 0;
  std::cerr << "ballastd: " << served.message() << "\n";
  return kFailure;
}

}  // namespace
}  // namespace ballast

int main(int argc, char** argv) { return ballast::Main(argc, argv); }

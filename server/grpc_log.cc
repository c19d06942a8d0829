#include "server/grpc_log.h"

#include <grpc/support/log.h>

#include <string>

namespace ballast {
namespace {

// gRPC's log function is given no context of ours.
Log* target = nullptr;

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return LogLevel::kDebug;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_ERROR:
      break;
  }
  // Handshakes that fail and the like: the callers' matter, or the network's.
  return LogLevel::kWarn;
}

void WriteToTarget(gpr_log_func_args* args) {
  const std::string file = args->file;
  target->Write(LevelOf(args->severity), "grpc",
                {{"file", LogWord{file.substr(file.rfind('/') + 1)}},
                 {"line", static_cast<uint64_t>(args->line)},
                 {"message", std::string(args->message)}});
}

}  // namespace

void SendGrpcLogTo(Log* log) {
  target = log;
  gpr_set_log_function(&WriteToTarget);
}

}  // namespace ballast

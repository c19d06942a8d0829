#include "server/call_log.h"

#include <utility>

#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr size_t kMessageBytesMax = 1000;

LogLevel LevelOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss:
      return LogLevel::kError;
    case absl::StatusCode::kUnavailable:
      return LogLevel::kWarn;
    case absl::StatusCode::kResourceExhausted:
      return GetReason(status) == Reason::kLimit ? LogLevel::kInfo : LogLevel::kWarn;
    default:
      return LogLevel::kInfo;
  }
}

}  // namespace

void CallLog::Begun(const Call& call) {
  if (!log_->Wants(LogLevel::kDebug)) return;
  log_->Write(LogLevel::kDebug, "begin",
              {{"method", LogWord{call.method}},
               {"principal", call.principal},
               {"peer", LogWord{call.peer}}});
}

void CallLog::Ended(const Call& call, const absl::Status& status, std::chrono::nanoseconds took) {
  const LogLevel level = LevelOf(status);
  if (!log_->Wants(level)) return;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took);
  std::vector<LogField> fields = {{"method", LogWord{call.method}},
                                  {"principal", call.principal},
                                  {"peer", LogWord{call.peer}},
                                  {"subject", call.subject},
                                  {"code", LogWord{absl::StatusCodeToString(status.code())}},
                                  {"in", call.bytes_in},
                                  {"out", call.bytes_out},
                                  {"ms", static_cast<uint64_t>(ms.count())}};
  const Reason reason = GetReason(status);
  if (reason != Reason::kNone) {
    fields.push_back({"reason", LogWord{std::string(ReasonName(reason))}});
  }
  if (!status.ok()) {
    fields.push_back({"message", std::string(status.message().substr(0, kMessageBytesMax))});
  }
  log_->Write(level, "call", fields);
}

}  // namespace ballast

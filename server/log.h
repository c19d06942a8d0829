// The log: one line for each event, as text or as JSON. Whatever a caller may have
// chosen is quoted, so that no name can forge a line or a field.
//
//   2026-11-25T10:00:00.123+00:00 info call method=Push principal="anonymous" code=OK ms=12
//   {"time":"2026-11-25T10:00:00.123+00:00","level":"info","event":"call","method":"Push", …}
#ifndef BALLAST_SERVER_LOG_H_
#define BALLAST_SERVER_LOG_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace ballast {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat { kText, kJson };

// A word is our own and stands as it is; a text comes from outside.
struct LogWord {
  std::string word;
};
struct LogField {
  std::string name;
  std::variant<LogWord, std::string, uint64_t> value;
};

// Thread-safe: lines of several threads never mix.
class Log {
 public:
  struct Options {
    LogLevel level = LogLevel::kInfo;  // what is below is left out
    LogFormat format = LogFormat::kText;
    std::ostream* out = nullptr;  // Must outlive the log.
  };
  static std::unique_ptr<Log> Open(const Options& options);
  virtual ~Log() = default;

  virtual void Write(LogLevel level, absl::string_view event,
                     const std::vector<LogField>& fields) = 0;
  virtual bool Wants(LogLevel level) const = 0;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_LOG_H_

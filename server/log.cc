#include "server/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%e%z %l %v";
constexpr char kJsonPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})";

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(Printable(text), {{"\"", "\\\""}}), "\"");
}

std::string ValueText(const LogField& field) {
  if (const auto* word = std::get_if<LogWord>(&field.value)) return Printable(word->word);
  if (const auto* text = std::get_if<std::string>(&field.value)) return Quoted(*text);
  return absl::StrCat(std::get<uint64_t>(field.value));
}

Json ValueJson(const LogField& field) {
  if (const auto* word = std::get_if<LogWord>(&field.value)) return word->word;
  if (const auto* text = std::get_if<std::string>(&field.value)) return *text;
  return std::get<uint64_t>(field.value);
}

std::string Text(absl::string_view event, const std::vector<LogField>& fields) {
  std::string line(event);
  for (const LogField& field : fields) {
    absl::StrAppend(&line, " ", field.name, "=", ValueText(field));
  }
  return line;
}

// The members of the object, without its braces: the pattern has those.
std::string JsonMembers(absl::string_view event, const std::vector<LogField>& fields) {
  Json object = {{"event", std::string(event)}};
  for (const LogField& field : fields) object[field.name] = ValueJson(field);
  const std::string text = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

class LogImpl : public Log {
 public:
  explicit LogImpl(const Options& options)
      : json_(options.format == LogFormat::kJson),
        logger_("ballastd", std::make_shared<spdlog::sinks::ostream_sink_mt>(
                                *options.out, /*force_flush=*/true)) {
    logger_.set_pattern(json_ ? kJsonPattern : kTextPattern);
    logger_.set_level(SpdlogLevel(options.level));
  }

  bool Wants(LogLevel level) const override { return logger_.should_log(SpdlogLevel(level)); }

  void Write(LogLevel level, absl::string_view event,
             const std::vector<LogField>& fields) override {
    if (!Wants(level)) return;
    logger_.log(SpdlogLevel(level), "{}", json_ ? JsonMembers(event, fields) : Text(event, fields));
  }

 private:
  const bool json_;
  spdlog::logger logger_;
};

}  // namespace

std::unique_ptr<Log> Log::Open(const Options& options) {
  return std::make_unique<LogImpl>(options);
}

}  // namespace ballast

#include "server/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/version.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr int64_t kGcIntervalMsMax = int64_t{366} * 24 * 3'600'000;

// "" if it is one. CLI11 would take -1 for 2^64-1, and cut what is larger.
std::string IsWholeNumber(const std::string& text) {
  uint64_t value = 0;
  if (absl::SimpleAtoi(text, &value)) return "";
  return absl::StrCat("\"", Printable(text), "\" is not a whole number from 0 to 2^64-1");
}

template <typename T>
struct Named {
  const char* name;
  T value;
};
constexpr Named<LogLevel> kLogLevels[] = {{"debug", LogLevel::kDebug},
                                          {"info", LogLevel::kInfo},
                                          {"warn", LogLevel::kWarn},
                                          {"error", LogLevel::kError},
                                          {"off", LogLevel::kOff}};
constexpr Named<LogFormat> kLogFormats[] = {{"text", LogFormat::kText}, {"json", LogFormat::kJson}};

template <typename T, size_t n>
std::vector<std::string> NamesOf(const Named<T> (&table)[n]) {
  std::vector<std::string> names;
  for (const Named<T>& row : table) names.push_back(row.name);
  return names;
}
// `name` is in the table.
template <typename T, size_t n>
T ValueOf(const Named<T> (&table)[n], const std::string& name) {
  return std::find_if(std::begin(table), std::end(table),
                      [&](const Named<T>& row) { return row.name == name; })
      ->value;
}

// Settings that the parser fills in as text or in another unit.
struct Texts {
  int64_t grace_ms = 10'000;
  int64_t gc_interval_ms = 0;
  std::string log_level = "info";
  std::string log_format = "text";
};

void AddFlags(CLI::App* app, Invocation* out, Texts* texts) {
  Config* const config = &out->config;
  app->set_version_flag("--version", std::string("ballastd ") + kVersion);
  app->set_config("--config", "", "Read settings from this INI file");
  app->allow_config_extras(
      CLI::config_extras_mode::error);  // a misspelt limit must not be no limit
  app->add_option("--data-dir", config->data_dir, "Folder of the store; made if it is not there")
      ->required();
  app->add_option("--listen", config->listen,
                  "Address to serve on, repeatable: HOST:PORT (port 0: any) or unix:/path")
      ->default_str("127.0.0.1:7420");
  app->add_option("--tls-cert", config->tls.certificate, "Certificate chain, PEM");
  app->add_option("--tls-key", config->tls.key, "Private key, PEM");
  app->add_option("--tls-client-ca", config->tls.client_ca,
                  "Require client certificates signed by these, PEM");
  app->add_flag("--insecure", config->insecure, "Allow listeners beyond loopback without TLS");
  app->add_option("--metrics-listen", config->metrics_listen,
                  "HTTP for /metrics, /healthz and /readyz: HOST:PORT (default: none)");
  app->add_option("--log-level", texts->log_level, "debug, info, warn, error or off")
      ->check(CLI::IsMember(NamesOf(kLogLevels)));
  app->add_option("--log-format", texts->log_format, "text or json")
      ->check(CLI::IsMember(NamesOf(kLogFormats)));
  app->add_flag("--check-config", out->check,
                "Say what is wrong with the configuration and leave; nothing is changed")
      ->configurable(false);
  app->add_option("--grace-ms", texts->grace_ms, "Time for running calls when stopping")
      ->check(CLI::Range(0, 3'600'000));
  app->add_option("--gc-interval-ms", texts->gc_interval_ms,
                  "Time between collections of garbage; 0: only on request")
      ->check(CLI::Range(int64_t{0}, kGcIntervalMsMax));
  CLI::App* limits = app->add_subcommand("limits", "")->configurable()->group("");
  for (const LimitField& limit : AllLimits()) {
    limits->add_option("--" + std::string(limit.name), config->limits.*limit.field)
        ->check(IsWholeNumber);
  }
}

}  // namespace

absl::StatusOr<Invocation> ParseCommandLine(int argc, const char* const* argv) {
  Invocation out;
  Texts texts;
  CLI::App app("Ballast: a registry for model weights", "ballastd");
  AddFlags(&app, &out, &texts);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    out.print = app.help();
    return out;
  } catch (const CLI::CallForVersion& version) {
    out.print = std::string(version.what()) + "\n";
    return out;
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(error.what());
  }
  if (out.config.listen.empty()) out.config.listen.push_back("127.0.0.1:7420");
  out.config.grace = std::chrono::milliseconds(texts.grace_ms);
  out.config.gc_interval = std::chrono::milliseconds(texts.gc_interval_ms);
  out.config.log_level = ValueOf(kLogLevels, texts.log_level);
  out.config.log_format = ValueOf(kLogFormats, texts.log_format);
  const std::vector<std::string> problems = ConfigProblems(out.config);
  if (!problems.empty() && !out.check) return absl::InvalidArgumentError(problems.front());
  return out;
}

namespace {

using Problems = std::vector<std::string>;

void CheckTls(const TlsFiles& tls, Problems* problems) {
  if (tls.certificate.empty() != tls.key.empty()) {
    problems->push_back("--tls-cert and --tls-key go together");
  } else if (!tls.client_ca.empty() && tls.certificate.empty()) {
    problems->push_back("--tls-client-ca needs --tls-cert and --tls-key");
  }
}

// "" for none.
std::string BrokenListenRule(const std::string& address) {
  if (absl::StartsWith(address, "unix:") && address != "unix:") return "";
  const absl::string_view rule = address == "unix:" ? kHostPortRule : BrokenAddressRule(address);
  return absl::StrCat(rule, rule == kHostPortRule ? " or unix:/path" : "");
}

void CheckListen(const Config& config, const std::string& address, Problems* problems) {
  const std::string rule = BrokenListenRule(address);
  if (!rule.empty()) {
    problems->push_back(absl::StrCat("--listen is \"", Printable(address), "\", want ", rule));
  } else if (!IsLoopback(address) && config.tls.certificate.empty() && !config.insecure) {
    problems->push_back(absl::StrCat(
        "--listen ", address,
        " is reachable from other machines, want --tls-cert and --tls-key, or --insecure"));
  }
}

void CheckMetricsListen(const Config& config, Problems* problems) {
  const std::string& address = config.metrics_listen;
  if (address.empty()) return;
  if (!ParseHostPort(address).ok()) {
    problems->push_back(
        absl::StrCat("--metrics-listen is \"", Printable(address), "\", want HOST:PORT"));
  } else if (!IsLoopback(address) && !config.insecure) {
    problems->push_back(absl::StrCat(
        "--metrics-listen ", address,
        " is reachable from other machines and has no TLS, want a loopback address or --insecure"));
  }
}

// Limits that would leave nothing to do, or that the machinery cannot count to.
struct LimitRange {
  absl::string_view name;
  uint64_t least;
  uint64_t most;
};
constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kYearMs = uint64_t{365} * 24 * 3600 * 1000;
constexpr LimitRange kRanges[] = {
    {"entries_max", 1, kAny},
    {"streams_max", 1, 10'000},  // threads
    {"stream_idle_ms", 0, kYearMs},
    {"manifest_wait_ms", 0, kYearMs},
    {"connection_streams_max", 1, std::numeric_limits<int32_t>::max()},
    {"receive_window_bytes", 64u << 10, 1u << 30},
    {"unary_bytes_max", 1, kAny},
    {"page_entries_max", 1, kAny},
    {"block_file_bytes", kBlockBytes, kAny},
    {"tally_age_ms_max", 0, kYearMs},
    {"watches_max", 1, 10'000},  // threads
    {"watch_poll_ms", 100, kYearMs},
};

void CheckLimits(const Limits& limits, Problems* problems) {
  for (const LimitField& limit : AllLimits()) {
    const uint64_t value = limits.*limit.field;
    for (const LimitRange& range : kRanges) {
      if (range.name != limit.name || (value >= range.least && value <= range.most)) continue;
      const bool low = value < range.least;
      problems->push_back(absl::StrCat("limits.", limit.name, " is ", value, ", want at ",
                                       low ? "least " : "most ", low ? range.least : range.most));
    }
  }
}

}  // namespace

std::vector<std::string> ConfigProblems(const Config& config) {
  Problems problems;
  CheckTls(config.tls, &problems);
  for (const std::string& address : config.listen) CheckListen(config, address, &problems);
  CheckMetricsListen(config, &problems);
  CheckLimits(config.limits, &problems);
  return problems;
}

}  // namespace ballast

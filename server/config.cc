#include "server/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
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

void AddFlags(CLI::App* app, Config* config, int64_t* grace_ms, int64_t* gc_interval_ms) {
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
  app->add_option("--log-level", config->log_level, "debug, info, warn, error or off")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}));
  app->add_option("--grace-ms", *grace_ms, "Time for running calls when stopping")
      ->check(CLI::Range(0, 3'600'000));
  app->add_option("--gc-interval-ms", *gc_interval_ms,
                  "Time between collections of garbage; 0: only on request")
      ->check(CLI::Range(int64_t{0}, kGcIntervalMsMax));
  CLI::App* limits = app->add_subcommand("limits", "")->configurable()->group("");
  for (const LimitField& limit : AllLimits()) {
    limits->add_option("--" + std::string(limit.name), config->limits.*limit.field)
        ->check(IsWholeNumber);
  }
}

// gRPC would take a port modulo 2^16, and an IPv6 address without brackets as it likes.
absl::Status CheckListen(absl::string_view address) {
  const auto error = [&](absl::string_view want) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen is \"", Printable(address), "\", want ", want));
  };
  constexpr absl::string_view kForms = "HOST:PORT or unix:/path";
  if (absl::StartsWith(address, "unix:")) {
    return address.size() > 5 ? absl::OkStatus() : error(kForms);
  }
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return error(kForms);
  const absl::string_view host = address.substr(0, colon);
  const absl::string_view port = address.substr(colon + 1);
  if (host.find(':') != absl::string_view::npos && (host.front() != '[' || host.back() != ']')) {
    return error("an IPv6 address in brackets: [ADDRESS]:PORT");
  }
  uint32_t number = 0;
  const bool digits = std::all_of(port.begin(), port.end(), absl::ascii_isdigit);
  if (digits && absl::SimpleAtoi(port, &number) && number <= 65535) return absl::OkStatus();
  return error("a port from 0 to 65535");
}

}  // namespace

absl::StatusOr<Invocation> ParseCommandLine(int argc, const char* const* argv) {
  Invocation out;
  int64_t grace_ms = out.config.grace.count();
  int64_t gc_interval_ms = out.config.gc_interval.count();
  CLI::App app("Ballast: a registry for model weights", "ballastd");
  AddFlags(&app, &out.config, &grace_ms, &gc_interval_ms);
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
  out.config.grace = std::chrono::milliseconds(grace_ms);
  out.config.gc_interval = std::chrono::milliseconds(gc_interval_ms);
  RETURN_IF_ERROR(CheckConfig(out.config));
  return out;
}

bool IsLoopback(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const absl::string_view host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  uint32_t byte = 0;
  return parts.size() == 4 && parts[0] == "127" &&
         std::all_of(parts.begin(), parts.end(), [&](absl::string_view part) {
           return absl::SimpleAtoi(part, &byte) && byte <= 255;
         });
}

absl::Status CheckConfig(const Config& config) {
  if (config.tls.certificate.empty() != config.tls.key.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key go together");
  }
  if (!config.tls.client_ca.empty() && config.tls.certificate.empty()) {
    return absl::InvalidArgumentError("--tls-client-ca needs --tls-cert and --tls-key");
  }
  if (config.limits.streams_max == 0) {
    return absl::InvalidArgumentError("limits.streams_max is 0, want at least 1");
  }
  for (const std::string& address : config.listen) {
    RETURN_IF_ERROR(CheckListen(address));
    if (!IsLoopback(address) && config.tls.certificate.empty() && !config.insecure) {
      return absl::InvalidArgumentError(
          absl::StrCat("--listen ", Printable(address),
                       " is reachable from other machines, want --tls-cert and --tls-key, or "
                       "--insecure"));
    }
  }
  return absl::OkStatus();
}

}  // namespace ballast

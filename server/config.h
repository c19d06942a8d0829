// Settings of `ballastd`, from flags and a file.
//
// The file is INI: the flags' names without dashes, and a section [limits] with the
// names of storage/base/limits.h. A flag on the command line wins.
//
//   data-dir = /var/lib/ballast
//   listen = 127.0.0.1:7420
//   [limits]
//   streams_max = 32
#ifndef BALLAST_SERVER_CONFIG_H_
#define BALLAST_SERVER_CONFIG_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/listen_address.h"
#include "server/log.h"
#include "server/tls_files.h"
#include "storage/base/limits.h"

namespace ballast {

struct Config {
  std::string data_dir;
  std::vector<std::string> listen;
  TlsFiles tls;
  bool insecure = false;       // a listener beyond loopback may go without TLS
  std::string metrics_listen;  // HTTP for metrics and probes; "": none
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  std::chrono::milliseconds grace{10'000};   // for running calls, at the end
  std::chrono::milliseconds gc_interval{0};  // between collections of garbage; 0: on request
  Limits limits;
};

// What the command line says: settings, to serve with or to check, or a text to print
// and leave with 0.
struct Invocation {
  Config config;
  bool check = false;  // --check-config: the rules of ConfigProblems may be broken
  std::string print;   // help or version text; "" to serve
};

// Errors: InvalidArgument  a usage error; the message is for people.
absl::StatusOr<Invocation> ParseCommandLine(int argc, const char* const* argv);

// The rules that no flag alone can break, a line for each that is broken: TLS files
// come in pairs, addresses can be parsed, listeners beyond loopback have TLS or
// --insecure, limits leave something to do.
std::vector<std::string> ConfigProblems(const Config& config);

}  // namespace ballast

#endif  // BALLAST_SERVER_CONFIG_H_

// SIGINT, SIGTERM and SIGHUP end a command: at once, or, while a file is being written,
// by cancelling it so that nothing is left behind.
#ifndef BALLAST_CLIENT_CLI_SIGNALS_H_
#define BALLAST_CLIENT_CLI_SIGNALS_H_

#include <ballast/cancel.h>

#include <string>

namespace ballast::cli {

// Call once, before any thread is started. SIGPIPE becomes an error of write().
// A signal cancels `token` if a file is being written, else (and a second one in any
// case) ends the process with exit code 7.
void WatchSignals(const CancelToken& token);

// What the last line of a command that a signal ends says behind "interrupted".
void SetInterruptedHint(const std::string& hint);

// While one lives, a signal only cancels.
class CleanupScope {
 public:
  CleanupScope();
  ~CleanupScope();
  CleanupScope(const CleanupScope&) = delete;
  CleanupScope& operator=(const CleanupScope&) = delete;
};

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_SIGNALS_H_

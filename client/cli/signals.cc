#include "client/cli/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

std::atomic<int> cleanups = 0;

std::mutex hint_mutex;
std::string& Hint() {
  static auto* const hint = new std::string;  // the thread that waits may outlive statics
  return *hint;
}

[[noreturn]] void EndNow() {
  const std::lock_guard lock(hint_mutex);
  const std::string line =
      absl::StrCat("ballast: interrupted", Hint().empty() ? "" : "; ", Printable(Hint()), "\n");
  // Nothing can be done if even this fails.
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, line.data(), line.size());
  _exit(kUnavailable);
}

// A hangup that was ignored when the process was started (nohup) stays ignored.
bool IsIgnored(int number) {
  struct sigaction action {};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void Wait(sigset_t signals, const CancelToken& token) {
  int number = 0;
  while (sigwait(&signals, &number) == 0) {
    if (cleanups == 0 || token.cancelled()) EndNow();
    token.Cancel();
  }
}

}  // namespace

void WatchSignals(const CancelToken& token) {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    if (number != SIGHUP || !IsIgnored(number)) sigaddset(&signals, number);
  }
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, token] { Wait(signals, token); }).detach();
}

void SetInterruptedHint(const std::string& hint) {
  const std::lock_guard lock(hint_mutex);
  Hint() = hint;
}

CleanupScope::CleanupScope() { ++cleanups; }
CleanupScope::~CleanupScope() { --cleanups; }

}  // namespace ballast::cli

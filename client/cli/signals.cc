#include "client/cli/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/string_view.h"
#include "client/cli/exit_code.h"

namespace ballast::cli {
namespace {

std::atomic<int> cleanups = 0;

[[noreturn]] void EndNow() {
  constexpr absl::string_view kLine = "ballast: interrupted\n";
  // Nothing can be done if even this fails.
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, kLine.data(), kLine.size());
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

CleanupScope::CleanupScope() { ++cleanups; }
CleanupScope::~CleanupScope() { --cleanups; }

}  // namespace ballast::cli

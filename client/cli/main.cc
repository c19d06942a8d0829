// The program `ballast`.

#include <malloc.h>

#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "client/cli/command_line.h"
#include "client/cli/signals.h"

int main(int argc, char** argv) {
  // Payload buffers of some MiB come and go: keep their pages instead of giving them back
  // to the kernel and touching fresh ones.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  // Debian's abseil looks for deadlocks in every lock of gRPC's otherwise.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // gRPC's own log would stand between the one line that a failure is.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const ballast::CancelToken cancel;
  ballast::cli::WatchSignals(cancel);
  return ballast::cli::RunCommandLine(argc, argv, cancel);
}

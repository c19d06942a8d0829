// What the kernel says of this process.
#ifndef BALLAST_SERVER_PROCESS_STATS_H_
#define BALLAST_SERVER_PROCESS_STATS_H_

#include <cstdint>

namespace ballast {

struct ProcessStats {
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t threads = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
  double cpu_seconds = 0;         // user and system, since the start
  double start_time_seconds = 0;  // Unix time
};

// Reads /proc; what it does not tell stays 0.
ProcessStats ReadProcessStats();

}  // namespace ballast

#endif  // BALLAST_SERVER_PROCESS_STATS_H_

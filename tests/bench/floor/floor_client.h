// The floor's client: takes messages, and either lets go of them or copies them once into
// memory that is already faulted in.
#ifndef BALLAST_TESTS_BENCH_FLOOR_FLOOR_CLIENT_H_
#define BALLAST_TESTS_BENCH_FLOOR_FLOOR_CLIENT_H_

#include "absl/status/status.h"
#include "tests/bench/floor/floor_settings.h"

namespace ballast::bench {

// Commands on stdin (helpers/command_loop.h):
//   pull BYTES MESSAGE_BYTES COPY STREAMS   COPY 1: into memory; streams on a connection each
//   pull-for SECONDS                        2 MiB messages, dropped, until the time is over
//   echo COUNT                              one after the other
//   echo-rate SECONDS THREADS               "per_s"
// Errors: NotFound  a TLS file.
absl::Status RunFloorClient(const FloorSettings& settings);

}  // namespace ballast::bench

#endif  // BALLAST_TESTS_BENCH_FLOOR_FLOOR_CLIENT_H_

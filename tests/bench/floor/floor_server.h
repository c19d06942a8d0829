// The floor's server: memory as gRPC messages and nothing else. No lookup, no checksum,
// no disk, no framing: what no server over gRPC can be faster than.
#ifndef BALLAST_TESTS_BENCH_FLOOR_FLOOR_SERVER_H_
#define BALLAST_TESTS_BENCH_FLOOR_FLOOR_SERVER_H_

#include "absl/status/status.h"
#include "tests/bench/floor/floor_settings.h"

namespace ballast::bench {

// Methods, any client's bytes: /floor/Pull answers a request "BYTES MESSAGE_BYTES" with
// that many bytes in messages of that size; /floor/Echo answers a message with itself.
// Prints "listening on ADDRESS" and serves until stdin ends.
// Errors: Unavailable  the address cannot be bound. NotFound  a TLS file.
absl::Status ServeFloor(const FloorSettings& settings);

}  // namespace ballast::bench

#endif  // BALLAST_TESTS_BENCH_FLOOR_FLOOR_SERVER_H_

// What can be turned at the floor program; the defaults are the product's.
#ifndef BALLAST_TESTS_BENCH_FLOOR_FLOOR_SETTINGS_H_
#define BALLAST_TESTS_BENCH_FLOOR_FLOOR_SETTINGS_H_

#include <grpcpp/support/channel_arguments.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ballast::bench {

struct FloorSettings {
  std::string address = "127.0.0.1:0";
  // Server: the memory that is streamed, over and over if more is asked for.
  uint64_t memory_bytes = 256u << 20;
  // Channel arguments by gRPC's names, for the server and the channel alike.
  std::vector<std::pair<std::string, int>> arguments;
  // TLS: all three turn mTLS on.
  std::string ca_file, cert_file, key_file;
  bool tls() const { return !ca_file.empty(); }
};

// "--address A --memory N --arg NAME=N --ca F --cert F --key F"; the product's channel
// arguments come first, so that --arg overrides them.
// Errors: InvalidArgument  another word, or a value that is missing or no number.
absl::StatusOr<FloorSettings> ParseFloorSettings(int argc, char** argv, int first);

// Errors: NotFound  the file cannot be read.
absl::StatusOr<std::string> ReadText(const std::string& path);

}  // namespace ballast::bench

#endif  // BALLAST_TESTS_BENCH_FLOOR_FLOOR_SETTINGS_H_

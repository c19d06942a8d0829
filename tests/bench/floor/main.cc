// bench_floor serve|client [--address A] [--memory N] [--arg NAME=N]… [--ca F --cert F --key F]

#include <iostream>

#include "absl/strings/string_view.h"
#include "tests/bench/floor/floor_client.h"
#include "tests/bench/floor/floor_server.h"
#include "tests/bench/helpers/command_loop.h"

int main(int argc, char** argv) {
  using namespace ballast::bench;
  SetUpProcess();
  const absl::string_view role = argc > 1 ? argv[1] : "";
  const absl::StatusOr<FloorSettings> settings = ParseFloorSettings(argc, argv, 2);
  absl::Status status = settings.status();
  if (role != "serve" && role != "client") status = absl::InvalidArgumentError("want serve|client");
  if (status.ok()) status = role == "serve" ? ServeFloor(*settings) : RunFloorClient(*settings);
  if (status.ok()) return 0;
  std::cerr << "bench_floor: " << status.ToString() << "\n";
  return 1;
}

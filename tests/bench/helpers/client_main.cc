// bench_client ADDRESS [CA CERT KEY]: commands of registry_commands.h.

#include <iostream>

#include "tests/bench/helpers/registry_commands.h"

int main(int argc, char** argv) {
  ballast::bench::SetUpProcess();
  ballast::ClientOptions options;
  options.server = argc > 1 ? argv[1] : "";
  if (argc > 4) {
    options.ca_file = argv[2];
    options.cert_file = argv[3];
    options.key_file = argv[4];
  }
  const auto client = ballast::Client::Connect(options);
  if (!client.ok()) {
    std::cerr << "bench_client: " << client.status().ToString() << "\n";
    return 1;
  }
  ballast::bench::RegistryCommands commands(client->get());
  ballast::bench::RunCommands(commands.Table());
  return 0;
}

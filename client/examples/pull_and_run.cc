// Pulls a version by name into a fresh network and prints its outputs: the same that
// train_and_push printed.
//
//   pull_and_run SERVER REF

#include <ballast/client.h>
#include <ballast/torch.h>

#include <iostream>

#include "client/examples/digits_net.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: pull_and_run SERVER REF\n";
    return 2;
  }
  ballast::ClientOptions options;
  options.server = argv[1];
  const auto client = ballast::Client::Connect(options);
  if (!client.ok()) {
    std::cerr << client.status() << "\n";
    return 1;
  }
  torch::manual_seed(2);  // other weights than those that were trained
  DigitsNet net;
  const auto pulled = ballast::torch::PullModule(client->get(), argv[2], net.get());
  if (!pulled.ok()) {
    std::cerr << "pull: " << pulled.status() << "\n";
    return 1;
  }
  std::cerr << pulled->reference << ", " << pulled->entries << " entries\n";
  std::cout << OutputsFor(net) << "\n";
  return 0;
}

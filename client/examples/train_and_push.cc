// Trains a small network and pushes a checkpoint after every epoch, beside the training;
// the alias `candidate` follows the newest one.
//
//   train_and_push SERVER MODEL [EPOCHS]

#include <ballast/client.h>
#include <ballast/torch.h>

#include <cstdlib>
#include <iostream>

#include "client/examples/digits_net.h"

namespace {

// Points in 64 dimensions whose class is the direction they are nearest to.
struct Data {
  torch::Tensor inputs, classes;
};

Data MakeData() {
  const torch::Tensor directions = torch::randn({10, 64});
  const torch::Tensor classes = torch::randint(10, {512});
  return {directions.index_select(0, classes) + 0.5 * torch::randn({512, 64}), classes};
}

double TrainOneEpoch(DigitsNet net, const Data& data, torch::optim::Optimizer* optimizer) {
  net->train();
  optimizer->zero_grad();
  const torch::Tensor loss =
      torch::nn::functional::cross_entropy(net->forward(data.inputs), data.classes);
  loss.backward();
  optimizer->step();
  return loss.item<double>();
}

int Run(ballast::Client* client, const std::string& model, int epochs) {
  torch::manual_seed(1);
  DigitsNet net;
  const Data data = MakeData();
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(0.01));
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    const double loss = TrainOneEpoch(net, data, &optimizer);
    ballast::PushOptions options;
    options.message = "epoch " + std::to_string(epoch);
    options.labels["loss"] = std::to_string(loss);
    options.alias = "candidate";
    ballast::AsyncPushOptions how;
    how.done = [loss](const absl::StatusOr<ballast::PushResult>& pushed) {
      if (!pushed.ok()) return;  // Flush tells
      std::cerr << pushed->reference << " loss " << loss << ", " << pushed->bytes_new
                << " new bytes\n";
    };
    ballast::torch::PushModuleAsync(client, *net, model, options, how);
  }
  if (const absl::Status pushed = client->Flush(); !pushed.ok()) {
    std::cerr << pushed << "\n";
    return 1;
  }
  std::cout << OutputsFor(net) << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: train_and_push SERVER MODEL [EPOCHS]\n";
    return 2;
  }
  const int epochs = argc > 3 ? std::atoi(argv[3]) : 3;
  ballast::ClientOptions options;
  options.server = argv[1];
  // Every epoch is kept. Where the newest is enough, AsyncPushOptions::newest_wins needs room
  // for one.
  options.async_pushes_max = static_cast<size_t>(epochs);
  const auto client = ballast::Client::Connect(options);
  if (!client.ok()) {
    std::cerr << client.status() << "\n";
    return 1;
  }
  return Run(client->get(), argv[2], epochs);
}

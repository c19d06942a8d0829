// The little network that both examples have.
#ifndef BALLAST_CLIENT_EXAMPLES_DIGITS_NET_H_
#define BALLAST_CLIENT_EXAMPLES_DIGITS_NET_H_

#include <torch/torch.h>

struct DigitsNetImpl : torch::nn::Module {
  DigitsNetImpl()
      : hidden(register_module("hidden", torch::nn::Linear(64, 32))),
        norm(register_module("norm", torch::nn::BatchNorm1d(32))),
        out(register_module("out", torch::nn::Linear(32, 10))) {}

  torch::Tensor forward(torch::Tensor x) { return out(torch::relu(norm(hidden(x)))); }

  torch::nn::Linear hidden;
  torch::nn::BatchNorm1d norm;
  torch::nn::Linear out;
};
TORCH_MODULE(DigitsNet);

// What both programs print for a model: its outputs for one fixed input.
inline torch::Tensor OutputsFor(DigitsNet net) {
  const torch::NoGradGuard no_grad;
  net->eval();
  return net->forward(torch::linspace(-1, 1, 2 * 64).reshape({2, 64}));
}

#endif  // BALLAST_CLIENT_EXAMPLES_DIGITS_NET_H_

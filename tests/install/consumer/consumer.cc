// Pushes two tensors from memory, pulls them back, and compares them.
#include <ballast/client.h>
#include <ballast/local.h>

#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "storage/base/status.h"
#include "storage/model/reference.h"
#include "storage/schema/schema.h"

namespace {

int Fail(const absl::Status& status) {
  std::cerr << "consumer: " << status << "\n";
  return 1;
}

int Run(const std::string& server, const std::string& model) {
  ballast::ClientOptions options;
  options.server = server;
  auto client = ballast::Client::Connect(options);
  if (!client.ok()) return Fail(client.status());

  const std::vector<float> weight = {1, 2, 3, 4, 5, 6};
  const std::vector<int64_t> steps = {7};
  std::vector<ballast::TensorView> tensors(2);
  tensors[0].key = "fc.weight";
  tensors[0].shape = {2, 3};
  tensors[0].bytes = {reinterpret_cast<const char*>(weight.data()), 24};
  tensors[1].key = "steps";
  tensors[1].dtype = ballast::DType::kInt64;
  tensors[1].bytes = {reinterpret_cast<const char*>(steps.data()), 8};
  auto pushed = (*client)->PushTensors(tensors, model, {});
  if (!pushed.ok()) return Fail(pushed.status());

  std::map<std::string, std::string> got;
  auto pulled = (*client)->PullTensors(
      pushed->reference, {}, [&](const ballast::TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
        std::string& bytes = got[spec.key];
        bytes.resize(ballast::CheckedTensorBytes(spec));
        return absl::MakeSpan(&bytes[0], bytes.size());
      });
  if (!pulled.ok()) return Fail(pulled.status());
  for (const ballast::TensorView& tensor : tensors) {
    const std::string& bytes = got[tensor.key];
    if (bytes.size() != tensor.bytes.size() ||
        std::memcmp(bytes.data(), tensor.bytes.data(), bytes.size()) != 0) {
      std::cerr << "consumer: " << tensor.key << " came back different\n";
      return 1;
    }
  }

  const auto absent = (*client)->GetVersion(model + "/absent");
  if (absent.status().code() != absl::StatusCode::kNotFound) return Fail(absent.status());
  const auto schema = ballast::ParseSchema("{", ballast::Limits());
  if (ballast::GetReason(schema.status()) != ballast::Reason::kMalformed) return 1;
  if (!ballast::ParseReference(pushed->reference).ok()) return 1;
  std::cout << pushed->reference << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return Run(argv[1], argv[2]);
}

#include "tests/bench/floor/floor_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "storage/base/status.h"
#include "tests/bench/helpers/command_loop.h"

namespace ballast::bench {
namespace {

std::string TextOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  for (const grpc::Slice& slice : slices) {
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return out;
}

class EchoReactor : public grpc::ServerGenericBidiReactor {
 public:
  EchoReactor() { StartRead(&message_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer message_;
};

class PullReactor : public grpc::ServerGenericBidiReactor {
 public:
  explicit PullReactor(const std::vector<char>* memory) : memory_(memory) { StartRead(&request_); }
  void OnReadDone(bool ok) override {
    const Words words = absl::StrSplit(TextOf(request_), ' ');
    const absl::StatusOr<uint64_t> bytes = NumberAt(words, 0), message = NumberAt(words, 1);
    if (!ok || !bytes.ok() || !message.ok() || *message == 0 || *message > memory_->size()) {
      return Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "want BYTES MESSAGE_BYTES"));
    }
    left_ = *bytes;
    message_bytes_ = *message;
    SendNext();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone"));
    SendNext();
  }
  void OnDone() override { delete this; }

 private:
  void SendNext() {
    if (left_ == 0) return Finish(grpc::Status::OK);
    const uint64_t n = std::min(left_, message_bytes_);
    if (offset_ + n > memory_->size()) offset_ = 0;
    const grpc::Slice slice(memory_->data() + offset_, n, grpc::Slice::STATIC_SLICE);
    grpc::ByteBuffer buffer(&slice, 1);
    message_.Swap(&buffer);
    offset_ += n;
    left_ -= n;
    StartWrite(&message_);
  }

  const std::vector<char>* memory_;  // Must outlive this.
  grpc::ByteBuffer request_, message_;
  uint64_t left_ = 0, offset_ = 0, message_bytes_ = 0;
};

class FloorService : public grpc::CallbackGenericService {
 public:
  explicit FloorService(uint64_t memory_bytes) : memory_(RandomMemory(memory_bytes, 1)) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    if (context->method() == "/floor/Echo") return new EchoReactor;
    return new PullReactor(&memory_);
  }

 private:
  const std::vector<char> memory_;
};

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(
    const FloorSettings& settings) {
  if (!settings.tls()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSIGN_OR_RETURN(pair.cert_chain, ReadText(settings.cert_file));
  ASSIGN_OR_RETURN(pair.private_key, ReadText(settings.key_file));
  ASSIGN_OR_RETURN(options.pem_root_certs, ReadText(settings.ca_file));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  return grpc::SslServerCredentials(options);
}

}  // namespace

absl::Status ServeFloor(const FloorSettings& settings) {
  ASSIGN_OR_RETURN(const auto credentials, Credentials(settings));
  FloorService service(settings.memory_bytes);
  grpc::ServerBuilder builder;
  for (const auto& [name, value] : settings.arguments) builder.AddChannelArgument(name, value);
  int port = 0;
  builder.AddListeningPort(settings.address, credentials, &port);
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat(settings.address, ": cannot be bound"));
  }
  const bool unix_socket = settings.address.rfind("unix:", 0) == 0;
  std::cout << "listening on "
            << (unix_socket ? settings.address : absl::StrCat("127.0.0.1:", port)) << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  return absl::OkStatus();
}

}  // namespace ballast::bench

#include "tests/bench/floor/floor_client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/support/client_callback.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "proto/grpc_bridge.h"
#include "storage/base/status.h"
#include "tests/bench/helpers/command_loop.h"

namespace ballast::bench {
namespace {

constexpr uint64_t kStreamsMax = 16;

// One stream. The next message is asked for before the last one is looked at.
class PullCall : private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // `into`: nullptr to drop what comes, else room for `bytes`.
  PullCall(const std::shared_ptr<grpc::Channel>& channel, uint64_t bytes, uint64_t message_bytes,
           char* into)
      : stub_(channel), into_(into) {
    const grpc::Slice text(absl::StrCat(bytes, " ", message_bytes));
    request_ = grpc::ByteBuffer(&text, 1);
    stub_.PrepareBidiStreamingCall(&context_, "/floor/Pull", grpc::StubOptions(), this);
    StartWriteLast(&request_, grpc::WriteOptions());
    StartRead(&next_);
    StartCall();
  }
  absl::StatusOr<uint64_t> Wait() {
    done_.WaitForNotification();
    if (!status_.ok()) return FromGrpcStatus(status_);
    return received_;
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    grpc::ByteBuffer message;
    message.Swap(&next_);
    StartRead(&next_);
    if (into_ == nullptr) {
      received_ += message.Length();
      return;
    }
    std::vector<grpc::Slice> slices;
    if (!message.Dump(&slices).ok()) return;
    for (const grpc::Slice& slice : slices) {
      std::memcpy(into_ + received_, slice.begin(), slice.size());
      received_ += slice.size();
    }
  }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    done_.Notify();
  }

  grpc::ClientContext context_;
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub_;
  char* const into_;
  grpc::ByteBuffer request_, next_;
  uint64_t received_ = 0;
  grpc::Status status_;
  absl::Notification done_;
};

class FloorClient {
 public:
  FloorClient(const FloorSettings& settings, std::shared_ptr<grpc::ChannelCredentials> credentials)
      : settings_(settings), credentials_(std::move(credentials)) {}

  absl::StatusOr<Numbers> Pull(const Words& words) {
    ASSIGN_OR_RETURN(const uint64_t bytes, NumberAt(words, 0));
    ASSIGN_OR_RETURN(const uint64_t message_bytes, NumberAt(words, 1));
    ASSIGN_OR_RETURN(const uint64_t copy, NumberAt(words, 2));
    ASSIGN_OR_RETURN(const uint64_t streams, NumberAt(words, 3));
    if (streams == 0 || streams > kStreamsMax) return absl::InvalidArgumentError("streams");
    while (channels_.size() < streams) channels_.push_back(NewChannel());
    if (copy != 0 && memory_.size() < bytes) memory_ = RandomMemory(bytes, 2);
    const uint64_t share = bytes / streams;
    const Stopwatch watch;
    std::vector<std::unique_ptr<PullCall>> calls;
    for (uint64_t i = 0; i < streams; ++i) {
      char* const into = copy != 0 ? memory_.data() + i * share : nullptr;
      calls.push_back(std::make_unique<PullCall>(channels_[i], share, message_bytes, into));
    }
    uint64_t sum = 0;
    for (const auto& call : calls) {
      ASSIGN_OR_RETURN(const uint64_t received, call->Wait());
      sum += received;
    }
    Numbers numbers = watch.Stop();
    numbers["bytes"] = static_cast<double>(sum);
    return numbers;
  }

  absl::StatusOr<Numbers> PullFor(const Words& words) {
    ASSIGN_OR_RETURN(const uint64_t seconds, NumberAt(words, 0));
    const Stopwatch watch;
    uint64_t sum = 0;
    for (const double end = Now() + static_cast<double>(seconds); Now() < end;) {
      PullCall call(channels_[0], 256u << 20, 2u << 20, nullptr);
      ASSIGN_OR_RETURN(const uint64_t received, call.Wait());
      sum += received;
    }
    Numbers numbers = watch.Stop();
    numbers["bytes"] = static_cast<double>(sum);
    return numbers;
  }

  absl::StatusOr<Numbers> Echo(const Words& words) {
    ASSIGN_OR_RETURN(const uint64_t count, NumberAt(words, 0));
    std::vector<double> latencies;
    for (uint64_t i = 0; i < count; ++i) {
      const double begin = Now();
      RETURN_IF_ERROR(EchoOnce());
      latencies.push_back(Now() - begin);
    }
    return Percentiles(std::move(latencies));
  }

  absl::StatusOr<Numbers> EchoRate(const Words& words) {
    ASSIGN_OR_RETURN(const uint64_t seconds, NumberAt(words, 0));
    ASSIGN_OR_RETURN(const uint64_t threads, NumberAt(words, 1));
    std::atomic<uint64_t> count = 0;
    std::atomic<bool> failed = false;
    const Stopwatch watch;
    const double end = Now() + static_cast<double>(seconds);
    std::vector<std::thread> all;
    for (uint64_t i = 0; i < threads; ++i) {
      all.emplace_back([&] {
        for (; Now() < end && !failed; ++count) failed = failed || !EchoOnce().ok();
      });
    }
    for (std::thread& thread : all) thread.join();
    if (failed) return absl::UnavailableError("an echo failed");
    Numbers numbers = watch.Stop();
    numbers["per_s"] = static_cast<double>(count) / numbers["seconds"];
    return numbers;
  }

 private:
  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    for (const auto& [name, value] : settings_.arguments) arguments.SetInt(name, value);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    return grpc::CreateCustomChannel(settings_.address, credentials_, arguments);
  }
  // What a generated stub does for an ordinary unary call.
  absl::Status EchoOnce() {
    grpc::ClientContext context;
    grpc::ByteBuffer response;
    return FromGrpcStatus(grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer>(
        channels_[0].get(), echo_, &context, empty_, &response));
  }

  const FloorSettings settings_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_ = {NewChannel()};
  const grpc::Slice nothing_;
  const grpc::ByteBuffer empty_{&nothing_, 1};
  const grpc::internal::RpcMethod echo_{"/floor/Echo", grpc::internal::RpcMethod::NORMAL_RPC};
  std::vector<char> memory_;
};

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const FloorSettings& settings) {
  if (!settings.tls()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  ASSIGN_OR_RETURN(options.pem_root_certs, ReadText(settings.ca_file));
  ASSIGN_OR_RETURN(options.pem_cert_chain, ReadText(settings.cert_file));
  ASSIGN_OR_RETURN(options.pem_private_key, ReadText(settings.key_file));
  return grpc::SslCredentials(options);
}

}  // namespace

absl::Status RunFloorClient(const FloorSettings& settings) {
  ASSIGN_OR_RETURN(const auto credentials, Credentials(settings));
  FloorClient client(settings, credentials);
  RunCommands({{"pull", [&](const Words& words) { return client.Pull(words); }},
               {"pull-for", [&](const Words& words) { return client.PullFor(words); }},
               {"echo", [&](const Words& words) { return client.Echo(words); }},
               {"echo-rate", [&](const Words& words) { return client.EchoRate(words); }}});
  return absl::OkStatus();
}

}  // namespace ballast::bench

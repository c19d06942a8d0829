#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/connect_failure.h"
#include "client/transport.h"
#include "proto/grpc_bridge.h"
#include "proto/wire.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr absl::string_view kDefaultPort = "7420";
constexpr uint64_t kKeyFileBytesMax = 1u << 20;
// A server that restarts is found again quickly, and one on a busy machine has time for its
// handshake: gRPC's "minimum back-off" is how long an attempt to connect may take.
constexpr int kConnectTimeoutMs = 10'000;
constexpr int kReconnectFirstMs = 100;
constexpr int kReconnectLongestMs = 5000;

absl::Status AddressError(absl::string_view address, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("server address \"", Printable(address),
                                                 "\": ", what, ", want host:port or unix:/path"));
}

absl::Status CheckPort(absl::string_view address, absl::string_view port) {
  uint32_t number = 0;
  if (absl::SimpleAtoi(port, &number) && number >= 1 && number <= 65535) return absl::OkStatus();
  return AddressError(address, absl::StrCat("port is \"", Printable(port), "\""));
}

// What gRPC wants: with a port, and nothing that it would take for a scheme.
absl::StatusOr<std::string> TargetOf(absl::string_view address) {
  if (address.empty()) return AddressError(address, "is empty");
  if (absl::StartsWith(address, "unix:")) {
    if (address.size() == 5) return AddressError(address, "has no path");
    return std::string(address);
  }
  for (const char c : address) {
    if (c == '/' || static_cast<unsigned char>(c) <= ' ' || c == 0x7f) {
      return AddressError(address, "is not an address");
    }
  }
  const size_t colon = address.rfind(':');
  const size_t bracket = address.rfind(']');
  const bool has_port =
      colon != absl::string_view::npos && (bracket == absl::string_view::npos || colon > bracket);
  if (!has_port) return absl::StrCat("dns:///", address, ":", kDefaultPort);
  if (colon == 0) return AddressError(address, "has no host");
  RETURN_IF_ERROR(CheckPort(address, address.substr(colon + 1)));
  return absl::StrCat("dns:///", address);
}

// `kind`: what the file must hold a PEM block of. gRPC would say nothing of use.
absl::StatusOr<std::string> ReadKeyFile(const std::string& path, absl::string_view kind) {
  if (path.empty()) return std::string();
  ASSIGN_OR_RETURN(const auto file, OpenFile(path));
  if (file->size_bytes() > kKeyFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(path), ": is ", file->size_bytes(), " bytes, want a PEM file"));
  }
  std::string text(file->size_bytes(), '\0');
  RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(text.data(), text.size())), Printable(path));
  if (!absl::StrContains(text, absl::StrCat(kind, "-----"))) {
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(path), ": holds no ", kind, ", want a PEM file with one"));
  }
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsOf(
    const ClientOptions& options) {
  if (options.cert_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError("TLS: a certificate needs its key, want both or none");
  }
  if (options.ca_file.empty() && options.cert_file.empty()) {
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions tls;
  ASSIGN_OR_RETURN(tls.pem_root_certs, ReadKeyFile(options.ca_file, "CERTIFICATE"), "TLS: CA");
  ASSIGN_OR_RETURN(tls.pem_cert_chain, ReadKeyFile(options.cert_file, "CERTIFICATE"),
                   "TLS: certificate");
  ASSIGN_OR_RETURN(tls.pem_private_key, ReadKeyFile(options.key_file, "PRIVATE KEY"), "TLS: key");
  return grpc::SslCredentials(tls);
}

// A call whose failure to connect is explained.
class ExplainedStream : public ClientFrameStream {
 public:
  ExplainedStream(std::unique_ptr<ClientFrameStream> stream, const ConnectionFacts& facts)
      : stream_(std::move(stream)), facts_(facts) {}
  absl::StatusOr<std::optional<Frame>> Read() override { return stream_->Read(); }
  absl::Status Write(Frame frame) override { return stream_->Write(std::move(frame)); }
  absl::Status WritesDone() override { return stream_->WritesDone(); }
  absl::Status Finish() override { return ExplainConnectFailure(stream_->Finish(), facts_); }
  void Cancel() override { stream_->Cancel(); }

 private:
  const std::unique_ptr<ClientFrameStream> stream_;
  const ConnectionFacts facts_;
};

class GrpcTransport : public Transport {
 public:
  GrpcTransport(std::shared_ptr<grpc::Channel> channel, const ClientOptions& options)
      : channel_(std::move(channel)),
        token_(options.token),
        facts_{Printable(options.server), !options.ca_file.empty() || !options.cert_file.empty(),
               !options.cert_file.empty()} {}

  // The calling thread waits in gRPC itself, so that an answer costs no switch of threads.
  absl::Status Unary(absl::string_view method, const google::protobuf::MessageLite& request,
                     google::protobuf::MessageLite* response, absl::Time deadline,
                     const CancelToken& cancel) override {
    grpc::ClientContext context;
    Configure(deadline, &context);
    const auto registration = cancel.OnCancel([&] { context.TryCancel(); });
    grpc::GenericStub stub(channel_);
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareUnaryCall(&context, wire::MethodPath(method),
                                            ToByteBuffer(EncodeMessage(request)), &queue);
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->StartCall();
    call->Finish(&answer, &status, this);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    RETURN_IF_ERROR(ExplainConnectFailure(FromGrpcStatus(status), facts_));
    ASSIGN_OR_RETURN(const Frame frame, FromByteBuffer(answer));
    return DecodeMessage(frame, response);
  }

  std::unique_ptr<ClientFrameStream> Open(absl::string_view method, absl::Time deadline) override {
    return std::make_unique<ExplainedStream>(
        StartClientCall(channel_, wire::MethodPath(method),
                        [&](grpc::ClientContext* context) { Configure(deadline, context); }),
        facts_);
  }

  std::string peer() const override { return facts_.peer; }

 private:
  void Configure(absl::Time deadline, grpc::ClientContext* context) const {
    if (!token_.empty()) context->AddMetadata("authorization", "Bearer " + token_);
    if (deadline != absl::InfiniteFuture()) context->set_deadline(absl::ToChronoTime(deadline));
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::string token_;
  const ConnectionFacts facts_;
};

absl::Status CheckToken(absl::string_view token) {
  for (const char c : token) {
    if (c < 0x20 || c > 0x7e) {
      return absl::InvalidArgumentError("token: has a byte that is not printable ASCII");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transport>> MakeGrpcTransport(const ClientOptions& options) {
  KeepGrpcInitialised();
  RETURN_IF_ERROR(CheckToken(options.token));
  ASSIGN_OR_RETURN(const std::string target, TargetOf(options.server));
  ASSIGN_OR_RETURN(const auto credentials, CredentialsOf(options));
  grpc::ChannelArguments arguments;
  SetChannelArguments(&arguments);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectLongestMs);
  // A proxy for web pages is not one for weights.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return std::make_unique<GrpcTransport>(grpc::CreateCustomChannel(target, credentials, arguments),
                                         options);
}

}  // namespace ballast

#include "server/grpc_frontend.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "ballast/v1/operations.grpc.pb.h"
#include "ballast/v1/registry.grpc.pb.h"
#include "proto/grpc_bridge.h"
#include "proto/wire.h"
#include "server/grpc_call.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// A peer that is gone without a word is noticed after twice this time.
constexpr int kKeepaliveMs = 60'000;

// One method of each service is served by name, for reflection's list of services; the
// others are marked generic and so come to Frontend::CreateReactor.
using Stub = v1::Registry;
using Generic0 = Stub::WithCallbackMethod_GetCapabilities<Stub::Service>;
using Generic1 = Stub::WithGenericMethod_Push<Generic0>;
using Generic2 = Stub::WithGenericMethod_Pull<Generic1>;
using Generic3 = Stub::WithGenericMethod_Convert<Generic2>;
using Generic4 = Stub::WithGenericMethod_Inspect<Generic3>;
using Generic5 = Stub::WithGenericMethod_Validate<Generic4>;
using Generic6 = Stub::WithGenericMethod_BindSchema<Generic5>;
using Generic7 = Stub::WithGenericMethod_UnbindSchema<Generic6>;
using Generic8 = Stub::WithGenericMethod_GetSchema<Generic7>;
using Generic9 = Stub::WithGenericMethod_ListModels<Generic8>;
using Generic10 = Stub::WithGenericMethod_GetModel<Generic9>;
using Generic11 = Stub::WithGenericMethod_ListVersions<Generic10>;
using Generic12 = Stub::WithGenericMethod_GetVersion<Generic11>;
using Generic13 = Stub::WithGenericMethod_ListEntries<Generic12>;
using Generic14 = Stub::WithGenericMethod_SetAlias<Generic13>;
using Generic15 = Stub::WithGenericMethod_DeleteAlias<Generic14>;
using Generic16 = Stub::WithGenericMethod_ListAliasHistory<Generic15>;
using Generic17 = Stub::WithGenericMethod_DeleteVersion<Generic16>;
using Generic18 = Stub::WithGenericMethod_UndeleteVersion<Generic17>;
using Generic19 = Stub::WithGenericMethod_GetVersionUse<Generic18>;
using Generic20 = Stub::WithGenericMethod_SetRetention<Generic19>;
using Generic21 = Stub::WithGenericMethod_GetRetention<Generic20>;
using Generic22 = Stub::WithGenericMethod_Watch<Generic21>;
using Generic23 = Stub::WithGenericMethod_Diff<Generic22>;
using Generic24 = Stub::WithGenericMethod_PullBlocks<Generic23>;
using Generic25 = Stub::WithGenericMethod_ReserveNumbers<Generic24>;
using Generic26 = Stub::WithGenericMethod_AskBlocks<Generic25>;

using OperationsStub = v1::Operations;
using GenericOperations0 = OperationsStub::WithCallbackMethod_GetStats<OperationsStub::Service>;
using GenericOperations1 = OperationsStub::WithGenericMethod_CollectGarbage<GenericOperations0>;
using GenericOperations2 = OperationsStub::WithGenericMethod_Verify<GenericOperations1>;

// What a method needs that is registered by name.
struct CallContext {
  const MethodTable* methods;                  // Must outlive this.
  CallThreads* threads;                        // Must outlive this.
  const std::vector<CallObserver*> observers;  // Must outlive this.
};

// A unary call's two messages as a stream.
class OneMessage : public FrameStream {
 public:
  explicit OneMessage(Frame request) : request_(std::move(request)) {}
  absl::StatusOr<std::optional<Frame>> Read() override {
    return std::exchange(request_, std::nullopt);
  }
  absl::Status Write(Frame frame) override {
    response_ = std::move(frame);
    return absl::OkStatus();
  }
  const Frame& response() const { return response_; }

 private:
  std::optional<Frame> request_;
  Frame response_;
};

// Serves a call that came by name as the others are: on a control thread, observed.
template <typename Request, typename Response>
grpc::ServerUnaryReactor* ServeNamed(const CallContext& with, const char* method,
                                     grpc::CallbackServerContext* context, const Request* request,
                                     Response* response) {
  const auto begun = std::chrono::steady_clock::now();
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto call = std::make_shared<Call>(CallOf(*context, method));
  const auto end = [=, &with](const absl::Status& status) {
    const auto took = std::chrono::steady_clock::now() - begun;
    for (CallObserver* observer : with.observers) observer->Ended(*call, status, took);
    reactor->Finish(ToGrpcStatus(status));
  };
  for (CallObserver* observer : with.observers) observer->Begun(*call);
  const bool taken = with.threads->control.Submit([=, &with] {
    OneMessage stream(EncodeMessage(*request));
    absl::Status status = with.methods->at(method).handler(call.get(), &stream);
    if (status.ok()) status = DecodeMessage(stream.response(), response);
    for (CallObserver* observer : with.observers) {
      observer->Moved(*call, request->ByteSizeLong(), response->ByteSizeLong());
    }
    end(status);
  });
  if (!taken) end(TooManyCalls());
  return reactor;
}

class NamedRegistry : public Generic26 {
 public:
  // `with` must outlive this.
  explicit NamedRegistry(const CallContext* with) : with_(with) {}
  grpc::ServerUnaryReactor* GetCapabilities(grpc::CallbackServerContext* context,
                                            const v1::GetCapabilitiesRequest* request,
                                            v1::GetCapabilitiesResponse* response) override {
    return ServeNamed(*with_, "GetCapabilities", context, request, response);
  }

 private:
  const CallContext* with_;
};

class NamedOperations : public GenericOperations2 {
 public:
  // `with` must outlive this.
  explicit NamedOperations(const CallContext* with) : with_(with) {}
  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext* context,
                                     const v1::GetStatsRequest* request,
                                     v1::GetStatsResponse* response) override {
    return ServeNamed(*with_, "GetStats", context, request, response);
  }

 private:
  const CallContext* with_;
};

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const TlsFiles& tls) {
  if (tls.certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      tls.client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                            : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSIGN_OR_RETURN(pair.cert_chain, ReadPem(tls.certificate));
  ASSIGN_OR_RETURN(pair.private_key, ReadPem(tls.key));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  if (!tls.client_ca.empty()) {
    ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(tls.client_ca));
  }
  return grpc::SslServerCredentials(options);
}

std::string WithPort(const std::string& address, int port) {
  if (address.rfind("unix:", 0) == 0) return address;
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

// gRPC takes over whatever socket is at the path. One that nobody listens on is a leftover; one
// that somebody does would lose its server all new clients without a word.
absl::Status CheckNobodyListens(const std::string& address) {
  if (address.rfind("unix:", 0) != 0) return absl::OkStatus();
  const std::string path = address.substr(5);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) return absl::OkStatus();  // gRPC refuses it
  path.copy(name.sun_path, path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("listening on ", address));
  const bool answered = connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0;
  close(fd);
  if (!answered) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("listening on ", address,
                   ": the socket is in use by another server, want a path of its own"));
}

class Frontend : public GrpcFrontend, private grpc::CallbackGenericService {
 public:
  Frontend(const Options& options, const MethodTable* methods, CallThreads* threads,
           std::vector<CallObserver*> observers)
      : with_{methods, threads, std::move(observers)},
        limits_(options.limits),
        registry_(&with_),
        operations_(&with_) {}
  ~Frontend() override { Stop(std::chrono::milliseconds(0)); }

  absl::Status Listen(const Options& options);
  const std::vector<std::string>& addresses() const override { return addresses_; }
  void Stop(std::chrono::milliseconds grace) override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + grace);
    server_->Wait();
    server_.reset();
  }

 private:
  WorkerPool* PoolOf(const Method* method) const {
    if (method == nullptr) return &with_.threads->control;
    if (method->sleeps) return &with_.threads->watch;
    return method->moves_data ? &with_.threads->data : &with_.threads->control;
  }
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const std::string& path = context->method();
    const auto it = with_.methods->find(path.substr(path.rfind('/') + 1));
    const bool known = it != with_.methods->end() && path == wire::MethodPath(it->first);
    const Method* method = known ? &it->second : nullptr;
    return new GrpcCall(context, method, PoolOf(method), with_.observers, limits_);
  }

  const CallContext with_;
  const Limits limits_;
  NamedRegistry registry_;
  NamedOperations operations_;
  std::vector<std::string> addresses_;
  std::unique_ptr<grpc::Server> server_;
};

absl::Status Frontend::Listen(const Options& options) {
  for (const std::string& address : options.listen) RETURN_IF_ERROR(CheckNobodyListens(address));
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                   Credentials(options.tls));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  grpc::ChannelArguments arguments;
  SetChannelArguments(&arguments);
  const grpc_channel_args raw = arguments.c_channel_args();
  for (size_t i = 0; i < raw.num_args; ++i) {
    if (raw.args[i].type == GRPC_ARG_INTEGER) {
      builder.AddChannelArgument(raw.args[i].key, raw.args[i].value.integer);
    }
  }
  // Two servers on one port would share its calls at random.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(options.limits.connection_streams_max));
  // gRPC's own estimate grows to 16 MiB and more for each call (measured on loopback).
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                             static_cast<int>(options.limits.receive_window_bytes));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  builder.RegisterService(&registry_);
  builder.RegisterService(&operations_);
  builder.RegisterCallbackGenericService(this);
  std::vector<int> ports(options.listen.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    builder.AddListeningPort(options.listen[i], credentials, &ports[i]);
  }
  server_ = builder.BuildAndStart();
  for (size_t i = 0; i < ports.size(); ++i) {
    if (server_ == nullptr || ports[i] == 0) {
      return absl::UnavailableError(absl::StrCat(
          "listening on ", options.listen[server_ == nullptr ? 0 : i],
          ": the address cannot be bound (in use, not of this machine, or bad TLS files)"));
    }
    addresses_.push_back(WithPort(options.listen[i], ports[i]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcFrontend>> GrpcFrontend::Start(
    const Options& options, const MethodTable* methods, CallThreads* threads,
    std::vector<CallObserver*> observers) {
  KeepGrpcInitialised();
  auto frontend = std::make_unique<Frontend>(options, methods, threads, std::move(observers));
  RETURN_IF_ERROR(frontend->Listen(options));
  return frontend;
}

}  // namespace ballast

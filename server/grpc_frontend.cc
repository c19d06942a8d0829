#include "server/grpc_frontend.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <utility>

#include "ballast/v1/registry.grpc.pb.h"
#include "proto/grpc_bridge.h"
#include "proto/wire.h"
#include "server/grpc_call.h"
#include "server/worker_pool.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Control calls touch small records only; a few threads keep them quick while data
// streams run on theirs.
constexpr size_t kControlThreads = 8;
constexpr size_t kControlQueue = 4096;
// A peer that is gone without a word is noticed after twice this time.
constexpr int kKeepaliveMs = 60'000;
// Certificates and keys are small; this bounds a wrong file name.
constexpr uint64_t kPemBytesMax = 1u << 20;

// GetCapabilities alone is served by name, for reflection's list of services; the
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
class NamedService : public Generic21 {
 public:
  explicit NamedService(const MethodTable* methods) : methods_(methods) {}
  grpc::ServerUnaryReactor* GetCapabilities(grpc::CallbackServerContext* context,
                                            const v1::GetCapabilitiesRequest* request,
                                            v1::GetCapabilitiesResponse* response) override;

 private:
  const MethodTable* methods_;  // Must outlive this.
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

grpc::ServerUnaryReactor* NamedService::GetCapabilities(grpc::CallbackServerContext* context,
                                                        const v1::GetCapabilitiesRequest* request,
                                                        v1::GetCapabilitiesResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  OneMessage stream(EncodeMessage(*request));
  Call call;
  absl::Status status = methods_->at("GetCapabilities").handler(&call, &stream);
  if (status.ok()) status = DecodeMessage(stream.response(), response);
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, OpenFile(path), "TLS");
  if (file->size_bytes() > kPemBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("TLS: ", path, " is too large for a PEM file"));
  }
  std::string pem(file->size_bytes(), '\0');
  RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(pem)), "TLS");
  return pem;
}

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

class Frontend : public GrpcFrontend, private grpc::CallbackGenericService {
 public:
  Frontend(const Options& options, const MethodTable* methods, CallObserver observer)
      : methods_(methods),
        observer_(std::move(observer)),
        limits_(options.limits),
        control_(kControlThreads, kControlQueue),
        data_(options.limits.streams_max, options.limits.stream_queue_max),
        named_(methods) {}
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
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const std::string& path = context->method();
    const auto it = methods_->find(path.substr(path.rfind('/') + 1));
    const bool known = it != methods_->end() && path == wire::MethodPath(it->first);
    const Method* method = known ? &it->second : nullptr;
    return new GrpcCall(context, method, known && method->moves_data ? &data_ : &control_,
                        &observer_, limits_);
  }

  const MethodTable* methods_;  // Must outlive this.
  const CallObserver observer_;
  const Limits limits_;
  WorkerPool control_;
  WorkerPool data_;
  NamedService named_;
  std::vector<std::string> addresses_;
  std::unique_ptr<grpc::Server> server_;
};

absl::Status Frontend::Listen(const Options& options) {
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
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  builder.RegisterService(&named_);
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

absl::StatusOr<std::unique_ptr<GrpcFrontend>> GrpcFrontend::Start(const Options& options,
                                                                  const MethodTable* methods,
                                                                  CallObserver observer) {
  KeepGrpcInitialised();
  auto frontend = std::make_unique<Frontend>(options, methods, std::move(observer));
  RETURN_IF_ERROR(frontend->Listen(options));
  return frontend;
}

}  // namespace ballast

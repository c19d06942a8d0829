#include "server/grpc_call.h"

#include <utility>

#include "proto/grpc_bridge.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

std::string PrincipalOf(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return "anonymous";
  for (const grpc::string_ref& name : auth->FindPropertyValues("x509_common_name")) {
    return std::string(name.data(), name.size());
  }
  return "anonymous";
}

std::string MethodName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

GrpcCall::GrpcCall(grpc::GenericCallbackServerContext* context, const Method* method,
                   WorkerPool* pool, const CallObserver* observer, const Limits& limits)
    : context_(context),
      method_(method),
      pool_(pool),
      observer_(observer),
      begun_(std::chrono::steady_clock::now()),
      ops_([this](grpc::ByteBuffer* buffer) { StartRead(buffer); },
           [this](const grpc::ByteBuffer* buffer) { StartWrite(buffer); }, limits.stream_idle_ms) {
  call_.method = MethodName(context->method());
  call_.principal = PrincipalOf(*context);
  call_.peer = context->peer();
  if (method_ == nullptr) {
    End(absl::UnimplementedError(absl::StrCat("there is no method ", context->method())));
    return;
  }
  ops_.Prefetch();
}

void GrpcCall::OnReadDone(bool ok) {
  const bool first = !started_;
  started_ = true;
  ops_.OnReadDone(ok);
  if (!first) return;
  if (pool_->Submit([this] { Serve(); })) return;
  End(absl::UnavailableError("the server is busy: too many calls wait, try again"));
}

absl::Status GrpcCall::Write(Frame frame) {
  if (method_->moves_data) return ops_.Write(std::move(frame));
  if (held_) RETURN_IF_ERROR(ops_.Write(*std::exchange(held_, std::nullopt)));
  held_ = std::move(frame);
  return absl::OkStatus();
}

void GrpcCall::Serve() {
  absl::Status status = method_->handler(&call_, this);
  if (status.ok()) status = ops_.DrainWrites();
  // A write that the client does not take would keep the call from ending.
  if (absl::IsDeadlineExceeded(status)) context_->TryCancel();
  End(std::move(status));
}

void GrpcCall::End(absl::Status status) {
  (*observer_)(call_, status, std::chrono::steady_clock::now() - begun_);
  if (!status.ok() || !held_) return Finish(ToGrpcStatus(status));
  last_ = ToByteBuffer(*std::move(held_));
  StartWriteAndFinish(&last_, grpc::WriteOptions(), grpc::Status::OK);
}

}  // namespace ballast

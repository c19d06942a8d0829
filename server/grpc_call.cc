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

absl::Status TooManyCalls() {
  return absl::UnavailableError("the server is busy: too many calls wait, try again");
}

Call CallOf(const grpc::CallbackServerContext& context, const std::string& method) {
  Call call;
  call.method = method;
  call.principal = PrincipalOf(context);
  call.peer = context.peer();
  return call;
}

GrpcCall::GrpcCall(grpc::GenericCallbackServerContext* context, const Method* method,
                   WorkerPool* pool, const std::vector<CallObserver*>& observers,
                   const Limits& limits)
    : context_(context),
      method_(method),
      pool_(pool),
      observers_(observers),
      begun_(std::chrono::steady_clock::now()),
      ops_([this](grpc::ByteBuffer* buffer) { StartRead(buffer); },
           [this](const grpc::ByteBuffer* buffer) { StartWrite(buffer); }, limits.stream_idle_ms) {
  call_ = CallOf(*context, MethodName(context->method()));
  for (CallObserver* observer : observers_) observer->Begun(call_);
  if (method_ == nullptr) {
    End(absl::UnimplementedError(absl::StrCat("there is no method ", context->method())));
    return;
  }
  ops_.Prefetch();
}

absl::StatusOr<std::optional<Frame>> GrpcCall::Read() {
  absl::StatusOr<std::optional<Frame>> frame = ops_.Read();
  if (!frame.ok() || !frame->has_value()) return frame;
  Moved((*frame)->size_bytes(), 0);
  return frame;
}

absl::Status GrpcCall::Write(Frame frame) {
  if (method_->moves_data || method_->sleeps) return Send(std::move(frame));
  if (held_) RETURN_IF_ERROR(Send(*std::exchange(held_, std::nullopt)));
  held_ = std::move(frame);
  return absl::OkStatus();
}

absl::Status GrpcCall::Send(Frame frame) {
  const uint64_t bytes = frame.size_bytes();
  RETURN_IF_ERROR(ops_.Write(std::move(frame)));
  Moved(0, bytes);
  return absl::OkStatus();
}

void GrpcCall::Moved(uint64_t bytes_in, uint64_t bytes_out) {
  for (CallObserver* observer : observers_) observer->Moved(call_, bytes_in, bytes_out);
}

void GrpcCall::OnReadDone(bool ok) {
  const bool first = !started_;
  started_ = true;
  ops_.OnReadDone(ok);
  if (!first) return;
  if (method_->quick) return Serve();
  if (pool_->Submit([this] { Serve(); })) return;
  End(TooManyCalls());
}

void GrpcCall::Serve() {
  absl::Status status = method_->handler(&call_, this);
  if (status.ok()) status = ops_.DrainWrites();
  // A write that the client does not take would keep the call from ending.
  if (absl::IsDeadlineExceeded(status)) context_->TryCancel();
  End(std::move(status));
}

void GrpcCall::End(absl::Status status) {
  const bool answers = status.ok() && held_.has_value();
  if (answers) Moved(0, held_->size_bytes());
  const auto took = std::chrono::steady_clock::now() - begun_;
  for (CallObserver* observer : observers_) observer->Ended(call_, status, took);
  if (!answers) return Finish(ToGrpcStatus(status));
  last_ = ToByteBuffer(*std::move(held_));
  StartWriteAndFinish(&last_, grpc::WriteOptions(), grpc::Status::OK);
}

}  // namespace ballast

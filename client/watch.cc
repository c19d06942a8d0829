// Following a model: a stream that is opened again, behind what was told, when it is lost.

#include <ballast/client.h>

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "ballast/v1/registry.pb.h"
#include "client/answers.h"
#include "client/client_impl.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

absl::StatusOr<WatchEvent> EventFromProto(const v1::WatchResponse& response) {
  WatchEvent event;
  event.resume_token = response.resume_token();
  if (response.has_published()) {
    ASSIGN_OR_RETURN(event.published, VersionFromProto(response.published()));
  }
  if (response.has_moved()) event.moved = AliasMoveFromProto(response.moved());
  return event;
}

class Watcher {
 public:
  // All must outlive the watcher.
  Watcher(Connection* connection, const WatchOptions& options, const WatchFn& each)
      : connection_(connection), options_(options), each_(each) {}

  absl::Status Run(v1::WatchRequest request);

 private:
  absl::Status Attempt();
  absl::Status Take(const v1::WatchResponse& response);
  bool cancelled() const {
    return options_.cancel.cancelled() || connection_->options().cancel.cancelled();
  }
  bool TryAgain(const absl::Status& status);

  Connection* const connection_;
  const WatchOptions& options_;
  const WatchFn& each_;
  v1::WatchRequest request_;
  bool begun_ = false;   // the server has answered once
  bool enough_ = false;  // `each` said so
  int attempts_ = 0;     // since the server last said something
  absl::Time heard_;     // when it did
};

absl::Status Watcher::Run(v1::WatchRequest request) {
  request_ = std::move(request);
  while (true) {
    const absl::Status status = Attempt();
    if (enough_) return absl::OkStatus();
    if (cancelled()) return absl::CancelledError("cancelled");
    if (!TryAgain(status)) return cancelled() ? absl::CancelledError("cancelled") : status;
  }
}

// The server never ends a watch by itself: whatever ends one without a reason of its own
// is a connection that was lost, or a server that stops.
bool Watcher::TryAgain(const absl::Status& status) {
  const bool lost =
      absl::IsUnavailable(status) || absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
  if (!lost) return false;
  if (!begun_) {
    return connection_->Retry(attempts_++, status, options_.cancel, absl::InfiniteFuture());
  }
  return connection_->BackOff(++attempts_, absl::InfiniteDuration(), options_.cancel,
                              heard_ + options_.reconnect_for);
}

absl::Status Watcher::Attempt() {
  const std::unique_ptr<ClientCall> call =
      connection_->Open("Watch", options_.cancel, absl::InfiniteFuture());
  // A failure to send shows in what is received.
  if (call->Send(request_).ok()) call->WritesDone().IgnoreError();
  while (!enough_) {
    const auto response = call->Receive<v1::WatchResponse>();
    if (!response.ok()) return call->Explain(response.status());
    if (!response->has_value()) {
      RETURN_IF_ERROR(call->Finish());
      return absl::UnavailableError("watch: the server ended the call");
    }
    if (absl::Status taken = Take(**response); !taken.ok()) return call->Abandon(taken);
  }
  call->Cancel();
  return absl::OkStatus();
}

absl::Status Watcher::Take(const v1::WatchResponse& response) {
  ASSIGN_OR_RETURN(const WatchEvent event, EventFromProto(response));
  begun_ = true;
  attempts_ = 0;
  enough_ = !each_(event);
  heard_ = absl::Now();
  request_.set_resume_token(event.resume_token);
  return absl::OkStatus();
}

}  // namespace

absl::Status Client::Watch(const std::string& model, const WatchOptions& options,
                           const WatchFn& each) {
  RETURN_IF_ERROR(CheckModelName(model));
  if (!options.alias.empty()) RETURN_IF_ERROR(CheckAliasName(options.alias));
  v1::WatchRequest request;
  request.set_model(model);
  request.set_alias(options.alias);
  request.set_resume_token(options.resume_token);
  return Watcher(&impl_->connection, options, each).Run(std::move(request));
}

}  // namespace ballast

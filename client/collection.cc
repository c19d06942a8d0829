// Garbage collection on request.

#include <ballast/client.h>

#include <utility>

#include "ballast/v1/operations.pb.h"
#include "client/answers.h"
#include "client/client_impl.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

std::string ReasonText(v1::DeletionReason reason) {
  switch (reason) {
    case v1::DELETION_REASON_DELETED:
      return "deleted";
    case v1::DELETION_REASON_REMOVED:
      return "removed";
    case v1::DELETION_REASON_RETENTION:
      return "retention";
    default:
      return "unknown";
  }
}

void TakeDeletions(const v1::DeletionUses& in, GarbageReport* out) {
  for (const v1::DeletionUse& use : in.deletions()) {
    out->deletions.push_back({use.model(), use.version(), ReasonText(use.reason()),
                              TimeFromProto(use.until()), use.exclusive_bytes()});
  }
}

void TakeResult(const v1::CollectionResult& in, GarbageReport* out) {
  out->dry_run = in.dry_run();
  out->models = in.models();
  out->live_versions = in.live_versions();
  out->held_versions = in.held_versions();
  out->deleted_versions = in.deleted_versions();
  out->removed_versions = in.removed_versions();
  out->live_blocks = in.live_blocks();
  out->live_bytes = in.live_bytes();
  out->held_blocks = in.held_blocks();
  out->held_bytes = in.held_bytes();
  out->freed_blocks = in.freed_blocks();
  out->freed_bytes = in.freed_bytes();
  out->fenced_pushes = in.fenced_pushes();
  out->forgotten_answers = in.forgotten_answers();
  out->passes = in.passes();
  out->deletions_omitted = in.deletions_omitted();
}

}  // namespace

absl::StatusOr<GarbageReport> Client::CollectGarbage(const GarbageOptions& options) {
  Operation operation = impl_->Begin(options.control);
  const std::unique_ptr<ClientCall> call =
      impl_->connection.Open("CollectGarbage", operation.cancel(), operation.deadline());
  // A step may take as long as it likes.
  call->set_reads_wait_for_us(true);
  v1::CollectGarbageRequest request;
  request.set_dry_run(options.dry_run);
  // A failure to send shows in what is received.
  if (call->Send(request).ok()) call->WritesDone().IgnoreError();
  GarbageReport report;
  bool complete = false;
  while (true) {
    const auto message = call->Receive<v1::CollectGarbageResponse>();
    if (!message.ok()) return call->Explain(message.status());
    if (!message->has_value()) break;
    if ((*message)->has_deletions()) TakeDeletions((*message)->deletions(), &report);
    if ((*message)->has_progress()) {
      const absl::Status told =
          operation.Report(Progress::Phase::kCollect, (*message)->progress().freed_bytes(), 0);
      if (!told.ok()) return call->Abandon(told);
    }
    if ((*message)->has_result()) {
      TakeResult((*message)->result(), &report);
      complete = true;
    }
  }
  RETURN_IF_ERROR(call->Finish());
  if (!complete) return BadAnswer(absl::InternalError("the collection has no result"));
  return report;
}

}  // namespace ballast

// Garbage collection on request.

#include <algorithm>
#include <chrono>
#include <utility>

#include "ballast/v1/operations.pb.h"
#include "server/handlers/stream_io.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr std::chrono::milliseconds kProgressEvery{500};
constexpr size_t kDeletionsPerMessage = 1000;

v1::CollectionPhase PhaseToProto(CollectProgress::Phase phase) {
  switch (phase) {
    case CollectProgress::Phase::kTidy:
      return v1::COLLECTION_PHASE_TIDY;
    case CollectProgress::Phase::kSettle:
      return v1::COLLECTION_PHASE_SETTLE;
    case CollectProgress::Phase::kMark:
      return v1::COLLECTION_PHASE_MARK;
    case CollectProgress::Phase::kSweep:
      return v1::COLLECTION_PHASE_SWEEP;
    case CollectProgress::Phase::kReturnSpace:
      break;
  }
  return v1::COLLECTION_PHASE_RETURN_SPACE;
}

v1::DeletionReason ReasonToProto(DeletionUse::Why why) {
  switch (why) {
    case DeletionUse::Why::kDeleted:
      return v1::DELETION_REASON_DELETED;
    case DeletionUse::Why::kRemoved:
      return v1::DELETION_REASON_REMOVED;
    case DeletionUse::Why::kRetention:
      break;
  }
  return v1::DELETION_REASON_RETENTION;
}

void ResultToProto(const Collection& in, v1::CollectionResult* out) {
  out->set_dry_run(in.dry_run);
  out->set_models(in.models);
  out->set_live_versions(in.versions_live);
  out->set_held_versions(in.versions_held);
  out->set_deleted_versions(in.versions_deleted);
  out->set_removed_versions(in.versions_removed);
  out->set_live_blocks(in.blocks_live);
  out->set_live_bytes(in.bytes_live);
  out->set_held_blocks(in.blocks_held);
  out->set_held_bytes(in.bytes_held);
  out->set_freed_blocks(in.blocks_freed);
  out->set_freed_bytes(in.bytes_freed);
  out->set_fenced_pushes(in.pushes_fenced);
  out->set_forgotten_answers(in.answers_forgotten);
  out->set_passes(in.passes);
  out->set_deletions_omitted(in.deletions_omitted);
}

// One call of CollectGarbage.
class CollectCall {
 public:
  CollectCall(const Services& services, FrameStream* stream)
      : services_(services), stream_(stream) {}

  absl::Status Serve(bool dry_run) {
    const CollectOptions options{
        dry_run, [this](const CollectProgress& progress) { return Tell(progress); }};
    ASSIGN_OR_RETURN(const Collection collection, services_.collector->Collect(options));
    RETURN_IF_ERROR(SendDeletions(collection.deletions));
    v1::CollectGarbageResponse response;
    ResultToProto(collection, response.mutable_result());
    return stream_->Write(EncodeMessage(response));
  }

 private:
  // Each phase at once, and then now and then. A client that is gone ends the collection.
  absl::Status Tell(const CollectProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (told_ && progress.phase == phase_ && now - told_at_ < kProgressEvery) {
      return absl::OkStatus();
    }
    told_ = true;
    phase_ = progress.phase;
    told_at_ = now;
    v1::CollectGarbageResponse response;
    response.mutable_progress()->set_phase(PhaseToProto(progress.phase));
    response.mutable_progress()->set_done(progress.done);
    response.mutable_progress()->set_freed_bytes(progress.bytes_freed);
    return stream_->Write(EncodeMessage(response));
  }

  absl::Status SendDeletions(const std::vector<DeletionUse>& deletions) {
    for (size_t i = 0; i < deletions.size(); i += kDeletionsPerMessage) {
      v1::CollectGarbageResponse response;
      const size_t end = std::min(deletions.size(), i + kDeletionsPerMessage);
      for (size_t d = i; d < end; ++d) {
        v1::DeletionUse* out = response.mutable_deletions()->add_deletions();
        out->set_model(deletions[d].model);
        out->set_version(deletions[d].version);
        out->set_reason(ReasonToProto(deletions[d].why));
        TimeToProto(deletions[d].until, out->mutable_until());
        out->set_exclusive_bytes(deletions[d].exclusive_bytes);
      }
      RETURN_IF_ERROR(stream_->Write(EncodeMessage(response)));
    }
    return absl::OkStatus();
  }

  const Services& services_;
  FrameStream* const stream_;
  bool told_ = false;
  CollectProgress::Phase phase_ = CollectProgress::Phase::kTidy;
  std::chrono::steady_clock::time_point told_at_;
};

absl::Status ServeCollect(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(const v1::CollectGarbageRequest request,
                   ReadMessage<v1::CollectGarbageRequest>(stream));
  if (request.dry_run()) call->subject = "dry run";
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kCollectGarbage, ""));
  return CollectCall(services, stream).Serve(request.dry_run());
}

}  // namespace

void AddCollectionMethods(const Services& services, MethodTable* table) {
  // Long, and of no payload: apart from the control calls all the same.
  (*table)["CollectGarbage"] = {
      [&services](Call* call, FrameStream* stream) { return ServeCollect(services, call, stream); },
      /*moves_data=*/true};
}

}  // namespace ballast

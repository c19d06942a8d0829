// Diff: what differs between two versions, tensor by tensor.

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/handlers/stream_io.h"
#include "server/use_cases/memory_budget.h"
#include "server/use_cases/selection.h"
#include "server/use_cases/value_diff.h"
#include "storage/base/status.h"
#include "storage/model/manifest_diff.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

// A piece goes out when it has so many bytes, or when so much was read for it: who waits sees
// that something happens.
constexpr size_t kPieceBytes = 1u << 20;
constexpr uint64_t kReadBytesPerPiece = 64u << 20;

void FactsToProto(const TensorSpec& spec, v1::TensorFacts* out) {
  out->set_dtype(std::string(DTypeName(spec.dtype)));
  out->mutable_shape()->Add(spec.shape.begin(), spec.shape.end());
}

void ValuesToProto(const ValueChange& values, v1::ValueChange* out) {
  out->set_elements(values.elements);
  out->set_changed(values.changed);
  out->set_max_abs(values.max_abs);
  out->set_l2(values.l2);
  out->set_l2_from(values.l2_from);
  out->set_not_finite(values.not_finite);
}

v1::ChangeKind KindToProto(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kAdded:
      return v1::CHANGE_KIND_ADDED;
    case ChangeKind::kRemoved:
      return v1::CHANGE_KIND_REMOVED;
    case ChangeKind::kRenamed:
      return v1::CHANGE_KIND_RENAMED;
    case ChangeKind::kReshaped:
      return v1::CHANGE_KIND_RESHAPED;
    case ChangeKind::kRecast:
      return v1::CHANGE_KIND_RECAST;
    case ChangeKind::kChanged:
      break;
  }
  return v1::CHANGE_KIND_CHANGED;
}

void Count(ChangeKind kind, v1::DiffSummary* summary) {
  switch (kind) {
    case ChangeKind::kAdded:
      return summary->set_added(summary->added() + 1);
    case ChangeKind::kRemoved:
      return summary->set_removed(summary->removed() + 1);
    case ChangeKind::kRenamed:
      return summary->set_renamed(summary->renamed() + 1);
    case ChangeKind::kReshaped:
      return summary->set_reshaped(summary->reshaped() + 1);
    case ChangeKind::kRecast:
      return summary->set_recast(summary->recast() + 1);
    case ChangeKind::kChanged:
      return summary->set_changed(summary->changed() + 1);
  }
}

// One call of Diff.
class DiffCall {
 public:
  // All must outlive this.
  DiffCall(const Services& services, Call* call, FrameStream* stream,
           const v1::DiffRequest& request)
      : services_(services),
        call_(call),
        stream_(stream),
        request_(request),
        memory_(services.manifest_memory) {}

  absl::Status Serve() {
    RETURN_IF_ERROR(Open());
    v1::DiffResponse response;
    VersionToProto(from_version_, response.mutable_header()->mutable_from());
    VersionToProto(to_version_, response.mutable_header()->mutable_to());
    RETURN_IF_ERROR(stream_->Write(EncodeMessage(response)));
    const ManifestDiff diff = DiffManifests(from_, to_);
    RETURN_IF_ERROR(SendChanges(diff));
    summary_.set_unchanged(diff.unchanged);
    summary_.set_shared_bytes(diff.shared_bytes);
    *response.mutable_summary() = summary_;
    return stream_->Write(EncodeMessage(response));
  }

 private:
  // Both references are allowed before either is looked up.
  absl::Status Open() {
    ASSIGN_OR_RETURN(const Reference from, ParseReference(request_.from()), "from");
    ASSIGN_OR_RETURN(const Reference to, ParseReference(request_.to()), "to");
    for (const std::string& model : {from.model, to.model}) {
      RETURN_IF_ERROR(services_.authorizer->Authorize(call_->principal, Action::kRead, model));
    }
    ASSIGN_OR_RETURN(from_version_, services_.catalog->GetVersion(from));
    ASSIGN_OR_RETURN(to_version_, services_.catalog->GetVersion(to));
    // Room for both at once: two calls that hold one each would wait for each other.
    RETURN_IF_ERROR(
        memory_.Grow(ManifestMemory(from_version_.entries, from_version_.manifest_bytes) +
                     ManifestMemory(to_version_.entries, to_version_.manifest_bytes)),
        "diff");
    ASSIGN_OR_RETURN(from_, services_.catalog->GetManifest(from_version_));
    ASSIGN_OR_RETURN(to_, services_.catalog->GetManifest(to_version_));
    if (request_.with_optimizer()) return absl::OkStatus();
    KeepWeights(&from_);
    KeepWeights(&to_);
    return absl::OkStatus();
  }

  absl::Status SendChanges(const ManifestDiff& diff) {
    ValueDiff values(services_.blobs, &from_, &to_, [this] {
      return call_->end->happened() ? absl::CancelledError("diff: the client is gone")
                                    : absl::OkStatus();
    });
    uint64_t read_before = 0;
    size_t bytes = 0;
    v1::DiffResponse piece;
    for (const TensorChange& change : diff.changes) {
      Count(change.kind, &summary_);
      v1::Change* out = piece.mutable_changes()->add_changes();
      RETURN_IF_ERROR(Describe(change, &values, out));
      bytes += out->ByteSizeLong();
      if (bytes < kPieceBytes && values.read_bytes() - read_before < kReadBytesPerPiece) continue;
      RETURN_IF_ERROR(stream_->Write(EncodeMessage(piece)));
      piece.Clear();
      bytes = 0;
      read_before = values.read_bytes();
    }
    return bytes == 0 ? absl::OkStatus() : stream_->Write(EncodeMessage(piece));
  }

  absl::Status Describe(const TensorChange& change, ValueDiff* values, v1::Change* out) {
    out->set_kind(KindToProto(change.kind));
    const TensorSpec* from = change.from ? &from_.entries[*change.from].spec : nullptr;
    const TensorSpec* to = change.to ? &to_.entries[*change.to].spec : nullptr;
    out->set_key(to != nullptr ? to->key : from->key);
    if (change.kind == ChangeKind::kRenamed) out->set_from_key(from->key);
    if (from != nullptr) FactsToProto(*from, out->mutable_from());
    if (to != nullptr) FactsToProto(*to, out->mutable_to());
    const bool measured = change.kind == ChangeKind::kChanged || change.kind == ChangeKind::kRecast;
    if (!request_.values() || !measured || !HaveValues(from->dtype, to->dtype)) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const ValueChange changed, values->Compare(*change.from, *change.to), "diff");
    ValuesToProto(changed, out->mutable_values());
    return absl::OkStatus();
  }

  const Services& services_;
  Call* const call_;
  FrameStream* const stream_;
  const v1::DiffRequest& request_;
  MemoryBudget::Share memory_;  // of the manifests
  VersionInfo from_version_, to_version_;
  Manifest from_, to_;
  v1::DiffSummary summary_;
};

absl::Status ServeDiff(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(const v1::DiffRequest request, ReadMessage<v1::DiffRequest>(stream));
  call->subject = absl::StrCat(request.from().substr(0, 400), " ", request.to().substr(0, 400));
  return DiffCall(services, call, stream, request).Serve();
}

}  // namespace

void AddDiffMethods(const Services& services, MethodTable* table) {
  (*table)["Diff"] = {
      [&services](Call* call, FrameStream* stream) { return ServeDiff(services, call, stream); },
      /*moves_data=*/true};
}

}  // namespace ballast

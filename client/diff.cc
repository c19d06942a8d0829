// What differs between two versions.

#include <ballast/client.h>

#include <utility>

#include "ballast/v1/registry.pb.h"
#include "client/answers.h"
#include "client/client_impl.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

std::string KindText(v1::ChangeKind kind) {
  switch (kind) {
    case v1::CHANGE_KIND_ADDED:
      return "added";
    case v1::CHANGE_KIND_REMOVED:
      return "removed";
    case v1::CHANGE_KIND_RENAMED:
      return "renamed";
    case v1::CHANGE_KIND_RESHAPED:
      return "reshaped";
    case v1::CHANGE_KIND_RECAST:
      return "recast";
    case v1::CHANGE_KIND_CHANGED:
      return "changed";
    default:
      return "unknown";
  }
}

absl::StatusOr<TensorSpec> SpecFromProto(const std::string& key, const v1::TensorFacts& facts) {
  const std::optional<DType> dtype = DTypeFromName(facts.dtype());
  if (!dtype) return BadAnswer(absl::InternalError("a dtype that this client does not know"));
  TensorSpec spec;
  spec.key = key;
  spec.dtype = *dtype;
  spec.shape.assign(facts.shape().begin(), facts.shape().end());
  return spec;
}

absl::StatusOr<TensorDifference> DifferenceFromProto(const v1::Change& change) {
  TensorDifference out;
  out.kind = KindText(change.kind());
  if (change.has_from()) {
    const std::string& key = change.from_key().empty() ? change.key() : change.from_key();
    ASSIGN_OR_RETURN(out.from, SpecFromProto(key, change.from()));
  }
  if (change.has_to()) {
    ASSIGN_OR_RETURN(out.to, SpecFromProto(change.key(), change.to()));
  }
  if (!out.from && !out.to) return BadAnswer(absl::InternalError("a change of nothing"));
  if (change.has_values()) {
    const v1::ValueChange& values = change.values();
    out.values = {values.elements(), values.changed(), values.max_abs(),
                  values.l2(),       values.l2_from(), values.not_finite()};
  }
  return out;
}

void TakeSummary(const v1::DiffSummary& summary, VersionDiff* out) {
  out->unchanged = summary.unchanged();
  out->shared_bytes = summary.shared_bytes();
}

// One message of the server. Errors: Internal  it makes no sense.
absl::Status Take(const v1::DiffResponse& response, VersionDiff* out) {
  if (response.has_header()) {
    ASSIGN_OR_RETURN(out->from, VersionFromProto(response.header().from()));
    ASSIGN_OR_RETURN(out->to, VersionFromProto(response.header().to()));
  }
  for (const v1::Change& change : response.changes().changes()) {
    ASSIGN_OR_RETURN(TensorDifference difference, DifferenceFromProto(change));
    out->changes.push_back(std::move(difference));
  }
  if (response.has_summary()) TakeSummary(response.summary(), out);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VersionDiff> Client::Diff(const std::string& from, const std::string& to,
                                         const DiffOptions& options) {
  RETURN_IF_ERROR(ParseReference(from).status());
  RETURN_IF_ERROR(ParseReference(to).status());
  Operation operation = impl_->Begin(options.control);
  RETURN_IF_ERROR(impl_->connection.Reach());
  const std::unique_ptr<ClientCall> call =
      impl_->connection.Open("Diff", operation.cancel(), operation.deadline());
  // A large tensor may take as long as it likes.
  call->set_reads_wait_for_us(true);
  v1::DiffRequest request;
  request.set_from(from);
  request.set_to(to);
  request.set_values(options.values);
  request.set_with_optimizer(options.with_optimizer);
  // A failure to send shows in what is received.
  if (call->Send(request).ok()) call->WritesDone().IgnoreError();
  VersionDiff diff;
  bool complete = false;
  while (true) {
    const auto message = call->Receive<v1::DiffResponse>();
    if (!message.ok()) return call->Explain(message.status());
    if (!message->has_value()) break;
    if (absl::Status taken = Take(**message, &diff); !taken.ok()) return call->Abandon(taken);
    complete |= (*message)->has_summary();
    const absl::Status told = operation.Report(Progress::Phase::kReceive, 0, 0);
    if (!told.ok()) return call->Abandon(told);
  }
  RETURN_IF_ERROR(call->Finish());
  if (!complete) return BadAnswer(absl::InternalError("the comparison has no end"));
  return diff;
}

}  // namespace ballast

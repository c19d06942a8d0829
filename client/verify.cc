// Verification on request.

#include <ballast/client.h>

#include <utility>

#include "ballast/v1/operations.pb.h"
#include "client/answers.h"
#include "client/client_impl.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

std::string KindText(v1::DamageKind kind) {
  switch (kind) {
    case v1::DAMAGE_KIND_UNREADABLE:
      return "unreadable";
    case v1::DAMAGE_KIND_DIGEST:
      return "digest";
    case v1::DAMAGE_KIND_MISSING:
      return "missing";
    case v1::DAMAGE_KIND_RECORD:
      return "record";
    default:
      return "unknown";
  }
}

absl::StatusOr<DamageDescription> DamageFromProto(const v1::Damage& in) {
  DamageDescription out;
  out.kind = KindText(in.kind());
  if (!in.digest().empty()) {
    const absl::StatusOr<Digest> digest = Digest::FromBytes(in.digest());
    if (!digest.ok()) return BadAnswer(digest.status());
    out.digest = *digest;
  }
  out.problem = in.problem();
  out.versions.assign(in.versions().begin(), in.versions().end());
  out.versions_omitted = in.versions_omitted();
  return out;
}

}  // namespace

absl::StatusOr<VerifyReport> Client::Verify(const std::string& reference,
                                            const VerifyStoreOptions& options) {
  if (!reference.empty()) RETURN_IF_ERROR(ParseReference(reference).status());
  Operation operation = impl_->Begin(options.control);
  const std::unique_ptr<ClientCall> call =
      impl_->connection.Open("Verify", operation.cancel(), operation.deadline());
  // A large manifest may take as long as it likes.
  call->set_reads_wait_for_us(true);
  v1::VerifyRequest request;
  request.set_reference(reference);
  request.set_bytes_per_second(options.bytes_per_second);
  // A failure to send shows in what is received.
  if (call->Send(request).ok()) call->WritesDone().IgnoreError();
  VerifyReport report;
  bool complete = false;
  while (true) {
    const auto message = call->Receive<v1::VerifyResponse>();
    if (!message.ok()) return call->Explain(message.status());
    if (!message->has_value()) break;
    const v1::VerifyResponse& answer = **message;
    absl::Status taken;
    if (answer.has_progress()) {
      taken = operation.Report(Progress::Phase::kVerify, answer.progress().bytes(), 0);
    } else if (answer.has_damage()) {
      absl::StatusOr<DamageDescription> damage = DamageFromProto(answer.damage());
      taken = damage.status();
      if (taken.ok()) report.sound = false;
      if (taken.ok() && options.damage) options.damage(*damage);
    } else if (answer.has_result()) {
      const v1::VerifyResult& result = answer.result();
      report.versions = result.versions();
      report.blocks = result.blocks();
      report.bytes = result.bytes();
      report.damaged_blocks = result.damaged_blocks();
      report.damaged_versions = result.damaged_versions();
      complete = true;
    }
    if (!taken.ok()) return call->Abandon(taken);
  }
  RETURN_IF_ERROR(call->Finish());
  if (!complete) return BadAnswer(absl::InternalError("the verification has no result"));
  return report;
}

}  // namespace ballast

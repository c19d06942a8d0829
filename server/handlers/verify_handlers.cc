// Verification on request.

#include <chrono>
#include <utility>

#include "ballast/v1/operations.pb.h"
#include "server/handlers/stream_io.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"
#include "storage/store/verifier.h"

namespace ballast {
namespace {

constexpr std::chrono::milliseconds kProgressEvery{500};

v1::DamageKind KindToProto(Damage::Kind kind) {
  switch (kind) {
    case Damage::Kind::kUnreadable:
      return v1::DAMAGE_KIND_UNREADABLE;
    case Damage::Kind::kWrongBytes:
      return v1::DAMAGE_KIND_DIGEST;
    case Damage::Kind::kMissing:
      return v1::DAMAGE_KIND_MISSING;
    case Damage::Kind::kRecord:
      break;
  }
  return v1::DAMAGE_KIND_RECORD;
}

// One call of Verify.
class VerifyCall {
 public:
  VerifyCall(const Services& services, FrameStream* stream)
      : services_(services), stream_(stream) {}

  absl::Status Serve(const v1::VerifyRequest& request, const std::optional<Reference>& reference) {
    VerifyOptions options;
    options.bytes_per_second = request.bytes_per_second();
    options.progress = [this](const VerifyProgressNow& now) { return Tell(now); };
    options.damage = [this](const Damage& damage) { return Tell(damage); };
    if (reference.has_value()) {
      auto version = services_.catalog->GetVersion(*reference);
      if (absl::IsDataLoss(version.status())) return RecordIsDamaged(*reference, version.status());
      RETURN_IF_ERROR(version.status());
      options.only = *std::move(version);
    }
    ASSIGN_OR_RETURN(const Verification verification, services_.verifier->Verify(options));
    return Send(verification);
  }

 private:
  // A client that is gone ends the verification.
  absl::Status Tell(const VerifyProgressNow& now) {
    const auto at = std::chrono::steady_clock::now();
    if (told_ && at - told_at_ < kProgressEvery) return absl::OkStatus();
    told_ = true;
    told_at_ = at;
    v1::VerifyResponse response;
    response.mutable_progress()->set_blocks(now.blocks);
    response.mutable_progress()->set_bytes(now.bytes);
    return stream_->Write(EncodeMessage(response));
  }

  absl::Status Tell(const Damage& damage) {
    v1::VerifyResponse response;
    v1::Damage* out = response.mutable_damage();
    out->set_kind(KindToProto(damage.kind));
    if (damage.digest.has_value()) out->set_digest(std::string(damage.digest->View()));
    out->set_problem(damage.problem);
    for (const std::string& version : damage.versions) out->add_versions(version);
    out->set_versions_omitted(damage.versions_omitted);
    return stream_->Write(EncodeMessage(response));
  }

  // What the reference means cannot be told, so there is nothing else to read.
  absl::Status RecordIsDamaged(const Reference& reference, const absl::Status& why) {
    Damage damage;
    damage.problem = Printable(why.message());
    damage.versions = {reference.ToString()};
    RETURN_IF_ERROR(Tell(damage));
    Verification verification;
    verification.damaged_versions = 1;
    return Send(verification);
  }

  absl::Status Send(const Verification& verification) {
    v1::VerifyResponse response;
    v1::VerifyResult* result = response.mutable_result();
    result->set_versions(verification.versions);
    result->set_blocks(verification.blocks);
    result->set_bytes(verification.bytes);
    result->set_damaged_blocks(verification.damaged_blocks);
    result->set_damaged_versions(verification.damaged_versions);
    return stream_->Write(EncodeMessage(response));
  }

  const Services& services_;
  FrameStream* const stream_;
  bool told_ = false;
  std::chrono::steady_clock::time_point told_at_;
};

absl::Status ServeVerify(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(const v1::VerifyRequest request, ReadMessage<v1::VerifyRequest>(stream));
  call->subject = request.reference().substr(0, 400);
  std::optional<Reference> reference;
  if (!request.reference().empty()) {
    ASSIGN_OR_RETURN(reference, ParseReference(request.reference()));
  }
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kOperate,
                                                 reference ? reference->model : ""));
  return VerifyCall(services, stream).Serve(request, reference);
}

}  // namespace

void AddVerifyMethods(const Services& services, MethodTable* table) {
  (*table)["Verify"] = {
      [&services](Call* call, FrameStream* stream) { return ServeVerify(services, call, stream); },
      /*moves_data=*/true};
}

}  // namespace ballast

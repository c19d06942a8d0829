#include "client/pull_stream.h"

#include <utility>

#include "client/answers.h"
#include "storage/base/status.h"

namespace ballast {

v1::PullRequest PullRequestOf(const std::string& reference, const PullOptions& options) {
  v1::PullRequest request;
  request.set_reference(reference);
  if (options.format != Format::kUnknown) {
    request.set_format(std::string(FormatName(options.format)));
  }
  wire::RulesToProto(options.rules, request.mutable_rules());
  request.set_with_optimizer(options.with_optimizer);
  request.set_plain_dict(options.plain_dict);
  return request;
}

absl::StatusOr<PullResult> PullStream::Run() {
  Patience patience(connection_, operation_);
  while (true) {
    const uint64_t before = incoming_.position();
    const absl::Status status = Attempt();
    if (status.ok()) {
      result_->retries = patience.retries();
      result_->bytes_received = incoming_.position();
      return *std::move(result_);
    }
    if (result_) patience.Answered();
    if (incoming_.position() > before) patience.Moved(/*further=*/true);
    if (local_ || !patience.TryAgain(status)) return status;
  }
}

absl::Status PullStream::Attempt() {
  assembler_.emplace(connection_->limits());
  request_.set_offset_bytes(incoming_.position());
  const std::unique_ptr<ClientCall> call =
      connection_->Open("Pull", operation_->cancel(), operation_->deadline());
  // A failure to send shows in what is received.
  if (call->Send(request_).ok()) call->WritesDone().IgnoreError();
  const absl::Status seen = Receive(call.get());
  if (local_) return call->Abandon(seen);
  if (!seen.ok()) return call->Explain(seen);
  RETURN_IF_ERROR(call->Finish());
  if (!result_) return BadAnswer(absl::InternalError("the pull ended without a header"));
  if (handlers_.manifest && !has_manifest_) {
    return BadAnswer(absl::InternalError("the pull ended without a manifest"));
  }
  return incoming_.CheckComplete();
}

absl::Status PullStream::Receive(ClientCall* call) {
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<Frame> frame, call->Read());
    if (!frame) return absl::OkStatus();
    if (absl::Status taken = Take(*frame); !taken.ok()) {
      local_ = true;
      return taken;
    }
  }
}

absl::Status PullStream::Take(const Frame& frame) {
  const auto data = DecodeData(frame, {v1::PullResponse::kDataFieldNumber});
  if (!data.ok()) return BadAnswer(data.status());
  if (*data) return TakeData(**data);
  v1::PullResponse response;
  if (absl::Status s = DecodeMessage(frame, &response); !s.ok()) return BadAnswer(s);
  if (response.has_header()) return TakeHeader(response.header());
  if (response.has_manifest()) return TakeManifest(response.manifest());
  return absl::OkStatus();
}

absl::Status PullStream::TakeHeader(const v1::PullHeader& header) {
  if (result_) return absl::OkStatus();  // resumed; the server has compared the layouts
  ASSIGN_OR_RETURN(const VersionDescription version, VersionFromProto(header.version()));
  const absl::StatusOr<Format> format = wire::FormatFromWire(header.format());
  if (!format.ok()) return BadAnswer(format.status());
  incoming_.Expect(header.size_bytes());
  // From here on it is this version, this format, this layout.
  request_.set_reference(ExactReference(version.model, version.version));
  request_.set_format(header.format());
  request_.set_layout_digest(header.layout_digest());
  result_ = PullResult{request_.reference(),
                       version.model,
                       version.version,
                       version.digest,
                       *format,
                       header.entries(),
                       header.size_bytes(),
                       {header.warnings().begin(), header.warnings().end()}};
  return absl::OkStatus();
}

absl::Status PullStream::TakeManifest(const v1::ManifestPiece& piece) {
  if (has_manifest_ || !handlers_.manifest) return absl::OkStatus();
  if (absl::Status s = assembler_->Add(piece); !s.ok()) return BadAnswer(s);
  if (!assembler_->done()) return absl::OkStatus();
  const absl::StatusOr<Manifest> manifest = assembler_->Take(!request_.has_rows());
  if (!manifest.ok()) return BadAnswer(manifest.status());
  has_manifest_ = true;
  return handlers_.manifest(*manifest);
}

absl::Status PullStream::TakeData(const DataFrame& data) {
  if (!result_ || (handlers_.manifest && !has_manifest_)) {
    return BadAnswer(absl::InternalError("data came before what describes it"));
  }
  RETURN_IF_ERROR(incoming_.Check(data));
  RETURN_IF_ERROR(handlers_.data(data.payload));
  return operation_->Report(Progress::Phase::kReceive, incoming_.position(),
                            incoming_.total_bytes());
}

}  // namespace ballast

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/wire.h"
#include "server/handlers/stream_io.h"
#include "server/use_cases/ask_blocks.h"
#include "server/use_cases/ongoing_pushes.h"
#include "server/use_cases/push.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Progress is told this often, in received bytes.
constexpr uint64_t kProgressBytes = 16u << 20;
constexpr int kBlockField = v1::PushRequest::kBlockFieldNumber;
constexpr int kFileField = v1::PushRequest::kFileFieldNumber;

PushParameters OptionsOf(const v1::PushHeader& header, std::string schema_json) {
  PushParameters options;
  options.model = header.model();
  options.request_id = header.request_id();
  options.message = header.message();
  options.labels = {header.labels().begin(), header.labels().end()};
  options.parent = header.parent();
  options.alias = header.alias();
  options.no_nan = header.no_nan();
  options.gate.schema_json = std::move(schema_json);
  options.gate.schema_reference = header.schema_reference();
  options.gate.strict = !header.non_strict();
  if (!header.has_imported()) return options;
  const v1::Imported& imported = header.imported();
  options.imported = {imported.version(),
                      absl::FromUnixSeconds(imported.created().seconds()) +
                          absl::Nanoseconds(imported.created().nanos()),
                      imported.numbers_used()};
  options.creator = imported.creator();
  options.parent_number = imported.parent();
  return options;
}

// One call of Push.
class PushCall {
 public:
  PushCall(const Services& services, OngoingPushes* ongoing, Call* call, FrameStream* stream)
      : services_(services), ongoing_(ongoing), call_(call), stream_(stream) {}

  absl::Status Serve() {
    ASSIGN_OR_RETURN(v1::PushRequest first, ReadMessage<v1::PushRequest>(stream_));
    if (!first.has_header()) return MalformedError("push: the first message is not a header");
    header_ = std::move(*first.mutable_header());
    call_->subject = header_.model().substr(0, 255);
    std::string schema;
    RETURN_IF_ERROR(ReadSchema(&schema));
    ASSIGN_OR_RETURN(
        push_, Push::Begin(services_, call_->principal, OptionsOf(header_, std::move(schema))));
    if (push_->repeated()) return Committed(*push_->repeated(), true);
    const absl::Status stored = Store();
    if (stored.ok()) return stored;
    const std::lock_guard lock(mutex_);
    if (!left_) push_->Leave(stored);
    return stored;
  }

 private:
  absl::Status Store() {
    const absl::Status taken = file_ ? TakeFile() : TakeManifest();
    if (GetReason(taken) == Reason::kSchemaMismatch) RETURN_IF_ERROR(Refused());
    RETURN_IF_ERROR(taken);
    ASSIGN_OR_RETURN(const VersionInfo version, Commit());
    call_->blocks_stored = push_->blocks_stored();
    call_->blocks_known = push_->blocks_known();
    return Committed(version, false);
  }

  absl::StatusOr<VersionInfo> Commit() {
    const std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckOwn());
    return push_->Commit();
  }

  // A later call of this request has come, and finds everything that came here.
  void LeaveToNext() {
    const std::lock_guard lock(mutex_);
    left_ = true;
    push_->Leave(absl::UnavailableError("another call goes on with this push"));
  }

  absl::Status CheckOwn() const {
    if (!left_) return absl::OkStatus();
    return ConflictError("push: another call goes on with request id ",
                         Printable(header_.request_id()), ", want one call at a time");
  }

  // Schema pieces, up to the first message that is none: it tells the mode.
  absl::Status ReadSchema(std::string* schema) {
    while (true) {
      ASSIGN_OR_RETURN(std::optional<Frame> frame, stream_->Read());
      if (!frame) return TruncatedError("push: the stream ended before manifest or file");
      ASSIGN_OR_RETURN(file_, DecodeData(*frame, {kFileField}));
      if (file_) return absl::OkStatus();
      RETURN_IF_ERROR(DecodeMessage(*frame, &message_));
      if (message_.has_end() && message_.end().size_bytes() == 0) {
        file_.emplace();  // an empty file
        return absl::OkStatus();
      }
      if (message_.has_manifest()) return absl::OkStatus();
      if (!message_.has_schema()) return MalformedError("push: want schema, manifest or file");
      if (schema->size() + message_.schema().size() > services_.limits.schema_bytes_max) {
        return LimitError("schema: more than ", services_.limits.schema_bytes_max,
                          " bytes (schema_bytes_max)");
      }
      *schema += message_.schema();
    }
  }

  absl::Status TakeManifest() {
    wire::ManifestAssembler assembler(services_.limits);
    RETURN_IF_ERROR(AddPiece(&assembler));
    while (!assembler.done()) {
      ASSIGN_OR_RETURN(message_, ReadMessage<v1::PushRequest>(stream_));
      if (!message_.has_manifest()) return MalformedError("push: the manifest is not complete");
      RETURN_IF_ERROR(AddPiece(&assembler));
    }
    message_.Clear();
    ASSIGN_OR_RETURN(Manifest manifest, assembler.Take(true));
    turn_ = ongoing_->Enter(NameOfPush(header_.model(), header_.request_id()),
                            [this] { LeaveToNext(); });
    RETURN_IF_ERROR(Offer(std::move(manifest)));
    RETURN_IF_ERROR(SendNeed());
    return TakeBlocks();
  }

  absl::Status Offer(Manifest manifest) {
    const std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckOwn());
    return push_->OfferManifest(std::move(manifest));
  }

  absl::Status AddPiece(wire::ManifestAssembler* assembler) {
    const v1::ManifestPiece& piece = message_.manifest();
    RETURN_IF_ERROR(
        push_->Reserve(assembler->entries() + static_cast<uint64_t>(piece.entries_size()),
                       assembler->bytes() + piece.ByteSizeLong()));
    return assembler->Add(piece);
  }

  absl::Status SendNeed() {
    constexpr size_t kRunsPerMessage = 50'000;
    v1::PushResponse response;
    v1::NeedPiece* need = response.mutable_need();
    const std::vector<uint64_t>& needed = push_->needed();
    for (size_t i = 0; i < needed.size();) {
      size_t end = i + 1;
      while (end < needed.size() && needed[end] == needed[end - 1] + 1) ++end;
      need->add_first(needed[i]);
      need->add_count(end - i);
      i = end;
      if (static_cast<size_t>(need->first_size()) == kRunsPerMessage) {
        RETURN_IF_ERROR(stream_->Write(EncodeMessage(response)));
        need->Clear();
      }
    }
    need->set_last(true);
    return stream_->Write(EncodeMessage(response));
  }

  absl::Status TakeBlocks() {
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<Frame> frame, stream_->Read());
      if (!frame) return TruncatedError("push: the stream ended without `end`");
      ASSIGN_OR_RETURN(const std::optional<DataFrame> data, DecodeData(*frame, {kBlockField}));
      if (!data) {
        RETURN_IF_ERROR(DecodeMessage(*frame, &message_));
        if (!message_.has_end()) return MalformedError("push: want blocks or `end`");
        return CheckEnd();
      }
      RETURN_IF_ERROR(Add(*data));
      call_->bytes_in = push_->received_bytes();
      RETURN_IF_ERROR(TellProgress());
    }
  }

  absl::Status Add(const DataFrame& data) {
    const std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckOwn());
    return push_->AddBlocks(data.position, data.payload, data.crc32);
  }

  absl::Status CheckEnd() const {
    const uint64_t size = message_.end().size_bytes();
    if (size == push_->received_bytes()) return absl::OkStatus();
    return TruncatedError("push: ", push_->received_bytes(), " bytes came, want ", size,
                          " as `end` says");
  }

  absl::Status TakeFile() {
    ASSIGN_OR_RETURN(const Format format, wire::FormatFromWire(header_.format()), "push");
    UploadStream file(stream_, kFileField, &EndOf<v1::PushRequest>, call_);
    if (file_->field == 0) {
      RETURN_IF_ERROR(file.BeginAtEnd(0));
    } else {
      RETURN_IF_ERROR(file.Begin(*file_));
      file_->payload.clear();
    }
    return push_->ReadFile(&file, format, wire::RulesFromProto(header_.rules()),
                           [this] { return TellProgress(); });
  }

  absl::Status TellProgress() {
    if (push_->received_bytes() < told_ + kProgressBytes) return absl::OkStatus();
    told_ = push_->received_bytes();
    v1::PushResponse response;
    response.mutable_progress()->set_received_bytes(told_);
    response.mutable_progress()->set_durable_bytes(push_->durable_bytes());
    return stream_->Write(EncodeMessage(response));
  }

  absl::Status Refused() {
    return wire::ForEachReportPiece(push_->report(), [this](const v1::ReportPiece& piece) {
      v1::PushResponse response;
      *response.mutable_refused() = piece;
      return stream_->Write(EncodeMessage(response));
    });
  }

  absl::Status Committed(const VersionInfo& version, bool repeated) {
    v1::PushResponse response;
    v1::PushCommitted* committed = response.mutable_committed();
    VersionToProto(version, committed->mutable_version());
    committed->set_received_bytes(push_->received_bytes());
    committed->set_repeated(repeated);
    for (const std::string& warning : push_->warnings()) committed->add_warnings(warning);
    return stream_->Write(EncodeMessage(response));
  }

  const Services& services_;
  OngoingPushes* const ongoing_;
  Call* call_;
  FrameStream* stream_;
  v1::PushHeader header_;
  v1::PushRequest message_;
  std::optional<DataFrame> file_;  // the first piece, in file mode
  std::mutex mutex_;               // for push_ and left_, while a later call may take over
  std::unique_ptr<Push> push_;
  bool left_ = false;  // to a later call
  uint64_t told_ = 0;
  std::unique_ptr<OngoingPushes::Turn> turn_;  // last: a later call uses the rest until it ends
};

absl::Status ServeAskBlocks(const Services& services, OngoingPushes* ongoing, Call* call,
                            const v1::AskBlocksRequest& request, v1::AskBlocksResponse* response) {
  call->subject = request.model().substr(0, 255);
  ASSIGN_OR_RETURN(const std::vector<bool> may,
                   AskBlocks(services, ongoing, call->principal, request.model(),
                             request.request_id(), request.crc32()));
  for (size_t i = 0; i < may.size(); ++i) {
    if (!may[i]) continue;
    const size_t begin = i;
    while (i < may.size() && may[i]) ++i;
    response->add_first(begin);
    response->add_count(i - begin);
  }
  return absl::OkStatus();
}

}  // namespace

void AddPushMethods(const Services& services, MethodTable* table) {
  // Shared by the copies of the method: a std::function must be copyable.
  const auto ongoing = std::make_shared<OngoingPushes>();
  (*table)["Push"] = {[&services, ongoing](Call* call, FrameStream* stream) {
                        return PushCall(services, ongoing.get(), call, stream).Serve();
                      },
                      true};
  (*table)["AskBlocks"] = {Unary<v1::AskBlocksRequest, v1::AskBlocksResponse>(
      [&services, ongoing](Call* call, const v1::AskBlocksRequest& request,
                           v1::AskBlocksResponse* response) {
        return ServeAskBlocks(services, ongoing.get(), call, request, response);
      })};
  // A large push asks for many: this does not stand before the control calls.
  (*table)["AskBlocks"].moves_data = true;
}

}  // namespace ballast

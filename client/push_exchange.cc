#include "client/push_exchange.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/answers.h"
#include "client/block_sender.h"
#include "proto/wire.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

absl::Status TakeNeed(const v1::NeedPiece& need, PushAnswers* answers) {
  if (need.first_size() != need.count_size() || answers->needed_complete) {
    return BadAnswer(MalformedError("need: runs and counts differ, or it comes twice"));
  }
  for (int i = 0; i < need.first_size(); ++i) {
    answers->needed.emplace_back(need.first(i), need.count(i));
  }
  answers->needed_complete = need.last();
  return absl::OkStatus();
}

// The blocks' places in the order in which they are sent.
absl::StatusOr<std::vector<BlockPlace>> PlacesOf(const PushAnswers& answers,
                                                 const Manifest& manifest) {
  const std::vector<BlockPlace> all = DistinctBlocks(manifest);
  std::vector<BlockPlace> out;
  uint64_t next = 0;
  for (const auto& [first, count] : answers.needed) {
    if (first < next || first > all.size() || count > all.size() - first) {
      return BadAnswer(MalformedError("need: blocks ", first, " and ", count,
                                      " more are asked for, want ascending ones of ", all.size()));
    }
    out.insert(out.end(), all.begin() + first, all.begin() + first + count);
    next = first + count;
  }
  return out;
}

void AddWarnings(const google::protobuf::RepeatedPtrField<std::string>& from,
                 std::vector<std::string>* to) {
  for (const std::string& warning : from) {
    if (std::find(to->begin(), to->end(), warning) == to->end()) to->push_back(warning);
  }
}

}  // namespace

absl::Status PushAnswers::Take(const v1::PushResponse& answer) {
  any = true;
  switch (answer.kind_case()) {
    case v1::PushResponse::kNeed:
      return TakeNeed(answer.need(), this);
    case v1::PushResponse::kRefused:
      refused = wire::AddReportPiece(answer.refused(), &report);
      return absl::OkStatus();
    case v1::PushResponse::kCommitted:
      committed = answer.committed();
      return absl::OkStatus();
    default:  // progress, and what a later server may add
      return absl::OkStatus();
  }
}

absl::StatusOr<PushResult> PushExchange::SendManifest(const Manifest& manifest,
                                                      const PushSource& source) {
  call_ = connection_->Open("Push", operation_->cancel(), operation_->deadline());
  const auto run = [&]() -> absl::Status {
    RETURN_IF_ERROR(SendHead());
    RETURN_IF_ERROR(SendManifestPieces(manifest));
    RETURN_IF_ERROR(ReadUntilNeeded());
    StartReading();
    if (answers_.decided()) return absl::OkStatus();
    RETURN_IF_ERROR(SendBlocks(manifest, source));
    return SendEnd();
  };
  const absl::Status seen = run();
  // A refusal can be under way while we still send.
  if (!reading_.joinable()) StartReading();
  ASSIGN_OR_RETURN(PushResult result, End(seen));
  if (IsHashed(manifest)) RETURN_IF_ERROR(CheckAnswer(result, VersionDigest(manifest)));
  return result;
}

// The answer to another push: what was to be stored now is not.
absl::Status PushExchange::CheckAnswer(const PushResult& result, const Digest& digest) const {
  if (result.digest == digest) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kConflict,
                   absl::StrCat("push: request id ", Printable(request_id_), " made ",
                                result.reference, " of sha256:", result.digest.Hex(),
                                ", want an id of its own for sha256:", digest.Hex()));
}

absl::StatusOr<PushResult> PushExchange::SendFile(ByteStream* file, uint64_t total_bytes) {
  call_ = connection_->Open("Push", operation_->cancel(), operation_->deadline());
  call_->set_reads_wait_for_us(true);
  StartReading();
  const auto run = [&]() -> absl::Status {
    RETURN_IF_ERROR(SendHead());
    RETURN_IF_ERROR(SendFileBytes(file, total_bytes));
    call_->set_reads_wait_for_us(false);
    return SendEnd();
  };
  return End(run());
}

absl::Status PushExchange::SendHead() {
  v1::PushRequest request;
  v1::PushHeader* header = request.mutable_header();
  header->set_model(model_);
  header->set_request_id(request_id_);
  header->set_message(options_.message);
  header->mutable_labels()->insert(options_.labels.begin(), options_.labels.end());
  header->set_parent(options_.parent);
  header->set_alias(options_.alias);
  header->set_schema_reference(options_.schema.reference);
  header->set_non_strict(!options_.strict);
  header->set_no_nan(options_.no_nan);
  if (imported_) *header->mutable_imported() = *imported_;
  if (options_.format != Format::kUnknown) {
    header->set_format(std::string(FormatName(options_.format)));
  }
  wire::RulesToProto(options_.rules, header->mutable_rules());
  RETURN_IF_ERROR(call_->Send(request));
  if (options_.schema.json.empty()) return absl::OkStatus();
  return wire::ForEachTextPiece(options_.schema.json, [&](absl::string_view piece) {
    v1::PushRequest schema;
    schema.set_schema(std::string(piece));
    return call_->Send(schema);
  });
}

absl::Status PushExchange::SendManifestPieces(const Manifest& manifest) {
  return wire::ForEachManifestPiece(manifest, true, [&](const v1::ManifestPiece& piece) {
    v1::PushRequest request;
    *request.mutable_manifest() = piece;
    return call_->Send(request);
  });
}

absl::Status PushExchange::ReadUntilNeeded() {
  while (!answers_.needed_complete && !answers_.decided()) {
    ASSIGN_OR_RETURN(const std::optional<v1::PushResponse> answer,
                     call_->Receive<v1::PushResponse>());
    if (!answer) return absl::CancelledError("the call is over");
    if (absl::Status s = answers_.Take(*answer); !s.ok()) return Stop(s);
  }
  return absl::OkStatus();
}

void PushExchange::StartReading() {
  reading_ = std::thread([this] {
    while (true) {
      auto answer = call_->Receive<v1::PushResponse>();
      if (answer.ok() && !answer->has_value()) return;
      absl::Status status = answer.ok() ? answers_.Take(**answer) : answer.status();
      if (status.ok()) continue;
      if (status.code() == absl::StatusCode::kCancelled) return;  // the call is over
      bad_answer_ = status;
      call_->Cancel();
      return;
    }
  });
}

absl::Status PushExchange::SendBlocks(const Manifest& manifest, const PushSource& source) {
  const absl::StatusOr<std::vector<BlockPlace>> places = PlacesOf(answers_, manifest);
  if (!places.ok()) return Stop(places.status());
  uint64_t total = 0;
  for (const BlockPlace& place : *places) {
    total += BlockSize(CheckedTensorBytes(manifest.entries[place.entry].spec), place.index);
  }
  needed_bytes_ = total;
  const std::unique_ptr<TensorSource> reader = source.NewReader();
  BlockSender sender(call_.get(), reader.get(), &manifest);
  for (const BlockPlace& place : *places) {
    bool local = false;
    const absl::Status sent = sender.Add(place, &local);
    sent_bytes_ = sender.sent_bytes();
    if (local) return Stop(sent);
    RETURN_IF_ERROR(sent);
    const absl::Status go_on =
        operation_->Report(Progress::Phase::kSend, sender.sent_bytes(), total);
    if (!go_on.ok()) return Stop(go_on);
  }
  const absl::Status flushed = sender.Flush();
  sent_bytes_ = sender.sent_bytes();
  return flushed;
}

absl::Status PushExchange::SendFileBytes(ByteStream* file, uint64_t total_bytes) {
  while (true) {
    std::string buffer(kDataMessageBytes, '\0');
    const absl::StatusOr<size_t> n = ReadFull(file, absl::MakeSpan(buffer.data(), buffer.size()));
    if (!n.ok()) return Stop(n.status());
    if (*n == 0) return absl::OkStatus();
    buffer.resize(*n);
    DataFrame data{v1::PushRequest::kFileFieldNumber, sent_bytes_, Crc32(buffer), {}};
    data.payload.push_back(Chunk::Own(std::move(buffer)));
    RETURN_IF_ERROR(call_->SendData(std::move(data)));
    sent_bytes_ += *n;
    const absl::Status go_on = operation_->Report(Progress::Phase::kSend, sent_bytes_, total_bytes);
    if (!go_on.ok()) return Stop(go_on);
  }
}

absl::Status PushExchange::SendEnd() {
  v1::PushRequest request;
  request.mutable_end()->set_size_bytes(sent_bytes_);
  RETURN_IF_ERROR(call_->Send(request));
  return call_->WritesDone();
}

absl::Status PushExchange::Stop(absl::Status why) {
  if (stopped_.ok()) stopped_ = why;
  call_->Cancel();
  return why;
}

absl::StatusOr<PushResult> PushExchange::End(const absl::Status& seen) {
  if (reading_.joinable()) reading_.join();
  if (!stopped_.ok()) return stopped_;
  if (!bad_answer_.ok()) return bad_answer_;
  // A version that an earlier call made may be told before we have sent all.
  const bool done = seen.ok() || answers_.committed;
  const absl::Status status = done ? call_->Finish() : call_->Explain(seen);
  if (answers_.refused && options_.refusal != nullptr) *options_.refusal = answers_.report;
  if (!status.ok()) {
    may_retry_ = status.code() == absl::StatusCode::kUnavailable;
    return status;
  }
  if (!answers_.committed) {
    return BadAnswer(absl::InternalError("the push ended without a version"));
  }
  ASSIGN_OR_RETURN(const VersionDescription version,
                   VersionFromProto(answers_.committed->version()));
  PushResult result;
  result.reference = ExactReference(version.model, version.version);
  result.model = version.model;
  result.version = version.version;
  result.digest = version.digest;
  result.entries = version.entries;
  result.bytes = version.payload_bytes;
  result.bytes_sent = sent_bytes_;
  result.bytes_new = version.bytes_new;
  result.repeated = answers_.committed->repeated();
  AddWarnings(answers_.committed->warnings(), &result.warnings);
  return result;
}

}  // namespace ballast

#include "client/block_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ballast/v1/registry.pb.h"
#include "client/answers.h"
#include "proto/wire.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Runs in one request: it stays far below a message's 4 MiB.
constexpr int kRunsMax = 50'000;

// Takes no data: only the header and the manifest.
absl::StatusOr<Manifest> TryPullManifest(Connection* connection, Operation* operation,
                                         const VersionDescription& version) {
  v1::PullRequest request;
  request.set_reference(ExactReference(version.model, version.version));
  request.set_format(std::string(FormatName(Format::kTensors)));
  request.set_with_optimizer(true);
  request.set_with_manifest(true);
  request.set_offset_bytes(version.payload_bytes);
  const std::unique_ptr<ClientCall> call =
      connection->Open("Pull", operation->cancel(), operation->deadline());
  if (call->Send(request).ok()) call->WritesDone().IgnoreError();
  wire::ManifestAssembler assembler(connection->limits());
  while (true) {
    const auto message = call->Receive<v1::PullResponse>();
    if (!message.ok()) return call->Explain(message.status());
    if (!message->has_value()) break;
    if (!(*message)->has_manifest()) continue;
    if (absl::Status s = assembler.Add((*message)->manifest()); !s.ok()) {
      return call->Abandon(BadAnswer(s));
    }
  }
  RETURN_IF_ERROR(call->Finish());
  if (!assembler.done()) return BadAnswer(absl::InternalError("the manifest is not complete"));
  absl::StatusOr<Manifest> manifest = assembler.Take(true);
  if (!manifest.ok()) return BadAnswer(manifest.status());
  return manifest;
}

// The blocks from `next` on, as runs.
void AddRuns(const std::vector<uint64_t>& numbers, size_t next, v1::PullBlocksRequest* request) {
  while (next < numbers.size() && request->first_size() < kRunsMax) {
    const size_t begin = next++;
    while (next < numbers.size() && numbers[next] == numbers[next - 1] + 1) ++next;
    request->add_first(numbers[begin]);
    request->add_count(next - begin);
  }
}

}  // namespace

absl::StatusOr<Manifest> PullManifest(Connection* connection, Operation* operation,
                                      const VersionDescription& version) {
  Patience patience(connection, operation);
  while (true) {
    absl::StatusOr<Manifest> manifest = TryPullManifest(connection, operation, version);
    if (manifest.ok() && VersionDigest(*manifest) != version.digest) {
      return absl::DataLossError(absl::StrCat(
          version.model, ":", version.version, ": the manifest that came is of sha256:",
          VersionDigest(*manifest).Hex(), ", want sha256:", version.digest.Hex()));
    }
    if (manifest.ok() || !patience.TryAgain(manifest.status())) return manifest;
  }
}

absl::Status BlockStream::Run(const std::vector<uint64_t>& numbers, const Sink& sink) {
  numbers_ = &numbers;
  next_ = 0;
  Patience patience(connection_, operation_);
  while (next_ < numbers.size()) {
    const size_t before = next_;
    const absl::Status status = Attempt(sink);
    if (answered_) patience.Answered();
    if (next_ > before) patience.Moved(/*further=*/true);
    if (status.ok()) continue;
    if (local_ || !patience.TryAgain(status)) return status;
  }
  retries_ = patience.retries();
  return absl::OkStatus();
}

absl::Status BlockStream::Attempt(const Sink& sink) {
  v1::PullBlocksRequest request;
  request.set_reference(reference_);
  AddRuns(*numbers_, next_, &request);
  uint64_t asked = 0;
  for (const uint64_t count : request.count()) asked += count;
  const size_t end = next_ + asked;
  const std::unique_ptr<ClientCall> call =
      connection_->Open("PullBlocks", operation_->cancel(), operation_->deadline());
  // A failure to send shows in what is received.
  if (call->Send(request).ok()) call->WritesDone().IgnoreError();
  while (true) {
    const auto frame = call->Read();
    if (!frame.ok()) return call->Explain(frame.status());
    if (!frame->has_value()) break;
    answered_ = true;
    const auto data = DecodeData(**frame, {v1::PullBlocksResponse::kDataFieldNumber});
    absl::Status taken = data.ok() ? absl::OkStatus() : BadAnswer(data.status());
    if (taken.ok() && data->has_value()) taken = Take(**data, sink);
    local_ = !taken.ok();
    if (local_) return call->Abandon(taken);
  }
  RETURN_IF_ERROR(call->Finish());
  if (next_ == end) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, Reason::kTruncated,
                   absl::StrCat("received blocks: ", end - next_, " of ", asked, " did not come"));
}

absl::Status BlockStream::Take(const DataFrame& data, const Sink& sink) {
  if (!data.crc32) return absl::DataLossError("received blocks: have no CRC-32, want one");
  RETURN_IF_ERROR(CheckDataCrc(data, absl::StatusCode::kDataLoss, "received blocks"));
  if (next_ == numbers_->size() || data.position != (*numbers_)[next_]) {
    return absl::DataLossError(absl::StrCat("received blocks: number ", data.position,
                                            " came, which is not the one that is due"));
  }
  std::string bytes;
  for (const Chunk& chunk : data.payload) bytes.append(chunk.bytes.data(), chunk.bytes.size());
  for (absl::string_view left = bytes; !left.empty();) {
    if (next_ == numbers_->size()) {
      return absl::DataLossError("received blocks: more came than were asked for");
    }
    const uint64_t number = (*numbers_)[next_];
    const BlockPlace& place = (*places_)[number];
    const uint64_t size =
        BlockSize(CheckedTensorBytes(manifest_->entries[place.entry].spec), place.index);
    if (left.size() < size) return absl::DataLossError("received blocks: one of them is cut");
    RETURN_IF_ERROR(TakeBlock(number, left.substr(0, size), sink));
    left.remove_prefix(size);
  }
  return operation_->Report(Progress::Phase::kReceive, before_bytes_ + bytes_, total_bytes_);
}

absl::Status BlockStream::TakeBlock(uint64_t number, absl::string_view bytes, const Sink& sink) {
  const BlockPlace& place = (*places_)[number];
  const ManifestEntry& entry = manifest_->entries[place.entry];
  if (Sha256Of(bytes) != entry.blocks[place.index].digest) {
    return absl::DataLossError(absl::StrCat(reference_, ": block ", place.index, " of ",
                                            QuotedKey(entry.spec.key), " fails its SHA-256"));
  }
  RETURN_IF_ERROR(sink(number, bytes));
  ++next_;
  bytes_ += bytes.size();
  return absl::OkStatus();
}

}  // namespace ballast

#include "proto/wire.h"
#include "server/handlers/stream_io.h"
#include "server/use_cases/block_pull.h"
#include "server/use_cases/pull.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

absl::StatusOr<PullParameters> OptionsOf(const v1::PullRequest& request) {
  PullParameters options;
  options.reference = request.reference();
  ASSIGN_OR_RETURN(options.format, wire::FormatFromWire(request.format()), "pull");
  options.rules = wire::RulesFromProto(request.rules());
  options.with_optimizer = request.with_optimizer();
  options.plain_dict = request.plain_dict();
  options.offset_bytes = request.offset_bytes();
  options.length_bytes = request.length_bytes();
  options.layout_digest = request.layout_digest();
  if (request.has_rows()) {
    const v1::RowRange& rows = request.rows();
    options.rows.emplace(RowsOfKey{rows.key(), {rows.first(), std::nullopt}});
    if (rows.has_count()) options.rows->range.count = rows.count();
  }
  return options;
}

absl::Status SendHeader(const Pull& pull, FrameStream* stream) {
  v1::PullResponse response;
  v1::PullHeader* header = response.mutable_header();
  VersionToProto(pull.version(), header->mutable_version());
  header->set_format(std::string(FormatName(pull.layout().format)));
  header->set_size_bytes(pull.layout().size_bytes);
  header->set_layout_digest(std::string(pull.layout_digest().View()));
  header->set_entries(pull.manifest().entries.size());
  for (const std::string& warning : pull.warnings()) header->add_warnings(warning);
  return stream->Write(EncodeMessage(response));
}

absl::Status SendManifest(const Pull& pull, bool with_blocks, FrameStream* stream) {
  return wire::ForEachManifestPiece(pull.manifest(), with_blocks,
                                    [&](const v1::ManifestPiece& piece) {
                                      v1::PullResponse response;
                                      *response.mutable_manifest() = piece;
                                      return stream->Write(EncodeMessage(response));
                                    });
}

absl::Status SendData(Pull* pull, Call* call, FrameStream* stream) {
  while (true) {
    ASSIGN_OR_RETURN(PullPiece piece, pull->Next());
    if (piece.chunks.empty()) return absl::OkStatus();
    DataFrame data;
    data.field = v1::PullResponse::kDataFieldNumber;
    data.position = piece.position;
    data.crc32 = piece.crc32;
    data.payload = std::move(piece.chunks);
    call->bytes_out += data.payload_bytes();
    RETURN_IF_ERROR(stream->Write(EncodeData(std::move(data))));
  }
}

// Blocks of a version that was deleted and collected while it is pulled are missing
// without anything being damaged.
absl::Status LossOrDeletion(const Services& services, const VersionInfo& version,
                            const absl::Status& loss) {
  Reference reference;
  reference.model = version.model;
  reference.selector = Reference::Selector::kVersion;
  reference.version = version.version;
  const absl::Status there = services.catalog->GetVersion(reference).status();
  return absl::IsNotFound(there) ? WithContext(there, "while it was pulled") : loss;
}

absl::Status SendBlocks(BlockPull* pull, Call* call, FrameStream* stream) {
  while (true) {
    ASSIGN_OR_RETURN(PullPiece piece, pull->Next());
    if (piece.chunks.empty()) return absl::OkStatus();
    DataFrame data;
    data.field = v1::PullBlocksResponse::kDataFieldNumber;
    data.position = piece.position;
    data.crc32 = piece.crc32;
    data.payload = std::move(piece.chunks);
    call->bytes_out += data.payload_bytes();
    RETURN_IF_ERROR(stream->Write(EncodeData(std::move(data))));
  }
}

absl::Status ServePullBlocks(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(const v1::PullBlocksRequest request, ReadMessage<v1::PullBlocksRequest>(stream));
  call->subject = request.reference().substr(0, 400);
  if (request.first_size() != request.count_size()) {
    return MalformedError("pull blocks: there are ", request.first_size(), " firsts and ",
                          request.count_size(), " counts, want as many");
  }
  std::vector<BlockRun> runs;
  for (int i = 0; i < request.first_size(); ++i) {
    runs.push_back({request.first(i), request.count(i)});
  }
  ASSIGN_OR_RETURN(
      const std::unique_ptr<BlockPull> pull,
      BlockPull::Open(services, call->principal, request.reference(), std::move(runs)));
  v1::PullBlocksResponse response;
  VersionToProto(pull->version(), response.mutable_header());
  RETURN_IF_ERROR(stream->Write(EncodeMessage(response)));
  const absl::Status sent = SendBlocks(pull.get(), call, stream);
  // A block that is not there any more is NotFound to the store.
  const bool lost = absl::IsDataLoss(sent) || absl::IsNotFound(sent);
  return lost ? LossOrDeletion(services, pull->version(), absl::DataLossError(sent.message()))
              : sent;
}

absl::Status ServePull(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(const v1::PullRequest request, ReadMessage<v1::PullRequest>(stream));
  call->subject = request.reference().substr(0, 400);
  ASSIGN_OR_RETURN(const PullParameters options, OptionsOf(request));
  ASSIGN_OR_RETURN(const std::unique_ptr<Pull> pull,
                   Pull::Open(services, call->principal, options));
  RETURN_IF_ERROR(SendHeader(*pull, stream));
  if (request.with_manifest() || pull->layout().format == Format::kTensors) {
    RETURN_IF_ERROR(SendManifest(*pull, !request.has_rows(), stream));
  }
  const absl::Status sent = SendData(pull.get(), call, stream);
  return absl::IsDataLoss(sent) ? LossOrDeletion(services, pull->version(), sent) : sent;
}

}  // namespace

void AddPullMethods(const Services& services, MethodTable* table) {
  (*table)["Pull"] = {
      [&services](Call* call, FrameStream* stream) { return ServePull(services, call, stream); },
      true};
  (*table)["PullBlocks"] = {[&services](Call* call, FrameStream* stream) {
                              return ServePullBlocks(services, call, stream);
                            },
                            true};
}

}  // namespace ballast

#include "proto/frame.h"
#include "proto/wire.h"
#include "storage/base/status.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

constexpr size_t kPiecesMax = 8;

template <typename T>
bool Parse(absl::string_view bytes, T* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// The manifest in pieces, and put together again.
void CheckPieces(const Manifest& manifest, bool with_blocks) {
  wire::ManifestAssembler assembler{Limits()};
  const absl::Status sent = wire::ForEachManifestPiece(
      manifest, with_blocks, [&](const v1::ManifestPiece& piece) { return assembler.Add(piece); });
  Require(sent.ok() && assembler.done(), "a manifest travels", sent.ToString());
  const absl::StatusOr<Manifest> again = assembler.Take(with_blocks);
  Require(again.ok() && *again == manifest, "a manifest arrives as it was sent");
}

void FuzzManifest(Pieces* input, bool with_blocks) {
  wire::ManifestAssembler assembler(SmallLimits());
  for (size_t i = 0; i < kPiecesMax && !assembler.done(); ++i) {
    v1::ManifestPiece piece;
    if (!Parse(input->Text(), &piece)) return;
    const absl::Status added = assembler.Add(piece);
    if (!added.ok()) return CheckRefusal(added);
  }
  if (!assembler.done()) return;
  absl::StatusOr<Manifest> manifest = assembler.Take(with_blocks);
  if (!manifest.ok()) return CheckRefusal(manifest.status());
  if (!with_blocks) {
    for (ManifestEntry& entry : manifest->entries) entry.blocks.clear();
  }
  CheckPieces(*manifest, with_blocks);
}

void FuzzReport(Pieces* input) {
  Report report;
  for (size_t i = 0; i < kPiecesMax; ++i) {
    v1::ReportPiece piece;
    if (!Parse(input->Text(), &piece) || wire::AddReportPiece(piece, &report)) break;
  }
  ReportToJson(report);
  Report again;
  const absl::Status sent = wire::ForEachReportPiece(report, [&](const v1::ReportPiece& piece) {
    wire::AddReportPiece(piece, &again);
    return absl::OkStatus();
  });
  Require(sent.ok() && again == report, "a report arrives as it was sent");
}

void FuzzStatus(Pieces* input) {
  const int code = input->Byte();
  const std::string message = input->Text();
  const absl::Status status = wire::StatusFromWire(code, message, input->Rest());
  Require(status.ok() == (code == 0), "only code 0 is good");
  if (status.ok()) return;
  const absl::Status again = wire::StatusFromWire(static_cast<int>(status.code()), status.message(),
                                                  wire::StatusDetails(status));
  Require(again.code() == status.code() && GetReason(again) == GetReason(status),
          "a status arrives as it was sent");
}

// The same bytes in pieces as a socket may give them.
Frame FrameOf(const std::string& bytes, size_t step) {
  Frame frame;
  for (size_t i = 0; i < bytes.size(); i += step) {
    frame.chunks.push_back(Chunk::Own(bytes.substr(i, step)));
  }
  return frame;
}

// Data messages are taken apart by hand: protobuf must see the same in them.
void FuzzFrame(Pieces* input) {
  const size_t step = input->Byte() + 1;
  const std::string bytes(input->Rest());
  const auto data = DecodeData(FrameOf(bytes, step), {v1::PushRequest::kFileFieldNumber});
  v1::PushRequest message, again;
  const absl::Status parsed = DecodeMessage(FrameOf(bytes, step), &message);
  Require(parsed.ok() == Parse(bytes, &again), "pieces do not matter");
  if (!data.ok()) return CheckRefusal(data.status());
  if (!data->has_value()) return;
  Require(parsed.ok() && message.has_file(), "a data message is a message");
  const DataFrame& frame = **data;
  std::string payload;
  for (const Chunk& chunk : frame.payload) absl::StrAppend(&payload, chunk.bytes);
  Require(payload == message.file().payload(), "the payload is the same");
  Require(frame.position == message.file().position(), "the position is the same");
  Require(frame.crc32.has_value() == message.file().has_crc32() &&
              frame.crc32.value_or(0) == message.file().crc32(),
          "the CRC is the same");
}

}  // namespace

void FuzzWire(absl::string_view input) {
  Pieces pieces(input);
  switch (pieces.Byte() % 5) {
    case 0:
      return FuzzManifest(&pieces, true);
    case 1:
      return FuzzManifest(&pieces, false);
    case 2:
      return FuzzReport(&pieces);
    case 3:
      return FuzzFrame(&pieces);
    default:
      return FuzzStatus(&pieces);
  }
}

}  // namespace ballast::fuzz

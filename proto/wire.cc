#include "proto/wire.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ballast/v1/error.pb.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"

namespace ballast::wire {
namespace {

// A piece is sent when it has grown to this size; with its last entry it stays
// well under gRPC's 4 MiB.
constexpr size_t kPieceBytes = 1u << 20;
// About what an entry takes beside its key and blocks.
constexpr size_t kEntryBytes = 100;
// Blocks of one entry in one message.
constexpr size_t kBlocksPerEntryMessage = 16384;
// Methods of the service Operations; all others are of Registry.
constexpr absl::string_view kOperations[] = {"GetStats", "CollectGarbage", "Verify"};
constexpr absl::string_view kErrorInfoUrl = "type.googleapis.com/google.rpc.ErrorInfo";

v1::Kind KindToProto(Kind kind) { return static_cast<v1::Kind>(kind); }

// Cuts at a character boundary.
absl::string_view CutUtf8(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  while (max_bytes > 0 && (static_cast<unsigned char>(text[max_bytes]) & 0xC0) == 0x80) --max_bytes;
  return text.substr(0, max_bytes);
}

// Gathers entries into pieces and hands full ones on.
class PieceWriter {
 public:
  explicit PieceWriter(const std::function<absl::Status(const v1::ManifestPiece&)>& fn) : fn_(fn) {}
  v1::ManifestPiece* piece() { return &piece_; }
  absl::Status Grew(size_t bytes) {
    size_ += bytes;
    return size_ >= kPieceBytes ? Flush() : absl::OkStatus();
  }
  absl::Status Finish() {
    piece_.set_last(true);
    return Flush();
  }

 private:
  absl::Status Flush() {
    RETURN_IF_ERROR(fn_(piece_));
    piece_.Clear();
    size_ = 0;
    return absl::OkStatus();
  }
  const std::function<absl::Status(const v1::ManifestPiece&)>& fn_;
  v1::ManifestPiece piece_;
  size_t size_ = 0;
};

absl::Status WriteText(absl::string_view text, std::string* (v1::ManifestPiece::*field)(),
                       PieceWriter* out) {
  while (!text.empty()) {
    const absl::string_view part = CutUtf8(text, kPieceBytes);
    (out->piece()->*field)()->append(part.data(), part.size());
    RETURN_IF_ERROR(out->Grew(part.size()));
    text.remove_prefix(part.size());
  }
  return absl::OkStatus();
}

void SpecToProto(const TensorSpec& spec, v1::Entry* out) {
  out->set_key(spec.key);
  out->set_dtype(std::string(DTypeName(spec.dtype)));
  for (const uint64_t dim : spec.shape) out->add_shape(dim);
  out->set_kind(KindToProto(spec.kind));
  out->set_role(spec.role == Role::kOther ? v1::ROLE_OTHER : v1::ROLE_WEIGHTS);
}

void HealthToProto(const Health& health, v1::Health* out) {
  out->set_nan(health.nan);
  out->set_inf(health.inf);
  out->set_zeros(health.zeros);
  out->set_min(health.min);
  out->set_max(health.max);
  out->set_mean(health.mean);
}

Health HealthFromProto(const v1::Health& in) {
  return {in.nan(), in.inf(), in.zeros(), in.min(), in.max(), in.mean()};
}

void BlocksToProto(const ManifestEntry& entry, size_t begin, size_t end, v1::Entry* out) {
  for (size_t i = begin; i < end; ++i) {
    out->mutable_block_digests()->append(entry.blocks[i].digest.View().data(), Digest::kBytes);
    out->add_block_crc32s(entry.blocks[i].crc32);
  }
}

absl::Status BlocksFromProto(const v1::Entry& in, std::vector<BlockRef>* blocks) {
  const std::string& digests = in.block_digests();
  const size_t count = digests.size() / Digest::kBytes;
  const bool crcs = in.block_crc32s_size() > 0;
  if (digests.size() % Digest::kBytes != 0 ||
      (crcs && static_cast<size_t>(in.block_crc32s_size()) != count)) {
    return MalformedError("entry ", QuotedKey(in.key()), ": ", digests.size(), " digest bytes and ",
                          in.block_crc32s_size(), " CRCs do not describe whole blocks");
  }
  for (size_t i = 0; i < count; ++i) {
    BlockRef& block = blocks->emplace_back();
    std::copy_n(digests.data() + i * Digest::kBytes, Digest::kBytes, block.digest.bytes.begin());
    if (crcs) block.crc32 = in.block_crc32s(static_cast<int>(i));
    if (!crcs && block.digest == Digest()) {
      return MalformedError("entry ", QuotedKey(in.key()), ": block ", i,
                            " has neither a digest nor a CRC-32, want one of them");
    }
  }
  return absl::OkStatus();
}

void ItemsToProto(const std::vector<ReportItem>& items, v1::ReportItem* (v1::ReportPiece::*add)(),
                  v1::ReportPiece* piece, const std::function<absl::Status()>& flush,
                  absl::Status* status, size_t* size) {
  for (const ReportItem& item : items) {
    if (!status->ok()) return;
    v1::ReportItem* out = (piece->*add)();
    out->set_key(item.key);
    out->set_expected(item.expected);
    out->set_found(item.found);
    out->set_suggestion(item.suggestion);
    *size +=
        item.key.size() + item.expected.size() + item.found.size() + item.suggestion.size() + 16;
    if (*size >= kPieceBytes) *status = flush();
  }
}

void ItemsFromProto(const google::protobuf::RepeatedPtrField<v1::ReportItem>& in,
                    std::vector<ReportItem>* out) {
  for (const v1::ReportItem& item : in) {
    out->push_back({item.key(), item.expected(), item.found(), item.suggestion()});
  }
}

}  // namespace

std::string MethodPath(absl::string_view method) {
  const bool operation =
      std::find(std::begin(kOperations), std::end(kOperations), method) != std::end(kOperations);
  return absl::StrCat("/ballast.v1.", operation ? "Operations/" : "Registry/", method);
}

std::string StatusMessage(const absl::Status& status) {
  return std::string(Utf8Prefix(Printable(status.message()), kStatusMessageBytesMax));
}

std::string StatusDetails(const absl::Status& status) {
  v1::ErrorInfo info;
  info.set_reason(std::string(ReasonName(GetReason(status))));
  info.set_domain("ballast");
  v1::RpcStatus rpc;
  rpc.set_code(static_cast<int>(status.code()));
  rpc.set_message(StatusMessage(status));
  google::protobuf::Any* any = rpc.add_details();
  any->set_type_url(std::string(kErrorInfoUrl));
  any->set_value(info.SerializeAsString());
  return rpc.SerializeAsString();
}

absl::Status StatusFromWire(int code, absl::string_view message, absl::string_view details) {
  if (code == 0) return absl::OkStatus();
  Reason reason = Reason::kNone;
  v1::RpcStatus rpc;
  if (!details.empty() && rpc.ParseFromArray(details.data(), static_cast<int>(details.size()))) {
    for (const google::protobuf::Any& any : rpc.details()) {
      v1::ErrorInfo info;
      if (any.type_url() == std::string(kErrorInfoUrl) && info.ParseFromString(any.value())) {
        reason = ReasonFromName(info.reason());
      }
    }
  }
  const bool known = code > 0 && code <= 16;
  return MakeError(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown, reason,
                   Printable(message));
}

void EntryToProto(const ManifestEntry& entry, uint64_t begin, uint64_t end, v1::Entry* out) {
  if (begin == 0) {
    SpecToProto(entry.spec, out);
    if (entry.health.has_value()) HealthToProto(*entry.health, out->mutable_health());
  } else {
    out->set_continued(true);
  }
  BlocksToProto(entry, begin, end, out);
}

absl::StatusOr<ManifestEntry> EntryFromProto(const v1::Entry& entry) {
  ManifestEntry out;
  out.spec.key = entry.key();
  const std::optional<DType> dtype = DTypeFromName(entry.dtype());
  if (!dtype) {
    return MalformedError("entry ", QuotedKey(entry.key()), ": dtype is \"",
                          Printable(entry.dtype().substr(0, 60)),
                          "\", want one of PyTorch's names such as \"float32\"");
  }
  out.spec.dtype = *dtype;
  out.spec.shape.assign(entry.shape().begin(), entry.shape().end());
  if (!v1::Kind_IsValid(entry.kind()) || !v1::Role_IsValid(entry.role())) {
    return MalformedError("entry ", QuotedKey(entry.key()), ": kind or role is not a known one");
  }
  out.spec.kind = static_cast<Kind>(entry.kind());
  out.spec.role = entry.role() == v1::ROLE_OTHER ? Role::kOther : Role::kWeights;
  if (entry.has_health()) out.health = HealthFromProto(entry.health());
  RETURN_IF_ERROR(BlocksFromProto(entry, &out.blocks));
  return out;
}

absl::Status AddEntry(const v1::Entry& entry, std::vector<ManifestEntry>* entries) {
  if (entry.continued()) {
    if (entries->empty()) return MalformedError("nothing to continue");
    return BlocksFromProto(entry, &entries->back().blocks);
  }
  ASSIGN_OR_RETURN(ManifestEntry decoded, EntryFromProto(entry));
  entries->push_back(std::move(decoded));
  return absl::OkStatus();
}

absl::Status ForEachManifestPiece(const Manifest& manifest, bool with_blocks,
                                  const std::function<absl::Status(const v1::ManifestPiece&)>& fn) {
  PieceWriter out(fn);
  out.piece()->set_format(std::string(FormatName(manifest.format)));
  out.piece()->set_writer(manifest.writer);
  RETURN_IF_ERROR(
      WriteText(manifest.metadata_json, &v1::ManifestPiece::mutable_metadata_json, &out));
  RETURN_IF_ERROR(WriteText(manifest.leaves_json, &v1::ManifestPiece::mutable_leaves_json, &out));
  for (const ManifestEntry& entry : manifest.entries) {
    const size_t blocks = with_blocks ? entry.blocks.size() : 0;
    size_t begin = 0;
    do {
      const size_t end = std::min(blocks, begin + kBlocksPerEntryMessage);
      EntryToProto(entry, begin, end, out.piece()->add_entries());
      RETURN_IF_ERROR(
          out.Grew(entry.spec.key.size() + kEntryBytes + (end - begin) * (Digest::kBytes + 4)));
      begin = end;
    } while (begin < blocks);
  }
  for (const std::vector<uint32_t>& group : manifest.ties) {
    // A group is never cut: entries_max indices of 5 bytes would be 5 MiB, so a group
    // that large cannot come from a reader within its limits and is sent alone.
    v1::Tie* tie = out.piece()->add_ties();
    tie->mutable_entries()->Add(group.begin(), group.end());
    RETURN_IF_ERROR(out.Grew(group.size() * 4 + 8));
  }
  return out.Finish();
}

absl::Status ManifestAssembler::Add(const v1::ManifestPiece& piece) {
  if (done_) return MalformedError("manifest: a piece follows the last one");
  bytes_ += piece.ByteSizeLong();
  if (bytes_ > limits_.manifest_bytes_max) {
    return LimitError("manifest: more than ", limits_.manifest_bytes_max,
                      " bytes (manifest_bytes_max)");
  }
  if (!piece.format().empty()) {
    ASSIGN_OR_RETURN(manifest_.format, FormatFromWire(piece.format()), "manifest");
  }
  manifest_.writer += piece.writer();
  manifest_.metadata_json += piece.metadata_json();
  manifest_.leaves_json += piece.leaves_json();
  for (const v1::Entry& entry : piece.entries()) {
    if (!entry.continued() && manifest_.entries.size() >= limits_.entries_max) {
      return LimitError("manifest: more than ", limits_.entries_max, " entries (entries_max)");
    }
    RETURN_IF_ERROR(AddEntry(entry, &manifest_.entries), "manifest");
  }
  for (const v1::Tie& tie : piece.ties()) {
    manifest_.ties.emplace_back(tie.entries().begin(), tie.entries().end());
  }
  done_ = piece.last();
  return absl::OkStatus();
}

absl::StatusOr<Manifest> ManifestAssembler::Take(bool with_blocks) {
  if (with_blocks) {
    RETURN_IF_ERROR(CheckManifest(manifest_, limits_));
    return std::move(manifest_);
  }
  absl::flat_hash_set<absl::string_view> keys;
  for (const ManifestEntry& entry : manifest_.entries) {
    RETURN_IF_ERROR(CheckKey(entry.spec.key, limits_));
    RETURN_IF_ERROR(TensorBytes(entry.spec.dtype, entry.spec.shape, limits_).status(),
                    QuotedKey(entry.spec.key));
    if (!keys.insert(entry.spec.key).second) {
      return MalformedError("key ", QuotedKey(entry.spec.key), " is there twice");
    }
  }
  return std::move(manifest_);
}

KeyRuleOptions RulesFromProto(const v1::KeyRules& rules) {
  return {rules.select(),
          {rules.include().begin(), rules.include().end()},
          {rules.exclude().begin(), rules.exclude().end()},
          {rules.rename().begin(), rules.rename().end()}};
}

void RulesToProto(const KeyRuleOptions& options, v1::KeyRules* out) {
  out->set_select(options.select);
  for (const std::string& glob : options.include) out->add_include(glob);
  for (const std::string& glob : options.exclude) out->add_exclude(glob);
  for (const std::string& rule : options.rename) out->add_rename(rule);
}

absl::Status ForEachReportPiece(const Report& report,
                                const std::function<absl::Status(const v1::ReportPiece&)>& fn) {
  v1::ReportPiece piece;
  const auto begin_piece = [&] {
    piece.Clear();
    piece.set_ok(report.ok);
    piece.set_strict(report.strict);
    piece.set_items_omitted(report.items_omitted);
  };
  begin_piece();
  size_t size = 0;
  absl::Status status;
  const std::function<absl::Status()> flush = [&] {
    const absl::Status result = fn(piece);
    begin_piece();
    size = 0;
    return result;
  };
  using Piece = v1::ReportPiece;
  ItemsToProto(report.missing, &Piece::add_missing, &piece, flush, &status, &size);
  ItemsToProto(report.unexpected, &Piece::add_unexpected, &piece, flush, &status, &size);
  ItemsToProto(report.shape_mismatches, &Piece::add_shape_mismatches, &piece, flush, &status,
               &size);
  ItemsToProto(report.dtype_mismatches, &Piece::add_dtype_mismatches, &piece, flush, &status,
               &size);
  RETURN_IF_ERROR(status);
  piece.set_last(true);
  return fn(piece);
}

bool AddReportPiece(const v1::ReportPiece& piece, Report* report) {
  report->ok = piece.ok();
  report->strict = piece.strict();
  report->items_omitted = piece.items_omitted();
  ItemsFromProto(piece.missing(), &report->missing);
  ItemsFromProto(piece.unexpected(), &report->unexpected);
  ItemsFromProto(piece.shape_mismatches(), &report->shape_mismatches);
  ItemsFromProto(piece.dtype_mismatches(), &report->dtype_mismatches);
  return piece.last();
}

absl::StatusOr<Format> FormatFromWire(absl::string_view name) {
  if (name.empty()) return Format::kUnknown;
  const std::optional<Format> format = FormatFromName(name);
  if (format) return *format;
  std::vector<absl::string_view> names;
  for (const Format known : AllFormats()) names.push_back(FormatName(known));
  return MalformedError("format is \"", Printable(name.substr(0, 60)), "\", want one of ",
                        absl::StrJoin(names, ", "));
}

absl::Status ForEachTextPiece(absl::string_view text,
                              const std::function<absl::Status(absl::string_view)>& fn) {
  do {
    const absl::string_view part = text.substr(0, kDataMessageBytes);
    RETURN_IF_ERROR(fn(part));
    text.remove_prefix(part.size());
  } while (!text.empty());
  return absl::OkStatus();
}

}  // namespace ballast::wire

#include "server/use_cases/pull.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/use_cases/held_manifest.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"
#include "storage/schema/selection.h"

namespace ballast {
namespace {

absl::Status CheckRowsAlone(const PullParameters& options) {
  if (options.format != Format::kUnknown && options.format != Format::kTensors) {
    return MalformedError("rows of a tensor: format is ", FormatName(options.format),
                          ", want tensors");
  }
  const KeyRuleOptions& rules = options.rules;
  if (rules.select.empty() && rules.include.empty() && rules.exclude.empty() &&
      rules.rename.empty() && !options.plain_dict) {
    return absl::OkStatus();
  }
  return MalformedError("rows of a tensor: there are rules or a plain dict, want none");
}

// The entries of a layout as they come in it.
std::vector<uint32_t> EntriesInOrder(const FileLayout& layout) {
  std::vector<uint32_t> entries;
  for (const Extent& extent : layout.extents) {
    if (extent.kind == Extent::Kind::kTensor) entries.push_back(extent.entry);
  }
  return entries;
}

}  // namespace

void AppendChunk(Chunk chunk, std::vector<Chunk>* chunks) {
  if (!chunks->empty() && chunks->back().owner == chunk.owner) {
    absl::string_view& last = chunks->back().bytes;
    if (last.data() + last.size() == chunk.bytes.data()) {
      last = absl::string_view(last.data(), last.size() + chunk.bytes.size());
      return;
    }
  }
  chunks->push_back(std::move(chunk));
}

absl::StatusOr<std::unique_ptr<Pull>> Pull::Open(const Services& services,
                                                 absl::string_view principal,
                                                 const PullParameters& options) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(options.reference));
  RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kRead, reference.model));
  std::unique_ptr<Pull> pull(new Pull);
  ASSIGN_OR_RETURN(pull->version_, services.catalog->GetVersion(reference));
  ASSIGN_OR_RETURN(HeldManifest held, LoadManifest(services, pull->version_));
  pull->memory_ = std::move(held.memory);
  pull->manifest_ = std::move(held.manifest);
  RETURN_IF_ERROR(options.rows ? pull->LayOutRows(services, options)
                               : pull->LayOutFile(services, options));
  RETURN_IF_ERROR(pull->SeekTo(options));
  return pull;
}

absl::Status Pull::LayOutFile(const Services& services, const PullParameters& options) {
  RETURN_IF_ERROR(SelectEntries(options.rules, options.with_optimizer, services.limits, &manifest_,
                                &warnings_));
  const Format format = options.format == Format::kUnknown
                            ? DefaultFormat(manifest_, options.plain_dict)
                            : options.format;
  LayoutInput input = LayoutInputOf(manifest_);
  input.plain_dict = options.plain_dict;
  ASSIGN_OR_RETURN(FileLayout layout, ballast::LayOut(format, input, services.limits),
                   absl::StrCat(version_.model, ":", version_.version));
  warnings_.insert(warnings_.end(), layout.warnings.begin(), layout.warnings.end());
  ReadFrom(services.blobs, std::move(layout));
  return absl::OkStatus();
}

// The extent of the whole tensor, cut to the rows.
absl::Status Pull::LayOutRows(const Services& services, const PullParameters& options) {
  RETURN_IF_ERROR(CheckRowsAlone(options));
  const std::string where = absl::StrCat(version_.model, ":", version_.version);
  RETURN_IF_ERROR(KeepOnly(options.rows->key, &manifest_), where);
  ASSIGN_OR_RETURN(const RowSlice slice, SliceRows(manifest_.entries[0].spec, options.rows->range),
                   where);
  ASSIGN_OR_RETURN(FileLayout layout,
                   ballast::LayOut(Format::kTensors, LayoutInputOf(manifest_), services.limits));
  if (slice.size_bytes == 0) layout.extents.clear();
  for (Extent& extent : layout.extents) {
    extent.offset = slice.offset_bytes;
    extent.size_bytes = slice.size_bytes;
  }
  layout.size_bytes = slice.size_bytes;
  ReadFrom(services.blobs, std::move(layout));
  return absl::OkStatus();
}

void Pull::ReadFrom(BlobStore* blobs, FileLayout layout) {
  layout_ = std::make_shared<const FileLayout>(std::move(layout));
  std::vector<Digest> digests;
  digests.reserve(manifest_.entries.size());
  for (const ManifestEntry& entry : manifest_.entries) digests.push_back(TensorDigest(entry));
  layout_digest_ = layout_->LayoutDigest(digests);
  source_ = std::make_unique<StoreTensorSource>(blobs, &manifest_);
  source_->ReadInOrder(EntriesInOrder(*layout_));
  reader_ = std::make_unique<LayoutReader>(layout_.get(), source_.get());
}

absl::Status Pull::SeekTo(const PullParameters& options) {
  if (!options.layout_digest.empty() &&
      options.layout_digest != std::string(layout_digest_.View())) {
    return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kConflict,
                     absl::StrCat("pull: layout is ", layout_digest_.Hex(),
                                  ", which is not the one that was begun; start again"));
  }
  if (options.offset_bytes > layout_->size_bytes) {
    return absl::OutOfRangeError(absl::StrCat("pull: offset is ", options.offset_bytes,
                                              ", want at most ", layout_->size_bytes));
  }
  const uint64_t rest = layout_->size_bytes - options.offset_bytes;
  const uint64_t length = options.length_bytes == 0 ? rest : std::min(rest, options.length_bytes);
  end_ = options.offset_bytes + length;
  return reader_->Seek(options.offset_bytes);
}

uint32_t Pull::CrcOf(const Extent& extent, uint64_t extent_offset, absl::string_view bytes) const {
  if (extent.kind == Extent::Kind::kTensor) {
    const ManifestEntry& entry = manifest_.entries[extent.entry];
    const uint64_t offset = extent.offset + extent_offset;
    const uint64_t block = offset / kBlockBytes;
    const uint64_t whole = BlockSize(CheckedTensorBytes(entry.spec), block);
    if (offset % kBlockBytes == 0 && bytes.size() == whole) return entry.blocks[block].crc32;
  }
  return Crc32(bytes);
}

absl::StatusOr<PullPiece> Pull::Next() {
  PullPiece piece;
  piece.position = reader_->position();
  uint64_t size = 0;
  while (size < kDataMessageBytes && reader_->position() < end_) {
    const Extent* extent = reader_->extent();
    const uint64_t extent_offset = reader_->extent_offset();
    ASSIGN_OR_RETURN(Chunk chunk, reader_->Next(std::min(kBlockBytes, end_ - reader_->position())));
    const uint32_t crc = CrcOf(*extent, extent_offset, chunk.bytes);
    piece.crc32 = size == 0 ? crc : Crc32Combine(piece.crc32, crc, chunk.bytes.size());
    size += chunk.bytes.size();
    if (chunk.owner == nullptr) chunk.owner = layout_;
    AppendChunk(std::move(chunk), &piece.chunks);
  }
  return piece;
}

}  // namespace ballast

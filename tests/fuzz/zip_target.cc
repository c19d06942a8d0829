#include <map>

#include "storage/base/crc32.h"
#include "storage/formats/pytorch_reader.h"
#include "storage/formats/zip_directory.h"
#include "storage/formats/zip_reader.h"
#include "tests/formats/pytorch/zip_testing.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

constexpr size_t kPartsMax = 8;
constexpr size_t kLocalBytes = 30;
constexpr uint32_t kInZip64 = 0xFFFFFFFF;

// --- archives from a description ---

template <typename T>
std::optional<T> Maybe(Pieces* pieces, uint8_t bits, uint8_t bit) {
  if ((bits & bit) == 0) return std::nullopt;
  return static_cast<T>(pieces->Number(sizeof(T)));
}

ZipPart PartOf(Pieces* pieces) {
  ZipPart part;
  part.name = pieces->Text();
  part.data = pieces->Text();
  part.method = pieces->Byte() % 16;
  if (part.method != 0) part.stored = pieces->Text();
  part.flags = static_cast<uint16_t>(pieces->Number(2));
  part.descriptor_bytes = pieces->Byte() % 7 * 4;
  const uint8_t lies = pieces->Byte();
  const uint8_t more = pieces->Byte();
  if ((lies & 1) != 0) part.local_name = pieces->Text();
  part.local_flags = Maybe<uint16_t>(pieces, lies, 2);
  part.local_method = Maybe<uint16_t>(pieces, lies, 4);
  part.local_crc = Maybe<uint32_t>(pieces, lies, 8);
  part.local_size = Maybe<uint32_t>(pieces, lies, 16);
  part.crc = Maybe<uint32_t>(pieces, lies, 32);
  part.descriptor_crc = Maybe<uint32_t>(pieces, lies, 64);
  part.descriptor_size = Maybe<uint64_t>(pieces, lies, 128);
  part.size = Maybe<uint32_t>(pieces, more, 1);
  part.offset = Maybe<uint32_t>(pieces, more, 2);
  if ((more & 4) != 0) part.local_extra = pieces->Text();
  if ((more & 8) != 0) part.extra = pieces->Text();
  if ((more & 16) != 0) part.comment = pieces->Text();
  if ((more & 32) != 0) part.before = pieces->Text();
  return part;
}

int Small(Pieces* pieces) { return static_cast<int8_t>(pieces->Byte()); }

std::string ArchiveOf(Pieces* pieces) {
  ZipEnd end;
  const uint8_t lies = pieces->Byte();
  end.zip64 = (lies & 1) != 0;
  if ((lies & 2) != 0) end.comment = pieces->Text();
  if ((lies & 4) != 0) end.count_more = Small(pieces);
  if ((lies & 8) != 0) end.offset_more = Small(pieces);
  if ((lies & 16) != 0) end.size_more = Small(pieces);
  if ((lies & 32) != 0) end.before = pieces->Text();
  if ((lies & 64) != 0) end.zip64_count_more = Small(pieces);
  if ((lies & 128) != 0) end.zip64_offset_more = Small(pieces);
  std::vector<ZipPart> parts;
  while (!pieces->empty() && parts.size() < kPartsMax) parts.push_back(PartOf(pieces));
  return BuildZip(parts, end);
}

// --- two other readers, as naive as those in the world ---

struct Seen {
  uint64_t data_offset = 0;
  uint32_t stored_bytes = 0;
  friend bool operator==(const Seen&, const Seen&) = default;
};
using Listing = std::map<std::string, Seen>;

absl::string_view From(absl::string_view file, uint64_t offset) {
  return offset < file.size() ? file.substr(offset) : absl::string_view();
}

bool Begins(absl::string_view bytes, uint32_t signature, size_t size) {
  return bytes.size() >= size && ZipField<uint32_t>(bytes, 0) == signature;
}

Seen Locate(absl::string_view file, uint64_t offset, uint32_t stored_bytes) {
  const absl::string_view local = From(file, offset);
  Require(Begins(local, kZipLocalSignature, kLocalBytes), "the directory leads to local headers");
  const uint64_t head = kLocalBytes + ZipField<uint16_t>(local, 26) + ZipField<uint16_t>(local, 28);
  return {offset + head, stored_bytes};
}

// From the directory of the last end record. Nothing where zip64 fields are in use.
std::optional<Listing> ByDirectory(absl::string_view file) {
  const size_t end = file.rfind("PK\5\6");
  Require(end != absl::string_view::npos && file.size() - end >= 22, "there is an end record");
  const absl::string_view record = file.substr(end);
  if (ZipField<uint32_t>(record, 16) == kInZip64) return std::nullopt;
  absl::string_view left = From(file, ZipField<uint32_t>(record, 16));
  Listing out;
  for (size_t i = ZipField<uint16_t>(record, 10); i > 0; --i) {
    Require(Begins(left, kZipDirectorySignature, 46), "the directory has its entries");
    const uint32_t stored = ZipField<uint32_t>(left, 20);
    const uint32_t offset = ZipField<uint32_t>(left, 42);
    if (stored == kInZip64 || offset == kInZip64) return std::nullopt;
    const size_t name_bytes = ZipField<uint16_t>(left, 28);
    out[std::string(left.substr(46, name_bytes))] = Locate(file, offset, stored);
    left =
        From(left, 46 + name_bytes + ZipField<uint16_t>(left, 30) + ZipField<uint16_t>(left, 32));
  }
  return out;
}

// Front to back by the local headers, as a stream is unpacked. Nothing where a header
// leaves the size to a descriptor or to zip64.
std::optional<Listing> ByLocalHeaders(absl::string_view file) {
  Listing out;
  for (uint64_t at = 0; Begins(From(file, at), kZipLocalSignature, kLocalBytes);) {
    const absl::string_view local = From(file, at);
    const uint32_t stored = ZipField<uint32_t>(local, 18);
    const bool later = (ZipField<uint16_t>(local, 6) & kZipFlagDescriptor) != 0;
    if (later || stored == kInZip64) return std::nullopt;
    const Seen seen = Locate(file, at, stored);
    out[std::string(local.substr(kLocalBytes, ZipField<uint16_t>(local, 26)))] = seen;
    at = seen.data_offset + stored;
  }
  return out;
}

void CheckSeen(const ZipReader& zip, const std::optional<Listing>& listing, const char* how) {
  if (!listing) return;
  size_t files = 0;
  for (const auto& [name, seen] : *listing) {
    if (!name.empty() && name.back() == '/') continue;
    ++files;
    const ZipRecord* record = zip.Find(name);
    Require(record != nullptr, how, name);
    Require(seen == Seen{record->data_offset, static_cast<uint32_t>(record->stored_bytes)}, how,
            name);
  }
  Require(files == zip.records().size(), how);
}

// --- what the reader promises ---

void CheckRecord(const ZipReader& zip, const ZipRecord& record) {
  const uint64_t limit = SmallLimits().tensor_bytes_max;
  const absl::StatusOr<std::string> bytes = zip.Read(record, limit);
  if (!bytes.ok()) return CheckRefusal(bytes.status());
  Require(bytes->size() == record.size_bytes && bytes->size() <= limit, "a record has its size");
  if (record.has_crc()) Require(Crc32(*bytes) == record.crc32, "a record has its CRC");
}

void CheckArchive(const std::string& file, const ZipReader& zip) {
  uint64_t end = 0;
  for (const ZipRecord& record : zip.records()) {
    Require(record.data_offset >= end + kLocalBytes + record.name.size(), "records do not overlap",
            record.name);
    end = record.data_offset + record.stored_bytes;
    Require(end >= record.data_offset && end <= file.size(), "a record lies inside the archive");
    Require(zip.Find(record.name) == &record, "a name is one record's", record.name);
    CheckRecord(zip, record);
  }
  CheckSeen(zip, ByDirectory(file), "a reader of the directory sees the same");
  CheckSeen(zip, ByLocalHeaders(file), "a reader of local headers sees the same");
}

}  // namespace

void FuzzZip(absl::string_view input) {
  Pieces pieces(input);
  const bool built = (pieces.Byte() & 1) != 0;
  const std::string file = built ? ArchiveOf(&pieces) : std::string(pieces.Rest());
  const StringSource source(file);
  const absl::StatusOr<ZipReader> zip = ZipReader::Open(source, SmallLimits());
  if (zip.ok()) CheckArchive(file, *zip);
  CheckAnswer(source, ReadPyTorch(source, SmallLimits()));
}

}  // namespace ballast::fuzz

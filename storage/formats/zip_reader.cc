#include "storage/formats/zip_reader.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "storage/base/checked.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"
#include "storage/formats/inflate.h"
#include "storage/formats/zip_directory.h"

namespace ballast {
namespace {

constexpr size_t kLocalBytes = 30;
constexpr size_t kWindowBytes = 4096;
constexpr uint16_t kComparedFlags = kZipFlagDescriptor | kZipFlagUtf8;
constexpr uint32_t kMarker32 = 0xFFFFFFFF;

// Small reads near each other as one: the headers of small records share a window.
class Window {
 public:
  explicit Window(const ByteSource* source) : source_(source) {}
  // `size` bytes from `offset`; valid until the next call.
  absl::StatusOr<absl::string_view> At(uint64_t offset, uint64_t size) {
    if (offset < begin_ || !InRange(offset - begin_, size, bytes_.size())) {
      if (!InRange(offset, size, source_->size_bytes())) {
        return MalformedError("zip: ", size, " bytes at offset ", offset,
                              " lie behind the end of the file");
      }
      begin_ = offset;
      bytes_.resize(
          std::min(std::max<uint64_t>(size, kWindowBytes), source_->size_bytes() - offset));
      RETURN_IF_ERROR(source_->ReadAt(offset, absl::MakeSpan(bytes_)));
    }
    return absl::string_view(bytes_).substr(offset - begin_, size);
  }

 private:
  const ByteSource* source_;  // Must outlive this.
  uint64_t begin_ = 0;
  std::string bytes_;
};

// A size in a local header: the directory's, or 0 if a descriptor has it, or all
// ones if the zip64 field has it.
bool SizeAgrees(uint32_t field, uint64_t value, bool descriptor, bool zip64) {
  return field == value || (descriptor && field == 0) || (zip64 && field == kMarker32);
}

// torch writes (size, 0, offset) or (offset); others (size, stored size).
absl::Status CheckLocalZip64(absl::string_view zip64, const ZipEntry& entry, bool descriptor) {
  if (zip64.size() % 8 != 0 || zip64.size() > 24) {
    return MalformedError("zip64 field of the local header is ", zip64.size(), " bytes long");
  }
  const auto agrees = [descriptor](uint64_t field, uint64_t value) {
    return field == value || (descriptor && field == 0);
  };
  bool good = true;
  const auto first = zip64.empty() ? 0 : ZipField<uint64_t>(zip64, 0);
  if (zip64.size() == 8) good = first == entry.header_offset || first == entry.size_bytes;
  if (zip64.size() >= 16) {
    good =
        agrees(first, entry.size_bytes) && agrees(ZipField<uint64_t>(zip64, 8), entry.stored_bytes);
  }
  if (zip64.size() == 24) good = good && ZipField<uint64_t>(zip64, 16) == entry.header_offset;
  if (!good) return UnsafeError("zip64 field of the local header disagrees with the directory");
  return absl::OkStatus();
}

absl::Status CheckLocal(absl::string_view header, absl::string_view extra, const ZipEntry& entry) {
  const auto flags = ZipField<uint16_t>(header, 6);
  const bool descriptor = (flags & kZipFlagDescriptor) != 0;
  if ((flags & kZipForbiddenFlags) != 0) {
    return UnsupportedError("record is encrypted or patched (flags ", flags,
                            " in its local header)");
  }
  if (((flags ^ entry.flags) & kZipFlagDescriptor) != 0) {
    return MalformedError("flags of the local header are ", flags, " and those of the directory ",
                          entry.flags, ", want both to say whether there is a data descriptor");
  }
  if ((flags & ~kComparedFlags & ~6u) != 0 ||
      (flags & kComparedFlags) != (entry.flags & kComparedFlags)) {
    return UnsafeError("flags of the local header are ", flags, ", want the directory's ",
                       entry.flags);
  }
  if (ZipField<uint16_t>(header, 8) != entry.method) {
    return UnsafeError("method of the local header is ", ZipField<uint16_t>(header, 8),
                       ", want the directory's ", entry.method);
  }
  absl::string_view zip64;
  RETURN_IF_ERROR(ParseZipExtra(extra, &zip64));
  RETURN_IF_ERROR(CheckLocalZip64(zip64, entry, descriptor));
  if (!SizeAgrees(ZipField<uint32_t>(header, 18), entry.stored_bytes, descriptor,
                  zip64.size() >= 16) ||
      !SizeAgrees(ZipField<uint32_t>(header, 22), entry.size_bytes, descriptor,
                  zip64.size() >= 16)) {
    return UnsafeError("sizes in the local header disagree with the directory");
  }
  const auto crc = ZipField<uint32_t>(header, 14);
  if (crc != entry.crc32 && !(descriptor && crc == 0)) {
    return ChecksumError("CRC in the local header disagrees with the directory");
  }
  return absl::OkStatus();
}

// The descriptor is what lies between the data and the next record.
absl::Status CheckDescriptor(absl::string_view bytes, const ZipEntry& entry) {
  const bool wide = bytes.size() == 20 || bytes.size() == 24;
  if (!wide && std::max(entry.stored_bytes, entry.size_bytes) > kMarker32) {
    return MalformedError("data descriptor is ", bytes.size(), " bytes long, want 24 for ",
                          entry.size_bytes, " bytes of data");
  }
  if (bytes.size() == 16 || bytes.size() == 24) {
    if (ZipField<uint32_t>(bytes, 0) != kZipDescriptorSignature) {
      return MalformedError("data is followed by ", bytes.size(),
                            " bytes that are no data descriptor");
    }
    bytes.remove_prefix(4);
  }
  const uint64_t stored =
      wide ? ZipField<uint64_t>(bytes, 4) : uint64_t{ZipField<uint32_t>(bytes, 4)};
  const uint64_t size =
      wide ? ZipField<uint64_t>(bytes, 12) : uint64_t{ZipField<uint32_t>(bytes, 8)};
  if (stored != entry.stored_bytes || size != entry.size_bytes) {
    return UnsafeError("sizes in the data descriptor disagree with the directory");
  }
  if (ZipField<uint32_t>(bytes, 0) != entry.crc32) {
    return ChecksumError("CRC in the data descriptor disagrees with the directory");
  }
  return absl::OkStatus();
}

// Reads the local header of `entry` and what lies between its data and `next`,
// the offset where the next record or the directory begins.
absl::Status CheckRecord(Window* window, const ZipEntry& entry, uint64_t next, ZipRecord* record) {
  ASSIGN_OR_RETURN(absl::string_view header, window->At(entry.header_offset, kLocalBytes));
  if (ZipField<uint32_t>(header, 0) != kZipLocalSignature) {
    return MalformedError("no local header at offset ", entry.header_offset);
  }
  const uint64_t name_bytes = ZipField<uint16_t>(header, 26);
  const uint64_t extra_bytes = ZipField<uint16_t>(header, 28);
  const uint64_t names_end = entry.header_offset + kLocalBytes + name_bytes;
  const uint64_t data = names_end + extra_bytes;
  if (names_end <= next && data > next) {
    return MalformedError("extra field of the local header is ", extra_bytes,
                          " bytes long and runs over offset ", next, ", where the record ends");
  }
  if (data > next || entry.stored_bytes > next - data) {
    return UnsafeError("record at offset ", entry.header_offset, " overlaps what begins at offset ",
                       next);
  }
  ASSIGN_OR_RETURN(header, window->At(entry.header_offset, data - entry.header_offset));
  if (header.substr(kLocalBytes, name_bytes) != entry.name) {
    return UnsafeError("name in the local header is ",
                       Printable(header.substr(kLocalBytes, std::min<uint64_t>(name_bytes, 200))),
                       ", want the directory's");
  }
  RETURN_IF_ERROR(CheckLocal(header, header.substr(kLocalBytes + name_bytes), entry));
  record->data_offset = data;
  const uint64_t gap = next - data - entry.stored_bytes;
  if ((entry.flags & kZipFlagDescriptor) == 0) {
    if (gap == 0) return absl::OkStatus();
    return UnsafeError("data is followed by ", gap, " bytes that belong to no record");
  }
  if (gap != 12 && gap != 16 && gap != 20 && gap != 24) {
    return MalformedError("data is followed by ", gap, " bytes, want a data descriptor");
  }
  ASSIGN_OR_RETURN(const absl::string_view descriptor, window->At(data + entry.stored_bytes, gap));
  return CheckDescriptor(descriptor, entry);
}

absl::Status CheckNoDuplicates(const std::vector<ZipEntry>& entries) {
  absl::flat_hash_set<std::string> seen;
  seen.reserve(entries.size());
  for (const ZipEntry& entry : entries) {
    if (!seen.insert(absl::AsciiStrToLower(entry.name)).second) {
      return UnsafeError("zip: record ", Printable(entry.name),
                         " stands twice, want names that differ by more than case");
    }
  }
  return absl::OkStatus();
}

// Indices of the entries in the order of their local headers.
std::vector<size_t> FileOrder(const std::vector<ZipEntry>& entries) {
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&entries](size_t a, size_t b) {
    return entries[a].header_offset < entries[b].header_offset;
  });
  return order;
}

absl::StatusOr<std::vector<ZipRecord>> CheckRecords(const ByteSource& source,
                                                    const ZipDirectory& directory) {
  const std::vector<size_t> order = FileOrder(directory.entries);
  if (const uint64_t first = directory.entries[order[0]].header_offset; first != 0) {
    return MalformedError("zip: first record begins at offset ", first, ", want 0");
  }
  if (const ZipEntry& last = directory.entries[order.back()];
      !InRange(last.header_offset, kLocalBytes, directory.offset)) {
    return MalformedError("zip: record ", Printable(last.name), ": local header at offset ",
                          last.header_offset, ", want it before the directory at offset ",
                          directory.offset);
  }
  Window window(&source);
  std::vector<ZipRecord> records;
  records.reserve(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const ZipEntry& entry = directory.entries[order[i]];
    const uint64_t next =
        i + 1 < order.size() ? directory.entries[order[i + 1]].header_offset : directory.offset;
    ZipRecord record{.name = entry.name,
                     .stored_bytes = entry.stored_bytes,
                     .size_bytes = entry.size_bytes,
                     .crc32 = entry.crc32,
                     .deflated = entry.method == kZipDeflate,
                     .descriptor = (entry.flags & kZipFlagDescriptor) != 0};
    RETURN_IF_ERROR(CheckRecord(&window, entry, next, &record),
                    absl::StrCat("zip: record ", Printable(entry.name)));
    if (!entry.folder()) records.push_back(std::move(record));
  }
  return records;
}

}  // namespace

ZipReader::ZipReader(const ByteSource* source, std::vector<ZipRecord> records)
    : source_(source), records_(std::move(records)) {
  by_name_.reserve(records_.size());
  for (size_t i = 0; i < records_.size(); ++i) by_name_.emplace(records_[i].name, i);
}

absl::StatusOr<ZipReader> ZipReader::Open(const ByteSource& source, const Limits& limits) {
  ASSIGN_OR_RETURN(const ZipDirectory directory, ReadZipDirectory(source, limits));
  RETURN_IF_ERROR(CheckNoDuplicates(directory.entries));
  ASSIGN_OR_RETURN(std::vector<ZipRecord> records, CheckRecords(source, directory));
  return ZipReader(&source, std::move(records));
}

const ZipRecord* ZipReader::Find(absl::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &records_[it->second];
}

absl::StatusOr<std::string> ZipReader::Read(const ZipRecord& record, uint64_t limit_bytes) const {
  const std::string where = absl::StrCat("zip: record ", Printable(record.name));
  if (std::max(record.size_bytes, record.stored_bytes) > limit_bytes) {
    return LimitError(where, " is ", std::max(record.size_bytes, record.stored_bytes),
                      " bytes long, want at most ", limit_bytes);
  }
  std::string bytes(record.size_bytes, '\0');
  if (record.deflated) {
    const SourceStorage storage{.name = record.name,
                                .offset_bytes = record.data_offset,
                                .stored_bytes = record.stored_bytes,
                                .size_bytes = record.size_bytes,
                                .encoding = SourceStorage::Encoding::kDeflate};
    RETURN_IF_ERROR(InflateInto(*source_, storage, absl::MakeSpan(bytes)), "zip");
  } else {
    RETURN_IF_ERROR(source_->ReadAt(record.data_offset, absl::MakeSpan(bytes)), where);
  }
  if (record.has_crc() && Crc32(bytes) != record.crc32) {
    return ChecksumError(where, ": CRC-32 of the data is ", Crc32(bytes), ", want ", record.crc32);
  }
  return bytes;
}

}  // namespace ballast

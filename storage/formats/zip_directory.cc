#include "storage/formats/zip_directory.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_split.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"

namespace ballast {
namespace {

static_assert(std::endian::native == std::endian::little, "ZipField copies");

constexpr size_t kEndBytes = 22;
constexpr size_t kZip64EndBytes = 56;
constexpr size_t kLocatorBytes = 20;
constexpr size_t kEntryBytes = 46;
constexpr size_t kCommentBytesMax = 0xFFFF;
constexpr size_t kNameBytesMax = 4096;
constexpr uint32_t kMarker32 = 0xFFFFFFFF;
constexpr uint16_t kMarker16 = 0xFFFF;
constexpr uint16_t kUnicodePathExtra = 0x7075;
constexpr uint16_t kAesExtra = 0x9901;
// Deflate level, descriptor, UTF-8.
constexpr uint16_t kKnownFlags = 1u << 1 | 1u << 2 | kZipFlagDescriptor | kZipFlagUtf8;

// Where the directory is, according to the end records.
struct Ends {
  uint64_t directory_offset = 0;
  uint64_t directory_bytes = 0;
  uint64_t entries = 0;
  uint64_t begin = 0;  // of the first end record
};

absl::StatusOr<std::string> ReadBytes(const ByteSource& source, uint64_t offset, uint64_t size) {
  std::string bytes(size, '\0');
  RETURN_IF_ERROR(source.ReadAt(offset, absl::MakeSpan(bytes)));
  return bytes;
}

// Positions in `tail`, the end of a file, of end records whose comments end the file.
std::vector<size_t> EndRecords(absl::string_view tail) {
  std::vector<size_t> found;
  for (size_t at = tail.find("PK\5\6"); at != absl::string_view::npos;
       at = tail.find("PK\5\6", at + 1)) {
    if (tail.size() - at < kEndBytes) break;
    if (at + kEndBytes + ZipField<uint16_t>(tail, at + 20) == tail.size()) found.push_back(at);
  }
  return found;
}

absl::StatusOr<std::string> ReadTail(const ByteSource& source) {
  const uint64_t size = source.size_bytes();
  const uint64_t tail_bytes = std::min<uint64_t>(size, kEndBytes + kCommentBytesMax);
  return ReadBytes(source, size - tail_bytes, tail_bytes);
}

// Offset of the end record: the last signature in the file, and the only one whose
// comment ends it. Some readers search from the end, others check the comment.
absl::StatusOr<uint64_t> FindEnd(const ByteSource& source, std::string* end_record) {
  ASSIGN_OR_RETURN(const std::string tail, ReadTail(source));
  const uint64_t begin = source.size_bytes() - tail.size();
  const size_t last = tail.rfind("PK\5\6");
  if (last == std::string::npos || tail.size() - last < kEndBytes) {
    return TruncatedError(
        "zip: no end of central directory at the end of the file, want a complete archive (an "
        "interrupted save or download?)");
  }
  const std::vector<size_t> records = EndRecords(tail);
  if (records.empty()) {
    return MalformedError("zip: end record at offset ", begin + last, " is followed by ",
                          tail.size() - last - kEndBytes, " bytes, want its comment of ",
                          ZipField<uint16_t>(tail, last + 20));
  }
  if (records[0] != last) {
    return UnsafeError("zip: end record at offset ", begin + records[0], " has another at offset ",
                       begin + last, " in its comment, want one");
  }
  *end_record = tail.substr(last, kEndBytes);
  return begin + last;
}

// A field of the end record: the value itself, or all ones if zip64 has it.
template <typename T>
bool Agrees(T field, uint64_t value) {
  return field == value || field == static_cast<T>(~T{0});
}

// Whether a zip64 end record at `offset` says itself that it fills all up to the locator: the
// distance alone may come of bytes between them, or in front of the archive.
absl::StatusOr<bool> IsExtended(const ByteSource& source, uint64_t offset,
                                uint64_t locator_offset) {
  if (!InRange(offset, kZip64EndBytes + 1, locator_offset)) return false;
  ASSIGN_OR_RETURN(const std::string head, ReadBytes(source, offset, 12));
  return ZipField<uint32_t>(head, 0) == kZip64EndSignature &&
         ZipField<uint64_t>(head, 4) == locator_offset - offset - 12;
}

absl::Status ReadZip64End(const ByteSource& source, const std::string& end_record,
                          absl::string_view locator, Ends* ends) {
  const uint64_t locator_offset = ends->begin - kLocatorBytes;
  const auto offset = ZipField<uint64_t>(locator, 8);
  if (ZipField<uint32_t>(locator, 4) != 0 || ZipField<uint32_t>(locator, 16) != 1) {
    return UnsupportedError("zip: archive spans several disks");
  }
  ASSIGN_OR_RETURN(const bool extended, IsExtended(source, offset, locator_offset));
  if (extended) {
    return UnsupportedError("zip: zip64 end record at offset ", offset, " is ",
                            locator_offset - offset, " bytes long, want ", kZip64EndBytes,
                            " (no extensible data)");
  }
  if (locator_offset < kZip64EndBytes || offset != locator_offset - kZip64EndBytes) {
    return UnsafeError("zip: zip64 locator points to offset ", offset, ", want ",
                       locator_offset - std::min<uint64_t>(locator_offset, kZip64EndBytes));
  }
  ASSIGN_OR_RETURN(const std::string end64, ReadBytes(source, offset, kZip64EndBytes));
  if (ZipField<uint32_t>(end64, 0) != kZip64EndSignature ||
      ZipField<uint64_t>(end64, 4) != kZip64EndBytes - 12) {
    return MalformedError("zip: no zip64 end record of ", kZip64EndBytes, " bytes at offset ",
                          offset);
  }
  if (ZipField<uint32_t>(end64, 16) != 0 || ZipField<uint32_t>(end64, 20) != 0) {
    return UnsupportedError("zip: archive spans several disks");
  }
  ends->begin = offset;
  ends->entries = ZipField<uint64_t>(end64, 32);
  ends->directory_bytes = ZipField<uint64_t>(end64, 40);
  ends->directory_offset = ZipField<uint64_t>(end64, 48);
  if (ZipField<uint64_t>(end64, 24) != ends->entries ||
      !Agrees(ZipField<uint16_t>(end_record, 8), ends->entries) ||
      !Agrees(ZipField<uint16_t>(end_record, 10), ends->entries) ||
      !Agrees(ZipField<uint32_t>(end_record, 12), ends->directory_bytes) ||
      !Agrees(ZipField<uint32_t>(end_record, 16), ends->directory_offset)) {
    return UnsafeError("zip: zip64 end record and end record disagree");
  }
  return absl::OkStatus();
}

absl::Status ReadPlainEnd(const std::string& end_record, Ends* ends) {
  ends->entries = ZipField<uint16_t>(end_record, 10);
  ends->directory_bytes = ZipField<uint32_t>(end_record, 12);
  ends->directory_offset = ZipField<uint32_t>(end_record, 16);
  if (ZipField<uint16_t>(end_record, 8) != ends->entries) {
    return UnsupportedError("zip: archive spans several disks");
  }
  if (ends->directory_bytes == kMarker32 || ends->directory_offset == kMarker32) {
    return MalformedError("zip: end record says zip64, want a zip64 locator before it");
  }
  return absl::OkStatus();
}

absl::Status CheckEnds(const Ends& ends, const Limits& limits) {
  uint64_t end = 0;
  if (!CheckedAdd(ends.directory_offset, ends.directory_bytes, &end) || end != ends.begin) {
    return MalformedError("zip: directory at offset ", ends.directory_offset, " is ",
                          ends.directory_bytes, " bytes long, want it to end at offset ",
                          ends.begin);
  }
  if (ends.entries > limits.zip_records_max) {
    return LimitError("zip: archive has ", ends.entries, " records, want at most ",
                      limits.zip_records_max, " (zip_records_max)");
  }
  if (ends.directory_bytes > limits.zip_directory_bytes_max) {
    return LimitError("zip: directory is ", ends.directory_bytes, " bytes long, want at most ",
                      limits.zip_directory_bytes_max, " (zip_directory_bytes_max)");
  }
  return absl::OkStatus();
}

absl::StatusOr<Ends> ReadEnds(const ByteSource& source, const Limits& limits) {
  Ends ends;
  std::string end_record, locator;
  ASSIGN_OR_RETURN(ends.begin, FindEnd(source, &end_record));
  if (ZipField<uint16_t>(end_record, 4) != 0 || ZipField<uint16_t>(end_record, 6) != 0) {
    return UnsupportedError("zip: archive spans several disks");
  }
  if (ends.begin >= kLocatorBytes) {
    ASSIGN_OR_RETURN(locator, ReadBytes(source, ends.begin - kLocatorBytes, kLocatorBytes));
  }
  if (!locator.empty() && ZipField<uint32_t>(locator, 0) == kZip64LocatorSignature) {
    RETURN_IF_ERROR(ReadZip64End(source, end_record, locator, &ends));
  } else {
    RETURN_IF_ERROR(ReadPlainEnd(end_record, &ends));
  }
  RETURN_IF_ERROR(CheckEnds(ends, limits));
  return ends;
}

absl::Status CheckName(absl::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) {
    return MalformedError("name is ", name.size(), " bytes long, want 1 to ", kNameBytesMax);
  }
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F || c == '\\') {
      return UnsafeError("name has a backslash or control character");
    }
  }
  if (!IsUtf8(name)) return MalformedError("name is not valid UTF-8");
  if (name[0] == '/' || (name.size() > 1 && name[1] == ':')) {
    return UnsafeError("name is an absolute path");
  }
  if (name.back() == '/') name.remove_suffix(1);
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return UnsafeError("name has an empty, \".\" or \"..\" part");
    }
  }
  return absl::OkStatus();
}

// The name of the folder that everything lies in is never looked at; of other names
// there is one reading only if they are ASCII or said to be UTF-8.
absl::Status CheckEncoding(const ZipEntry& entry) {
  const size_t slash = entry.name.find('/');
  if ((entry.flags & kZipFlagUtf8) != 0 || slash == std::string::npos) return absl::OkStatus();
  const bool ascii = std::all_of(entry.name.begin() + static_cast<ptrdiff_t>(slash),
                                 entry.name.end(), [](char c) { return (c & 0x80) == 0; });
  if (ascii) return absl::OkStatus();
  return MalformedError("name is not ASCII, want flag 11 (UTF-8)");
}

// Replaces fields that are all ones by their zip64 values, which stand in a fixed
// order. Values for fields that need none may stand there too, if they agree.
absl::Status ApplyZip64(absl::string_view zip64, ZipEntry* entry) {
  uint64_t* const fields[] = {&entry->size_bytes, &entry->stored_bytes, &entry->header_offset};
  const bool any = std::any_of(std::begin(fields), std::end(fields),
                               [](const uint64_t* field) { return *field == kMarker32; });
  for (uint64_t* field : fields) {
    if (any && *field != kMarker32) continue;
    if (zip64.size() < 8) {
      if (any) return MalformedError("zip64 field is too short");
      break;
    }
    const auto value = ZipField<uint64_t>(zip64, 0);
    if (!any && value != *field) return UnsafeError("zip64 field disagrees with the entry");
    *field = value;
    zip64.remove_prefix(8);
  }
  const bool disk = zip64.size() == 4 && ZipField<uint32_t>(zip64, 0) == 0;
  if (!zip64.empty() && !disk) return MalformedError("zip64 field has bytes left over");
  return absl::OkStatus();
}

absl::Status CheckFlags(const ZipEntry& entry) {
  if ((entry.flags & kZipForbiddenFlags) != 0) {
    return UnsupportedError("record is encrypted or patched (flags ", entry.flags, ")");
  }
  if ((entry.flags & ~kKnownFlags) != 0) {
    return MalformedError("flags are ", entry.flags, ", want none but 1, 2, 3 and 11");
  }
  if (entry.method != kZipStored && entry.method != kZipDeflate) {
    return UnsupportedError("compression method is ", entry.method, ", want 0 or 8");
  }
  return absl::OkStatus();
}

absl::Status CheckSizes(const ZipEntry& entry) {
  if (entry.method == kZipStored && entry.stored_bytes != entry.size_bytes) {
    return MalformedError("stored record is ", entry.stored_bytes, " bytes long, want ",
                          entry.size_bytes);
  }
  // Deflate makes at most 1032 bytes of one.
  if (entry.size_bytes / 1032 > entry.stored_bytes) {
    return MalformedError("size is ", entry.size_bytes, ", more than ", entry.stored_bytes,
                          " bytes can inflate to");
  }
  if (entry.folder() && entry.size_bytes != 0) return MalformedError("folder has data");
  return absl::OkStatus();
}

// `bytes` begins with the 46 fixed bytes of an entry; returns its whole size.
absl::StatusOr<size_t> ParseEntry(absl::string_view bytes, ZipEntry* entry) {
  if (ZipField<uint32_t>(bytes, 0) != kZipDirectorySignature) {
    return MalformedError("no directory entry here");
  }
  const size_t name_bytes = ZipField<uint16_t>(bytes, 28);
  const size_t extra_bytes = ZipField<uint16_t>(bytes, 30);
  const size_t size = kEntryBytes + name_bytes + extra_bytes + ZipField<uint16_t>(bytes, 32);
  if (size > bytes.size()) return MalformedError("directory entry runs over the directory");
  const absl::string_view name = bytes.substr(kEntryBytes, name_bytes);
  RETURN_IF_ERROR(CheckName(name));
  entry->name = std::string(name);
  entry->flags = ZipField<uint16_t>(bytes, 8);
  entry->method = ZipField<uint16_t>(bytes, 10);
  entry->crc32 = ZipField<uint32_t>(bytes, 16);
  entry->stored_bytes = ZipField<uint32_t>(bytes, 20);
  entry->size_bytes = ZipField<uint32_t>(bytes, 24);
  entry->header_offset = ZipField<uint32_t>(bytes, 42);
  if (ZipField<uint16_t>(bytes, 34) != 0 && ZipField<uint16_t>(bytes, 34) != kMarker16) {
    return UnsupportedError("archive spans several disks");
  }
  absl::string_view zip64;
  RETURN_IF_ERROR(ParseZipExtra(bytes.substr(kEntryBytes + name_bytes, extra_bytes), &zip64));
  RETURN_IF_ERROR(ApplyZip64(zip64, entry));
  RETURN_IF_ERROR(CheckFlags(*entry));
  RETURN_IF_ERROR(CheckEncoding(*entry));
  RETURN_IF_ERROR(CheckSizes(*entry));
  return size;
}

}  // namespace

absl::Status ParseZipExtra(absl::string_view extra, absl::string_view* zip64) {
  bool seen = false;
  while (!extra.empty()) {
    if (extra.size() < 4) return MalformedError("extra field has ", extra.size(), " bytes left");
    const auto id = ZipField<uint16_t>(extra, 0);
    const size_t size = ZipField<uint16_t>(extra, 2);
    extra.remove_prefix(4);
    if (size > extra.size()) return MalformedError("extra field runs over its end");
    if (id == kUnicodePathExtra) return UnsafeError("extra field gives a second name");
    if (id == kAesExtra) return UnsupportedError("record is encrypted");
    if (id == kZip64Extra) {
      if (seen) return UnsafeError("zip64 field stands twice");
      seen = true;
      *zip64 = extra.substr(0, size);
    }
    extra.remove_prefix(size);
  }
  return absl::OkStatus();
}

bool EndsLikeZip(const ByteSource& source) {
  const absl::StatusOr<std::string> tail = ReadTail(source);
  return tail.ok() && !EndRecords(*tail).empty();
}

absl::StatusOr<ZipDirectory> ReadZipDirectory(const ByteSource& source, const Limits& limits) {
  ASSIGN_OR_RETURN(const Ends ends, ReadEnds(source, limits));
  ASSIGN_OR_RETURN(const std::string bytes,
                   ReadBytes(source, ends.directory_offset, ends.directory_bytes));
  ZipDirectory directory;
  directory.offset = ends.directory_offset;
  absl::string_view rest = bytes;
  while (rest.size() >= kEntryBytes && directory.entries.size() < ends.entries) {
    ZipEntry entry;
    absl::StatusOr<size_t> used = ParseEntry(rest, &entry);
    if (!used.ok()) {
      return WithContext(used.status(), entry.name.empty()
                                            ? absl::StrCat("zip: directory entry at offset ",
                                                           ends.begin - rest.size())
                                            : absl::StrCat("zip: record ", Printable(entry.name)));
    }
    rest.remove_prefix(*used);
    directory.entries.push_back(std::move(entry));
  }
  if (!rest.empty() || directory.entries.size() != ends.entries) {
    return MalformedError("zip: directory has ", directory.entries.size(), " entries and ",
                          rest.size(), " bytes left over, want ", ends.entries, " entries");
  }
  if (directory.entries.empty()) return MalformedError("zip: archive has no records");
  return directory;
}

}  // namespace ballast

// Zip archives by hand, right or wrong in every place.
#ifndef BALLAST_TESTS_FORMATS_PYTORCH_ZIP_TESTING_H_
#define BALLAST_TESTS_FORMATS_PYTORCH_ZIP_TESTING_H_

#include <zlib.h>

#include <optional>
#include <string>
#include <vector>

#include "storage/base/crc32.h"
#include "tests/formats/formats_testing.h"

namespace ballast {

// A record; what is not set follows from name and data.
struct ZipPart {
  std::string name;
  std::string data;         // as used
  std::string stored = "";  // as stored, for method 8
  uint16_t method = 0;
  uint16_t flags = 0;         // bit 3: a descriptor is written
  int descriptor_bytes = 16;  // 0, 12, 16, 20 or 24
  std::optional<std::string> local_name = std::nullopt;
  std::optional<uint16_t> local_flags = std::nullopt;
  std::optional<uint16_t> local_method = std::nullopt;
  std::optional<uint32_t> local_crc = std::nullopt;
  std::optional<uint32_t> local_size = std::nullopt;
  std::optional<uint32_t> crc = std::nullopt;  // in directory, header and descriptor
  std::optional<uint32_t> descriptor_crc = std::nullopt;
  std::optional<uint64_t> descriptor_size = std::nullopt;
  std::optional<uint32_t> size = std::nullopt;         // in the directory, stored and used
  std::optional<uint32_t> stored_size = std::nullopt;  // in the directory and the header
  std::optional<uint32_t> offset = std::nullopt;       // in the directory
  std::string local_extra = "";
  std::string extra = "";
  std::string comment = "";  // in the directory
  std::string before = "";   // bytes in front of the local header
};

struct ZipEnd {
  bool zip64 = false;
  std::string comment = "";
  int comment_bytes_more = 0;  // claimed beyond the comment
  int count_more = 0;
  int offset_more = 0;
  int size_more = 0;
  int zip64_count_more = 0;
  int zip64_offset_more = 0;
  int locator_more = 0;
  std::string zip64_data = "";  // extensible data of the zip64 end record
  uint16_t disk = 0;
  std::string before = "";  // bytes between directory and end records
  std::string after = "";   // bytes behind it all
};

// Wider than 8 bytes: zeros follow.
inline std::string Le(uint64_t value, size_t width) {
  return width <= 8 ? LittleEndian(value, width)
                    : LittleEndian(value, 8) + std::string(width - 8, '\0');
}

inline std::string Deflate(const std::string& data) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, data.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string Extra(uint16_t id, const std::string& bytes) {
  return absl::StrCat(Le(id, 2), Le(bytes.size(), 2), bytes);
}

inline std::string StoredBytes(const ZipPart& part) {
  return part.method == 0 ? part.data : part.stored;
}

inline std::string LocalRecord(const ZipPart& part) {
  const bool descriptor = (part.flags & 8) != 0;
  const std::string stored = StoredBytes(part);
  const uint32_t crc = part.crc.value_or(Crc32(part.data));
  const std::string name = part.local_name.value_or(part.name);
  const uint32_t size = part.local_size.value_or(descriptor ? 0 : part.data.size());
  const uint32_t stored_size =
      part.local_size.value_or(part.stored_size.value_or(descriptor ? 0 : stored.size()));
  std::string out = absl::StrCat("PK\3\4", Le(20, 2), Le(part.local_flags.value_or(part.flags), 2),
                                 Le(part.local_method.value_or(part.method), 2), Le(0, 4),
                                 Le(part.local_crc.value_or(descriptor ? 0 : crc), 4),
                                 Le(stored_size, 4), Le(size, 4), Le(name.size(), 2),
                                 Le(part.local_extra.size(), 2), name, part.local_extra, stored);
  if (!descriptor || part.descriptor_bytes == 0) return out;
  const int width = part.descriptor_bytes >= 20 ? 8 : 4;
  if (part.descriptor_bytes == 16 || part.descriptor_bytes == 24) out += "PK\7\10";
  absl::StrAppend(&out, Le(part.descriptor_crc.value_or(crc), 4),
                  Le(part.descriptor_size.value_or(stored.size()), width),
                  Le(part.descriptor_size.value_or(part.data.size()), width));
  return out;
}

inline std::string DirectoryEntry(const ZipPart& part, uint64_t offset) {
  return absl::StrCat(
      "PK\1\2", Le(20, 2), Le(20, 2), Le(part.flags, 2), Le(part.method, 2), Le(0, 4),
      Le(part.crc.value_or(Crc32(part.data)), 4),
      Le(part.stored_size.value_or(part.size.value_or(StoredBytes(part).size())), 4),
      Le(part.size.value_or(part.data.size()), 4), Le(part.name.size(), 2),
      Le(part.extra.size(), 2), Le(part.comment.size(), 2), Le(0, 2), Le(0, 2), Le(0, 4),
      Le(part.offset.value_or(offset), 4), part.name, part.extra, part.comment);
}

inline std::string BuildZip(const std::vector<ZipPart>& parts, const ZipEnd& end = {}) {
  std::string out, directory;
  for (const ZipPart& part : parts) {
    out += part.before;
    directory += DirectoryEntry(part, out.size());
    out += LocalRecord(part);
  }
  const uint64_t offset = out.size();
  absl::StrAppend(&out, directory, end.before);
  const uint64_t end64 = out.size();
  const uint64_t count = parts.size();
  if (end.zip64) {
    absl::StrAppend(&out, "PK\6\6", Le(44 + end.zip64_data.size(), 8), Le(0x031E, 2), Le(45, 2),
                    Le(0, 8), Le(count + end.zip64_count_more, 8),
                    Le(count + end.zip64_count_more, 8), Le(directory.size(), 8),
                    Le(offset + end.zip64_offset_more, 8), end.zip64_data);
    absl::StrAppend(&out, "PK\6\7", Le(0, 4), Le(end64 + end.locator_more, 8), Le(1, 4));
  }
  absl::StrAppend(&out, "PK\5\6", Le(end.disk, 2), Le(end.disk, 2), Le(count + end.count_more, 2),
                  Le(count + end.count_more, 2), Le(directory.size() + end.size_more, 4),
                  Le(offset + end.offset_more, 4),
                  Le(end.comment.size() + end.comment_bytes_more, 2), end.comment, end.after);
  return out;
}

}  // namespace ballast

#endif  // BALLAST_TESTS_FORMATS_PYTORCH_ZIP_TESTING_H_

// A zip archive, read with random access and believed only where all of it
// agrees: two parsers of an archive that we accept cannot see different files.
//
// Layout:  record* | directory | [zip64 end record | locator] | end record
//          record = local header (30 bytes, name, extra) | data | [descriptor]
// Source:  PKWARE APPNOTE 6.3.9; torch's writer (caffe2 inline_container.cc, miniz),
//          which leaves CRC and sizes of local headers zero and writes descriptors.
// Stricter than any reader of torch files:
//   end record     the last one in the file, its comment ends the file (and is dropped) and
//                  holds no second one; zip64 end record and locator directly before it,
//                  agreeing, without extensible data
//   directory      ends where the end records begin; as many entries as they say
//   records        the first at offset 0, no gap, no overlap; local header, descriptor
//                  (12, 16, 20 or 24 bytes) and directory tell the same
//   names          UTF-8 (and said to be so, below the first folder), relative, no "..", "\\",
//                  ":", control character or empty part; none twice, case ignored; no
//                  Info-ZIP "Unicode path" field
//   methods        stored and deflate; no encryption, no patches, one disk
// Folders ("x/") take part in the layout and are not listed.
//
// Errors: InvalidArgument   TRUNCATED (no end record), MALFORMED, CHECKSUM, UNSAFE (parts
//                           that disagree, so that parsers would differ).
//         Unimplemented     encryption, another method, several disks.
//         ResourceExhausted zip_records_max, zip_directory_bytes_max.
#ifndef BALLAST_STORAGE_FORMATS_ZIP_READER_H_
#define BALLAST_STORAGE_FORMATS_ZIP_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"

namespace ballast {

struct ZipRecord {
  std::string name;           // "archive/data/0"
  uint64_t data_offset = 0;   // of the stored bytes in the file
  uint64_t stored_bytes = 0;  // as stored
  uint64_t size_bytes = 0;    // as used
  uint32_t crc32 = 0;         // of the used bytes
  bool deflated = false;
  bool descriptor = false;  // a data descriptor follows (general purpose bit 3)
  // False for a CRC field of 0 beside data: written without CRCs.
  bool has_crc() const { return crc32 != 0 || size_bytes == 0; }
};

// Borrows: the source must outlive this. Thread-safe once opened.
class ZipReader {
 public:
  static absl::StatusOr<ZipReader> Open(const ByteSource& source, const Limits& limits);

  // In the order of their data.
  const std::vector<ZipRecord>& records() const { return records_; }
  // Null if there is none of exactly this name.
  const ZipRecord* Find(absl::string_view name) const;
  // All bytes of a small record, inflated, its CRC checked.
  // Errors: ResourceExhausted/LIMIT  more than limit_bytes. InvalidArgument/CHECKSUM,
  //         MALFORMED (deflate stream that ends too early, too late or is broken).
  absl::StatusOr<std::string> Read(const ZipRecord& record, uint64_t limit_bytes) const;

 private:
  ZipReader(const ByteSource* source, std::vector<ZipRecord> records);

  const ByteSource* source_;  // Must outlive this.
  std::vector<ZipRecord> records_;
  absl::flat_hash_map<std::string, size_t> by_name_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_ZIP_READER_H_

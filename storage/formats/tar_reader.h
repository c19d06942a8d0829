// The members of a tar archive: their names, and where their bytes are.
//
// Layout:  blocks of 512 bytes; per member a header and the content, padded.
//          header  name 100, mode 8, uid 8, gid 8, size 12, mtime 12, checksum 8, type 1,
//                  link 100, "ustar" 6, version 2, user 32, group 32, device 16, prefix 155
//          numbers octal text, or 0x80 and big-endian bytes
//          type x  a pax header for the next member: "<length> <key>=<value>\n" …;
//                  `size` and `path` count
//          end     two blocks of zeros
// Source:  POSIX.1-2017 pax, "ustar Interchange Format"; CPython Lib/tarfile.py. Stricter:
//   checksum               of every header
//   links, devices, names that leave the folder   refused: extracting them writes elsewhere
//   GNU long names, sparse members, global pax headers   refused: readers differ over them
//   the end                is there, and zeros follow it
// Nothing is ever extracted.
#ifndef BALLAST_STORAGE_FORMATS_TAR_READER_H_
#define BALLAST_STORAGE_FORMATS_TAR_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"

namespace ballast {

struct TarMember {
  std::string name;
  uint64_t offset_bytes = 0;  // of the content
  uint64_t size_bytes = 0;
  bool regular = false;  // a file, not a folder
};

// In the order of the archive.
// Errors: InvalidArgument    MALFORMED, TRUNCATED, CHECKSUM, UNSAFE; names the byte offset.
//         Unimplemented      kinds of member that readers differ over.
//         ResourceExhausted  entries_max members; a pax header above 64 KiB.
absl::StatusOr<std::vector<TarMember>> ReadTar(const ByteSource& source, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_TAR_READER_H_

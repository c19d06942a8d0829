// The end records and the central directory of a zip archive; zip_reader.h tells
// what is checked.
#ifndef BALLAST_STORAGE_FORMATS_ZIP_DIRECTORY_H_
#define BALLAST_STORAGE_FORMATS_ZIP_DIRECTORY_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"

namespace ballast {

inline constexpr uint32_t kZipLocalSignature = 0x04034b50;
inline constexpr uint32_t kZipDirectorySignature = 0x02014b50;
inline constexpr uint32_t kZipDescriptorSignature = 0x08074b50;
inline constexpr uint32_t kZipEndSignature = 0x06054b50;
inline constexpr uint32_t kZip64EndSignature = 0x06064b50;
inline constexpr uint32_t kZip64LocatorSignature = 0x07064b50;
inline constexpr uint16_t kZip64Extra = 0x0001;
inline constexpr uint16_t kZipFlagDescriptor = 1u << 3;
inline constexpr uint16_t kZipFlagUtf8 = 1u << 11;
// Encrypted, patch data, strong encryption, masked headers.
inline constexpr uint16_t kZipForbiddenFlags = 1u << 0 | 1u << 5 | 1u << 6 | 1u << 13;
inline constexpr uint16_t kZipStored = 0;
inline constexpr uint16_t kZipDeflate = 8;

// Little-endian integer at `offset`; the caller has checked the size.
template <typename T>
T ZipField(absl::string_view bytes, size_t offset) {
  T value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// One entry of the directory, with zip64 fields resolved.
struct ZipEntry {
  std::string name;
  uint16_t flags = 0;
  uint16_t method = 0;
  uint32_t crc32 = 0;
  uint64_t stored_bytes = 0;
  uint64_t size_bytes = 0;
  uint64_t header_offset = 0;
  bool folder() const { return name.back() == '/'; }
};

struct ZipDirectory {
  uint64_t offset = 0;
  std::vector<ZipEntry> entries;  // in the order of the directory
};

// Reads the end records and the directory, and checks every entry for itself.
absl::StatusOr<ZipDirectory> ReadZipDirectory(const ByteSource& source, const Limits& limits);

// Whether an end record ends the file, whatever it begins with.
bool EndsLikeZip(const ByteSource& source);

// Walks an extra field. `zip64` receives the content of block 0x0001, or stays
// empty. Refuses blocks that run over the end, that stand twice, or that change
// the name or the encryption.
absl::Status ParseZipExtra(absl::string_view extra, absl::string_view* zip64);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_ZIP_DIRECTORY_H_

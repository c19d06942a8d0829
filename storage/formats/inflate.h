// Inflates a storage that is compressed with DEFLATE (RFC 1951, as zip has it).
#ifndef BALLAST_STORAGE_FORMATS_INFLATE_H_
#define BALLAST_STORAGE_FORMATS_INFLATE_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "storage/base/byte_io.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Inflates into `sink`, piece by piece. The stream must yield exactly
// storage.size_bytes from exactly storage.stored_bytes, and have its CRC-32.
// Never makes more than size_bytes.
// Errors: InvalidArgument/MALFORMED, CHECKSUM; those of source and sink.
absl::Status InflateTo(const ByteSource& source, const SourceStorage& storage, ByteSink* sink);

// The same, into memory of size_bytes.
absl::Status InflateInto(const ByteSource& source, const SourceStorage& storage,
                         absl::Span<char> out);

// OK if `crc32` is what the storage's container states, or it states none.
// Errors: InvalidArgument/CHECKSUM.
absl::Status CheckStorageCrc(const SourceStorage& storage, uint32_t crc32);

// How messages name a storage: record "data/3".
std::string StorageText(const SourceStorage& storage);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_INFLATE_H_

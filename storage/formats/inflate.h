// Reads a storage front to back, and inflates one that is compressed with DEFLATE
// (RFC 1951, as zip has it). zlib decides what a sound stream is, everywhere: libdeflate takes
// length codes that the RFC sets aside.
#ifndef BALLAST_STORAGE_FORMATS_INFLATE_H_
#define BALLAST_STORAGE_FORMATS_INFLATE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/base/byte_io.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// The bytes of a storage as they are used, with little memory. The end is reported (as
// 0 bytes) only if there were exactly storage.size_bytes, made from exactly
// storage.stored_bytes, with the CRC-32 that is stated; until then they may be anything.
// Errors: InvalidArgument/MALFORMED, CHECKSUM; those of the source. They stay.
class StorageStream : public ByteStream {
 public:
  // `source` must outlive this.
  StorageStream(const ByteSource* source, SourceStorage storage);
  ~StorageStream() override;
  absl::StatusOr<size_t> Read(absl::Span<char> out) override;

 private:
  struct Inflater;
  absl::StatusOr<size_t> ReadRaw(absl::Span<char> out);
  absl::StatusOr<size_t> ReadDeflated(absl::Span<char> out);
  absl::Status FillInput();
  absl::Status CheckDeflateEnd() const;

  const ByteSource* source_;  // Must outlive this.
  const SourceStorage storage_;
  std::unique_ptr<Inflater> inflater_;  // null for a raw storage
  uint64_t made_ = 0;
  uint64_t consumed_ = 0;  // of the stored bytes, by zlib's input
  uint32_t crc32_ = 0;
  absl::Status status_;
};

// Inflates into `sink`, piece by piece. The stream must yield exactly
// storage.size_bytes from exactly storage.stored_bytes, and have its CRC-32.
// Never makes more than size_bytes.
// Errors: InvalidArgument/MALFORMED, CHECKSUM; those of source and sink.
absl::Status InflateTo(const ByteSource& source, const SourceStorage& storage, ByteSink* sink);

// The same, into memory of exactly size_bytes.
absl::Status InflateInto(const ByteSource& source, const SourceStorage& storage,
                         absl::Span<char> out);

// OK if `crc32` is what the storage's container states, or it states none.
// Errors: InvalidArgument/CHECKSUM.
absl::Status CheckStorageCrc(const SourceStorage& storage, uint32_t crc32);

// How messages name a storage: record "data/3".
std::string StorageText(const SourceStorage& storage);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_INFLATE_H_

// Opens any container: finds out what it is, and reads it to a SourceStateDict.
//
// A new format touches the one table in reader.cc.
#ifndef BALLAST_STORAGE_FORMATS_READER_H_
#define BALLAST_STORAGE_FORMATS_READER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"
#include "storage/model/format.h"

namespace ballast {

// Bytes that DetectFormat wants to see (fewer only if the input is shorter).
inline constexpr size_t kDetectBytes = 512;

// What the first bytes say. For a container that we know and do not read the
// answer is an error that names it ("this is a Git LFS pointer"). kTorchSharp
// has no signature: it is the answer when nothing else fits.
// Errors: InvalidArgument/WRONG_FORMAT, InvalidArgument/TRUNCATED (no bytes).
absl::StatusOr<Format> DetectFormat(absl::string_view head);

// Reads the description of a state dict, with random access.
//
// `format` kUnknown: found by content. Otherwise content that is clearly
// something else is WRONG_FORMAT, naming what it is.
//
// The result obeys: keys pass CheckKey and are unique; every entry lies inside
// its storage; every storage lies inside the source; sizes are within limits.
// Errors: InvalidArgument     malformed, truncated, checksum, unsafe, wrong format.
//         FailedPrecondition  AMBIGUOUS: nested names give two tensors one key.
//         Unimplemented       a valid thing that is not supported; names it.
//         ResourceExhausted   a named limit.
absl::StatusOr<SourceStateDict> ReadStateDict(const ByteSource& source, Format format,
                                              const Limits& limits);

// Checks the container's checksums of every storage that has one (zip: CRC-32).
// Reads all of it once. Nothing to do for the other formats.
// Errors: InvalidArgument/CHECKSUM  names the record.
absl::Status VerifyStorages(const ByteSource& source, const SourceStateDict& dict,
                            const Limits& limits);

// Reads a container front to back with bounded memory: entries come in the order
// of their data. For kTorchSharp and kSafetensors; zips need random access.
class ForwardReader {
 public:
  virtual ~ForwardReader() = default;

  // All entries with their ordinal = position in data order, if the container
  // tells before the data (safetensors); nullptr otherwise.
  virtual const std::vector<TensorSpec>* known_entries() const = 0;

  // Makes the next entry current; nullopt after the last, when the end of the
  // input has been checked too. The bytes of the previous entry must have been
  // read or are skipped.
  virtual absl::StatusOr<std::optional<TensorSpec>> Next() = 0;

  // Reads the current entry's contiguous little-endian bytes, all of `out`;
  // never more than are left of it.
  virtual absl::Status Read(absl::Span<char> out) = 0;

  // What the container says apart from its entries: writer, ties, metadata,
  // warnings (entries and storages stay empty). Complete after the last Next.
  // Tie indices refer to data order.
  virtual const SourceStateDict& facts() const = 0;
};

// `stream` must outlive the reader. `format` must be kTorchSharp or kSafetensors.
// Errors: as ReadStateDict, here or from Next and Read.
absl::StatusOr<std::unique_ptr<ForwardReader>> OpenForwardReader(Format format, ByteStream* stream,
                                                                 const Limits& limits);

// A stream with its first bytes put back: reads `head`, then `rest`.
class PrefixedStream : public ByteStream {
 public:
  PrefixedStream(std::string head, ByteStream* rest) : head_(std::move(head)), rest_(rest) {}
  absl::StatusOr<size_t> Read(absl::Span<char> out) override;

 private:
  std::string head_;
  size_t used_ = 0;
  ByteStream* rest_;  // Must outlive this.
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_READER_H_

// Where the bytes of entries come from when a layout is written: a local file
// (here) or the store (server). Always contiguous, row-major, little-endian.
#ifndef BALLAST_STORAGE_FORMATS_TENSOR_SOURCE_H_
#define BALLAST_STORAGE_FORMATS_TENSOR_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/chunk.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Not thread-safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // Bytes of entry `entry` from `offset`: at least 1 and at most `max_bytes`,
  // never past the entry's end. (offset < size of the entry, max_bytes > 0.)
  // A chunk from a cut of the entry into kBlockBytes pieces never straddles one.
  virtual absl::StatusOr<Chunk> Read(uint32_t entry, uint64_t offset, uint64_t max_bytes) = 0;
  // Bytes of `dict`'s entry as they lie in the source at an absolute offset, if
  // they need no gather, swap or inflate; false otherwise. Lets a local convert
  // use copy_file_range.
  virtual bool RawRange(uint32_t entry, uint64_t* source_offset) const = 0;
};

// Reads from a container through its state dict: gathers strided entries, swaps
// big-endian ones, inflates compressed storages (into memory up to 16 MiB each and
// 32 MiB together, else into a temporary file in `spool_dir`, bounded by
// limits.spool_bytes_max), and applies conjugate and negative bits. A bool byte
// other than 0 or 1 is refused.
//
// CRCs: a raw storage that is read in order from its first byte to its last, and a
// compressed one when it is inflated, is checked on the way. A file has been checked
// whole when every entry was read *and* VerifyRest was called: it reads only what
// the entries did not cover in order (storages that are viewed in parts, or whose
// bytes went by RawRange). Push and convert call it before they commit.
class FileTensorSource : public TensorSource {
 public:
  // Errors: InvalidArgument/CHECKSUM, MALFORMED  names the record.
  virtual absl::Status VerifyRest() = 0;
};

// `source` and `dict` must outlive the result. Entry numbers are dict's.
// Buffers are recycled: a chunk stays valid for as long as its owner is held, also
// when the source is gone. Memory: about 32 MiB for a strided entry, else little.
// Errors of Read: InvalidArgument/CHECKSUM, MALFORMED, TRUNCATED; ResourceExhausted;
//                 Internal  no such entry or offset.
std::unique_ptr<FileTensorSource> MakeFileTensorSource(const ByteSource* source,
                                                       const SourceStateDict* dict,
                                                       const std::string& spool_dir,
                                                       const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_TENSOR_SOURCE_H_

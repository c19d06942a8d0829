// The storages of a state dict as plain bytes: raw ones straight from the source,
// compressed ones inflated once, and all of them checked against their CRC-32.
//
// Each storage's CRC is computed at most once, at no cost beyond reading it: a raw
// storage that is read in order is summed on the way (an error comes with its last
// bytes), a compressed one when it is inflated; VerifyRest reads only what neither
// has covered.
#ifndef BALLAST_STORAGE_FORMATS_STORAGE_READER_H_
#define BALLAST_STORAGE_FORMATS_STORAGE_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "storage/base/byte_io.h"
#include "storage/base/file.h"
#include "storage/base/limits.h"
#include "storage/formats/buffer_pool.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Not thread-safe.
class StorageReader {
 public:
  // `source` and `dict` must outlive this. Inflated storages above 16 MiB, or that
  // do not fit into 32 MiB together, go into one temporary file in `spool_dir`.
  StorageReader(const ByteSource* source, const SourceStateDict* dict, std::string spool_dir,
                const Limits& limits);

  // Fills `out` from `offset` of the storage's bytes.
  // Errors: InvalidArgument/TRUNCATED, MALFORMED, CHECKSUM; ResourceExhausted
  //         spool_bytes_max. Internal  outside of the storage.
  absl::Status ReadAt(uint32_t storage, uint64_t offset_bytes, absl::Span<char> out);

  // One of the entries on this storage has been read to its end: when all have,
  // its inflated bytes in memory are given up.
  void EntryDone(uint32_t storage);

  // Checks the CRCs of all storages that have one and are not checked yet.
  // Errors: as ReadAt; the message names the record.
  absl::Status VerifyRest();

 private:
  // How far a storage has been summed.
  struct Progress {
    uint64_t summed_bytes = 0;
    uint32_t crc32 = 0;
    bool verified = false;
  };
  struct Inflated {
    PooledBuffer memory;        // or:
    uint64_t spool_offset = 0;  // in spool_
    uint64_t entries_left = 0;
  };

  absl::Status Sum(uint32_t storage, uint64_t offset_bytes, absl::string_view bytes);
  absl::StatusOr<const Inflated*> Inflate(uint32_t storage);
  absl::Status InflateToSpool(const SourceStorage& storage, Inflated* inflated);
  absl::Status VerifyRaw(uint32_t storage);
  uint64_t EntriesOn(uint32_t storage);

  const ByteSource* source_;     // Must outlive this.
  const SourceStateDict* dict_;  // Must outlive this.
  const std::string spool_dir_;
  const Limits limits_;
  BufferPool pool_;
  std::vector<Progress> progress_;  // per storage
  absl::flat_hash_map<uint32_t, Inflated> inflated_;
  uint64_t memory_bytes_ = 0;  // of inflated_, in memory
  std::unique_ptr<SpoolFile> spool_;
  std::vector<uint32_t> entries_on_;  // per storage; made when first needed
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_STORAGE_READER_H_

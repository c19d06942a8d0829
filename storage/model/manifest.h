// The description of a version: its entries, their blocks, and what belongs to
// the version but not to its identity (order, kinds, roles, ties, source facts).
//
// Encoding (little-endian; varint = unsigned LEB128):
//   "BLM1" | varint flags (1: has health) | u8 format | bytes writer | bytes metadata_json |
//   bytes leaves_json | varint entry count | entries | varint tie groups |
//   per group: varint count, varint entry indices
//   entry: bytes key | u8 dtype | u8 kind | u8 role | varint ndim | varint dims |
//          per block: 32 digest bytes, u32 CRC-32 |
//          with flag 1: u8 0 or (u8 1, varint nan, inf, zeros, f64 min, max, mean)
//   bytes = varint length, then the bytes. A block's size follows from the tensor's size.
#ifndef BALLAST_STORAGE_MODEL_MANIFEST_H_
#define BALLAST_STORAGE_MODEL_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/digest.h"
#include "storage/base/equality.h"
#include "storage/base/limits.h"
#include "storage/model/format.h"
#include "storage/model/tensor_spec.h"

namespace ballast {

// A piece of a tensor's bytes, at most kBlockBytes, named by its digest.
struct BlockRef {
  Digest digest;
  uint32_t crc32 = 0;
  BALLAST_DEFAULT_EQUALITY(BlockRef);
};

// What a tensor's values are like; parts of complex numbers count as values. min, max and
// mean are of the finite values, rounded to a double, and 0 if there are none.
struct Health {
  uint64_t nan = 0;
  uint64_t inf = 0;
  uint64_t zeros = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  BALLAST_DEFAULT_EQUALITY(Health);
};

struct ManifestEntry {
  TensorSpec spec;
  std::vector<BlockRef> blocks;
  std::optional<Health> health = std::nullopt;  // nullopt: not counted
  BALLAST_DEFAULT_EQUALITY(ManifestEntry);
};

// Entries (by index) that share storage, offset, dtype, shape and stride; at
// least two each, ascending, no entry in two groups.
using Ties = std::vector<std::vector<uint32_t>>;

struct Manifest {
  std::vector<ManifestEntry> entries;  // in the order of the source
  Ties ties;
  Format format = Format::kUnknown;  // what was pushed
  std::string writer;                // probable writer of the source, "" if unknown
  // The OrderedDict's `_metadata` as JSON: {"<module prefix>": {"version": n, …}, …}; "" if none.
  std::string metadata_json;
  // Leaves that are not tensors, as JSON [{"path", "type", "value"? or "text"?}, …]; "" if none.
  std::string leaves_json;
  BALLAST_DEFAULT_EQUALITY(Manifest);
};

// Number of blocks of a tensor of this many bytes: ceil(size / kBlockBytes).
inline uint64_t BlockCount(uint64_t tensor_bytes) {
  return (tensor_bytes + kBlockBytes - 1) / kBlockBytes;
}
// Size of the index-th block of a tensor of this many bytes.
inline uint64_t BlockSize(uint64_t tensor_bytes, uint64_t index) {
  const uint64_t left = tensor_bytes - index * kBlockBytes;
  return left < kBlockBytes ? left : kBlockBytes;
}

// SHA-256 of the concatenated block digests (of nothing for an empty tensor).
Digest TensorDigest(const ManifestEntry& entry);
// CRC-32 of the whole tensor, combined from its blocks.
uint32_t TensorCrc32(const ManifestEntry& entry);
// SHA-256 over the tag "ballast.version.v1\0", then per entry in byte order of the
// key: u32le key length, key, u8 dtype name length, dtype name, u8 ndim, u64le
// dims, tensor digest. Depends on keys, dtypes, shapes and bytes only.
Digest VersionDigest(const Manifest& manifest);
// Sum of the tensors' sizes.
uint64_t PayloadBytes(const Manifest& manifest);

// Checks what the encoding alone does not: keys, no duplicates, sizes within the
// limits, block counts, ties between existing entries whose tensors are equal.
// Errors: InvalidArgument, ResourceExhausted; the message names the key.
absl::Status CheckManifest(const Manifest& manifest, const Limits& limits);

std::string EncodeManifest(const Manifest& manifest);
// Bounded by the input's length; the result has passed CheckManifest.
// Errors: InvalidArgument, ResourceExhausted.
absl::StatusOr<Manifest> DecodeManifest(absl::string_view bytes, const Limits& limits);

// The index-th entry's position in every tie group: result[i] is the group's
// first entry, or i itself if untied.
std::vector<uint32_t> TieRepresentatives(size_t entry_count, const Ties& ties);

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_MANIFEST_H_

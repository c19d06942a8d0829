#include "storage/model/manifest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "absl/container/flat_hash_set.h"
#include "storage/base/checked.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"
#include "storage/model/element_values.h"

namespace ballast {
namespace {

constexpr absl::string_view kMagic = "BLM1";
constexpr uint64_t kHasHealth = 1;  // flag
constexpr uint64_t kEntryBytesMin = 5;  // lengths of key and shape, dtype, kind, role

void PutLittleEndian(uint64_t value, size_t width, std::string* out) {
  for (size_t i = 0; i < width; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void PutDouble(double value, std::string* out) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  PutLittleEndian(bits, sizeof(bits), out);
}

void PutBytes(absl::string_view bytes, std::string* out) {
  PutVarint(bytes.size(), out);
  out->append(bytes.data(), bytes.size());
}

// Reads the encoding front to back; after the first failure everything is empty.
class Decoder {
 public:
  explicit Decoder(absl::string_view bytes) : left_(bytes), size_(bytes.size()) {}

  absl::string_view Take(uint64_t n) {
    if (n > left_.size()) {
      Fail("ends too early");
      return {};
    }
    const absl::string_view out = left_.substr(0, n);
    left_.remove_prefix(n);
    return out;
  }
  uint8_t U8() {
    const absl::string_view b = Take(1);
    return b.empty() ? 0 : static_cast<uint8_t>(b[0]);
  }
  uint32_t U32() {
    const absl::string_view b = Take(4);
    uint32_t value = 0;
    for (size_t i = 0; i < b.size(); ++i) value |= uint32_t{static_cast<uint8_t>(b[i])} << (8 * i);
    return value;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      const uint8_t b = U8();
      value |= uint64_t{b & 0x7Fu} << shift;
      if ((b & 0x80) == 0) return value;
    }
    Fail("holds a number above 2^63-1");
    return 0;
  }
  double Double() {
    const absl::string_view b = Take(8);
    uint64_t bits = 0;
    for (size_t i = 0; i < b.size(); ++i) bits |= uint64_t{static_cast<uint8_t>(b[i])} << (8 * i);
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  absl::string_view Bytes() { return Take(Varint()); }
  size_t left() const { return left_.size(); }
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }
  void Fail(absl::string_view what) {
    if (status_.ok()) {
      status_ = MalformedError("manifest ", what, " at byte ", size_ - left_.size());
    }
    left_ = {};
  }

 private:
  absl::string_view left_;
  const size_t size_;
  absl::Status status_;
};

void PutHealth(const std::optional<Health>& health, std::string* out) {
  out->push_back(health.has_value() ? 1 : 0);
  if (!health.has_value()) return;
  for (const uint64_t count : {health->nan, health->inf, health->zeros}) PutVarint(count, out);
  for (const double value : {health->min, health->max, health->mean}) PutDouble(value, out);
}

void DecodeHealth(Decoder* in, ManifestEntry* entry) {
  const uint8_t there = in->U8();
  if (there > 1) in->Fail("has health that is neither there nor not");
  if (there != 1 || !in->ok()) return;
  Health health;
  for (uint64_t* count : {&health.nan, &health.inf, &health.zeros}) *count = in->Varint();
  for (double* value : {&health.min, &health.max, &health.mean}) *value = in->Double();
  entry->health = health;
}

bool HasHealth(const Manifest& manifest) {
  return std::any_of(manifest.entries.begin(), manifest.entries.end(),
                     [](const ManifestEntry& entry) { return entry.health.has_value(); });
}

absl::Status CheckHealth(const ManifestEntry& entry, uint64_t size_bytes) {
  if (!entry.health.has_value()) return absl::OkStatus();
  const Health& health = *entry.health;
  const uint64_t parts = ValuesPerElement(entry.spec.dtype);
  const uint64_t values = size_bytes * 8 / InfoOf(entry.spec.dtype).bits * parts;
  uint64_t counted = 0;
  const bool fits = CheckedAdd(health.nan, health.inf, &counted) &&
                    CheckedAdd(counted, health.zeros, &counted) && counted <= values;
  // Comparisons with a NaN are false.
  const bool ordered = health.min <= health.mean && health.mean <= health.max &&
                       std::isfinite(health.min) && std::isfinite(health.max);
  if (parts > 0 && fits && ordered) return absl::OkStatus();
  return MalformedError("key ", QuotedKey(entry.spec.key), ": health is ", health.nan, " NaN, ",
                        health.inf, " Inf, ", health.zeros, " zeros of ", values, " values from ",
                        health.min, " to ", health.max, " around ", health.mean,
                        ", want what such a tensor can have");
}

absl::Status DecodeEntry(Decoder* in, const Limits& limits, bool has_health, ManifestEntry* entry) {
  entry->spec.key = std::string(in->Bytes());
  const auto dtype = DTypeFromNumber(in->U8());
  const uint8_t kind = in->U8();
  const uint8_t role = in->U8();
  if (!dtype || kind > 2 || role > 1) in->Fail("names an unknown dtype, kind or role");
  const uint64_t ndim = in->Varint();
  if (ndim > limits.dims_max) in->Fail("has too many dims");
  if (!in->ok()) return in->status();
  entry->spec.dtype = *dtype;
  entry->spec.kind = static_cast<Kind>(kind);
  entry->spec.role = static_cast<Role>(role);
  for (uint64_t i = 0; i < ndim; ++i) entry->spec.shape.push_back(in->Varint());
  RETURN_IF_ERROR(in->status());
  ASSIGN_OR_RETURN(const uint64_t size, TensorBytes(*dtype, entry->spec.shape, limits),
                   QuotedKey(entry->spec.key));
  const uint64_t blocks = BlockCount(size);
  if (blocks > in->left() / (Digest::kBytes + 4)) in->Fail("ends too early");
  RETURN_IF_ERROR(in->status());
  entry->blocks.resize(blocks);
  for (BlockRef& block : entry->blocks) {
    std::copy_n(in->Take(Digest::kBytes).begin(), Digest::kBytes, block.digest.bytes.begin());
    block.crc32 = in->U32();
  }
  if (has_health) DecodeHealth(in, entry);
  return in->status();
}

absl::Status DecodeTies(Decoder* in, size_t entry_count, Ties* ties) {
  const uint64_t groups = in->Varint();
  if (groups > entry_count) in->Fail("has more tie groups than entries");
  for (uint64_t g = 0; g < groups && in->ok(); ++g) {
    const uint64_t count = in->Varint();
    if (count > entry_count) in->Fail("ties more entries than there are");
    std::vector<uint32_t>& group = ties->emplace_back();
    for (uint64_t i = 0; i < count && in->ok(); ++i) {
      group.push_back(static_cast<uint32_t>(std::min<uint64_t>(in->Varint(), UINT32_MAX)));
    }
  }
  return in->status();
}

absl::Status CheckTies(const Manifest& manifest) {
  std::vector<bool> tied(manifest.entries.size());
  for (const std::vector<uint32_t>& group : manifest.ties) {
    if (group.size() < 2) return MalformedError("manifest: a tie has fewer than two entries");
    for (size_t i = 0; i < group.size(); ++i) {
      const uint32_t index = group[i];
      if (index >= manifest.entries.size() || (i > 0 && index <= group[i - 1]) || tied[index]) {
        return MalformedError("manifest: ties are not ascending indices of distinct entries");
      }
      tied[index] = true;
      const ManifestEntry& a = manifest.entries[group[0]];
      const ManifestEntry& b = manifest.entries[index];
      if (a.spec.dtype != b.spec.dtype || a.spec.shape != b.spec.shape || a.blocks != b.blocks) {
        return MalformedError("manifest: ", QuotedKey(a.spec.key), " and ", QuotedKey(b.spec.key),
                              " are declared tied but differ");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

Digest TensorDigest(const ManifestEntry& entry) {
  if (entry.blocks.size() == 1) return Sha256Of(entry.blocks[0].digest.View());
  Sha256 hash;
  for (const BlockRef& block : entry.blocks) hash.Update(block.digest.View());
  return hash.Finish();
}

uint32_t TensorCrc32(const ManifestEntry& entry) {
  const uint64_t size = CheckedTensorBytes(entry.spec);
  uint32_t crc = 0;
  for (size_t i = 0; i < entry.blocks.size(); ++i) {
    crc = i == 0 ? entry.blocks[0].crc32
                 : Crc32Combine(crc, entry.blocks[i].crc32, BlockSize(size, i));
  }
  return crc;
}

Digest VersionDigest(const Manifest& manifest) {
  std::vector<uint32_t> order(manifest.entries.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return manifest.entries[a].spec.key < manifest.entries[b].spec.key;
  });
  Sha256 hash;
  hash.Update(absl::string_view("ballast.version.v1\0", 19));
  std::string head;
  for (const uint32_t index : order) {
    const ManifestEntry& entry = manifest.entries[index];
    const absl::string_view dtype = DTypeName(entry.spec.dtype);
    head.clear();
    PutLittleEndian(entry.spec.key.size(), 4, &head);
    head += entry.spec.key;
    PutLittleEndian(dtype.size(), 1, &head);
    head.append(dtype.data(), dtype.size());
    PutLittleEndian(entry.spec.shape.size(), 1, &head);
    for (const uint64_t dim : entry.spec.shape) PutLittleEndian(dim, 8, &head);
    const Digest tensor = TensorDigest(entry);
    hash.Update(head);
    hash.Update(tensor.View());
  }
  return hash.Finish();
}

uint64_t PayloadBytes(const Manifest& manifest) {
  uint64_t sum = 0;
  for (const ManifestEntry& entry : manifest.entries) sum += CheckedTensorBytes(entry.spec);
  return sum;
}

absl::Status CheckManifest(const Manifest& manifest, const Limits& limits) {
  if (manifest.entries.size() > limits.entries_max) {
    return LimitError("manifest: number of entries is ", manifest.entries.size(), ", want at most ",
                      limits.entries_max, " (entries_max)");
  }
  absl::flat_hash_set<absl::string_view> keys;
  keys.reserve(manifest.entries.size());
  uint64_t total = 0;
  for (const ManifestEntry& entry : manifest.entries) {
    RETURN_IF_ERROR(CheckKey(entry.spec.key, limits));
    if (!keys.insert(entry.spec.key).second) {
      return MalformedError("key ", QuotedKey(entry.spec.key), " is there twice");
    }
    ASSIGN_OR_RETURN(const uint64_t size, TensorBytes(entry.spec.dtype, entry.spec.shape, limits),
                     QuotedKey(entry.spec.key));
    if (entry.blocks.size() != BlockCount(size)) {
      return MalformedError("key ", QuotedKey(entry.spec.key), ": number of blocks is ",
                            entry.blocks.size(), ", want ", BlockCount(size));
    }
    RETURN_IF_ERROR(CheckHealth(entry, size));
    if (!CheckedAdd(total, size, &total)) {
      return LimitError("manifest: the tensors have more than 2^64-1 bytes together");
    }
  }
  if (manifest.metadata_json.size() + manifest.leaves_json.size() + manifest.writer.size() >
      limits.metadata_bytes_max) {
    return LimitError("manifest: metadata is larger than ", limits.metadata_bytes_max,
                      " bytes (metadata_bytes_max)");
  }
  return CheckTies(manifest);
}

std::string EncodeManifest(const Manifest& manifest) {
  const bool has_health = HasHealth(manifest);
  std::string out(kMagic);
  PutVarint(has_health ? kHasHealth : 0, &out);
  PutLittleEndian(static_cast<uint8_t>(manifest.format), 1, &out);
  PutBytes(manifest.writer, &out);
  PutBytes(manifest.metadata_json, &out);
  PutBytes(manifest.leaves_json, &out);
  PutVarint(manifest.entries.size(), &out);
  for (const ManifestEntry& entry : manifest.entries) {
    PutBytes(entry.spec.key, &out);
    PutLittleEndian(static_cast<uint8_t>(entry.spec.dtype), 1, &out);
    PutLittleEndian(static_cast<uint8_t>(entry.spec.kind), 1, &out);
    PutLittleEndian(static_cast<uint8_t>(entry.spec.role), 1, &out);
    PutVarint(entry.spec.shape.size(), &out);
    for (const uint64_t dim : entry.spec.shape) PutVarint(dim, &out);
    for (const BlockRef& block : entry.blocks) {
      out.append(block.digest.View().data(), Digest::kBytes);
      PutLittleEndian(block.crc32, 4, &out);
    }
    if (has_health) PutHealth(entry.health, &out);
  }
  PutVarint(manifest.ties.size(), &out);
  for (const std::vector<uint32_t>& group : manifest.ties) {
    PutVarint(group.size(), &out);
    for (const uint32_t index : group) PutVarint(index, &out);
  }
  return out;
}

absl::StatusOr<Manifest> DecodeManifest(absl::string_view bytes, const Limits& limits) {
  if (bytes.size() > limits.manifest_bytes_max) {
    return LimitError("manifest: is ", bytes.size(), " bytes, want at most ",
                      limits.manifest_bytes_max, " (manifest_bytes_max)");
  }
  Decoder in(bytes);
  if (in.Take(kMagic.size()) != kMagic) return MalformedError("manifest: does not begin with BLM1");
  const uint64_t flags = in.Varint();
  if ((flags & ~kHasHealth) != 0) in.Fail("has unknown flags");
  Manifest manifest;
  const uint8_t format = in.U8();
  if (format > static_cast<uint8_t>(Format::kPickle)) in.Fail("names an unknown format");
  manifest.format = static_cast<Format>(format);
  manifest.writer = std::string(in.Bytes());
  manifest.metadata_json = std::string(in.Bytes());
  manifest.leaves_json = std::string(in.Bytes());
  const uint64_t count = in.Varint();
  RETURN_IF_ERROR(in.status());
  if (count > limits.entries_max) {
    return LimitError("manifest: number of entries is ", count, ", want at most ",
                      limits.entries_max, " (entries_max)");
  }
  manifest.entries.reserve(std::min<uint64_t>(count, in.left() / kEntryBytesMin));
  for (uint64_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(
        DecodeEntry(&in, limits, flags == kHasHealth, &manifest.entries.emplace_back()));
  }
  RETURN_IF_ERROR(DecodeTies(&in, manifest.entries.size(), &manifest.ties));
  if (in.left() != 0) in.Fail("goes on after its end");
  if (flags == kHasHealth && !HasHealth(manifest)) in.Fail("has no health although it says so");
  RETURN_IF_ERROR(in.status());
  RETURN_IF_ERROR(CheckManifest(manifest, limits));
  return manifest;
}

std::vector<uint32_t> TieRepresentatives(size_t entry_count, const Ties& ties) {
  std::vector<uint32_t> representative(entry_count);
  std::iota(representative.begin(), representative.end(), 0);
  for (const std::vector<uint32_t>& group : ties) {
    for (const uint32_t index : group) representative[index] = group[0];
  }
  return representative;
}

}  // namespace ballast

// What a reader finds in a file: a state dict whose entries say where their
// bytes are. No tensor byte has been touched.
#ifndef BALLAST_STORAGE_FORMATS_STATE_DICT_H_
#define BALLAST_STORAGE_FORMATS_STATE_DICT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "storage/model/format.h"
#include "storage/model/manifest.h"
#include "storage/model/tensor_spec.h"

namespace ballast {

// A run of bytes in the source that tensors are windows into: a zip record, a
// safetensors or .dat tensor, a storage of a legacy stream.
struct SourceStorage {
  enum class Encoding : uint8_t { kRaw, kDeflate };
  std::string name;           // record or storage key, for messages ("data/3"); may be empty
  uint64_t offset_bytes = 0;  // of the stored bytes in the source
  uint64_t stored_bytes = 0;  // as stored (compressed, for kDeflate)
  uint64_t size_bytes = 0;    // as used; == stored_bytes for kRaw
  Encoding encoding = Encoding::kRaw;
  bool big_endian = false;  // components are swapped on reading
  // CRC-32 of the size_bytes bytes as the container states it; checked by
  // TensorSource when the whole storage is read in order, and by
  // VerifyStorages. nullopt: the container has none.
  std::optional<uint32_t> crc32;
};

// A tensor in the source.
struct SourceEntry {
  TensorSpec spec;
  uint32_t storage = 0;       // index into SourceStateDict::storages
  uint64_t offset_bytes = 0;  // of the first element, in the (inflated) storage
  // In elements, as many as dims; empty: contiguous (C order).
  absl::InlinedVector<uint64_t, 4> strides;
  bool conjugate = false;  // imaginary parts are negated on reading
  bool negative = false;   // values are negated on reading
  friend bool operator==(const SourceEntry&, const SourceEntry&) = default;
};

// A value in the source that is not a tensor.
struct SourceLeaf {
  std::string path;  // keys joined with "."
  std::string type;  // "int", "float", "str", "NoneType", "argparse.Namespace" …
  std::string json;  // its JSON form, or "" if it has none (or is too long to keep)
  std::string text;  // if it has none: one short line for a person, or ""
};

// A global named by a pickle of the source.
struct SourceGlobal {
  std::string name;     // "torch._utils._rebuild_tensor_v2"
  std::string verdict;  // "allowed" or "inert"
};

// Something about the container itself, for a person to know.
struct SourceFact {
  std::string name;  // "pickle_protocol"
  std::string json;  // "2"
};

struct SourceStateDict {
  Format format = Format::kUnknown;
  std::string writer;  // probable writer, "" if unknown
  std::vector<SourceStorage> storages;
  std::vector<SourceEntry> entries;  // in the order of the source
  Ties ties;                         // indices into entries
  std::string metadata_json;         // see Manifest::metadata_json
  std::vector<SourceLeaf> leaves;
  std::vector<SourceGlobal> globals;
  std::vector<SourceFact> container;
  std::vector<std::string> warnings;  // one line each
};

// Adds a contiguous tensor with a raw storage of its own at `offset_bytes`.
void AddContiguousEntry(TensorSpec spec, uint64_t offset_bytes, uint64_t size_bytes,
                        SourceStateDict* dict);

// Groups entries that share storage, offset, dtype, shape and strides; empty
// tensors are never tied. O(n).
Ties FindTies(const std::vector<SourceEntry>& entries);

// The leaves as Manifest::leaves_json has them; "" for none.
std::string LeavesJson(const std::vector<SourceLeaf>& leaves);

// What to say when a state dict is pushed whose leaves are these: at most two lines, which
// name the first few that are kept as JSON beside the version, and that are left out.
std::vector<std::string> LeafWarnings(const std::vector<SourceLeaf>& leaves);

// Keeps the entries of which keep[i] is true; storages, ties and leaves follow.
void KeepEntries(const std::vector<bool>& keep, SourceStateDict* dict);

// "weights are under `state_dict`; --select state_dict": the hint for a
// checkpoint whose weights stand under one prefix of a well-known name; "" if
// none applies.
std::string SelectHint(const SourceStateDict& dict);

// "these are weights of an adapter (LoRA) …": a hint for a state dict that is not a model of
// its own; "" if it does not look like one.
std::string AdapterHint(const SourceStateDict& dict);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_STATE_DICT_H_

// What differs between two versions, as far as their manifests tell: no byte of a tensor is
// read for it.
#ifndef BALLAST_STORAGE_MODEL_MANIFEST_DIFF_H_
#define BALLAST_STORAGE_MODEL_MANIFEST_DIFF_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "storage/base/equality.h"
#include "storage/model/manifest.h"

namespace ballast {

enum class ChangeKind {
  kAdded,
  kRemoved,
  kRenamed,   // the same tensor under another key
  kReshaped,  // another shape; perhaps another dtype and other values too
  kRecast,    // another dtype, the same shape
  kChanged,   // other values
};
absl::string_view ChangeKindName(ChangeKind kind);  // "added", "removed", …

// One of them; positions of the entries in their manifests.
struct TensorChange {
  ChangeKind kind = ChangeKind::kChanged;
  std::optional<uint32_t> from;  // not if added
  std::optional<uint32_t> to;    // not if removed
  BALLAST_DEFAULT_EQUALITY(TensorChange);
};

struct ManifestDiff {
  std::vector<TensorChange> changes;  // in byte order of the key: the new one, if there is one
  uint64_t unchanged = 0;             // tensors
  uint64_t shared_bytes = 0;          // in blocks that both have, each counted once
};

// Tensors are the same if dtype, shape and bytes are. One that went and one that came are a
// renaming if they are the same; of several such (tied ones, zeros) the first that went, in byte
// order of the keys, became the first that came. Kinds, roles, ties and order are not compared.
ManifestDiff DiffManifests(const Manifest& from, const Manifest& to);

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_MANIFEST_DIFF_H_

// What the `__metadata__` of a safetensors file says, and what ours says:
//
//   "format"           "pt", always
//   "ballast.ties"     [["a", "b"], …]: groups of keys that shared a storage
//   "ballast.metadata" the OrderedDict's `_metadata`, as Manifest::metadata_json
//
// Every other member becomes a leaf "__metadata__.<name>" of type "str".
#ifndef BALLAST_STORAGE_FORMATS_SAFETENSORS_METADATA_H_
#define BALLAST_STORAGE_FORMATS_SAFETENSORS_METADATA_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"
#include "storage/formats/safetensors_header.h"
#include "storage/formats/state_dict.h"
#include "storage/model/manifest.h"

namespace ballast {

inline constexpr absl::string_view kTiesMember = "ballast.ties";
inline constexpr absl::string_view kMetadataMember = "ballast.metadata";

// Sets `dict`'s writer, ties, metadata_json, leaves and warnings. `order` says
// which of the header's tensors are entry 0, 1, 2 … that the ties refer to. A tie is
// only a claim: groups of unknown keys or of different dtypes or shapes are dropped
// with a warning. Whether the bytes are equal, ReadSafetensors says, and of a stream
// CheckManifest.
// Errors: Unimplemented  the tensors are slices of bigger ones (DCP_SHARDING_INFO).
absl::Status ReadSafetensorsMetadata(const SafetensorsHeader& header,
                                     const std::vector<uint32_t>& order, const Limits& limits,
                                     SourceStateDict* dict);

// The text of "ballast.ties"; `keys[i]` is the key of entry i.
std::string TiesText(const Ties& ties, const std::vector<absl::string_view>& keys);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SAFETENSORS_METADATA_H_

// The JSON header of a safetensors file.
//
// Layout:  u64 LE header_bytes | JSON header | tensor data, packed, no holes.
//   {"__metadata__": {string: string, …},
//    "<name>": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …}
//   offsets count from the end of the header; names in any order.
// Source:  safetensors README "Format", and tensor.rs (validation).
// Stricter: duplicate names (after unescaping) are refused, also of `__metadata__`
// and of fields; infos must be objects; names obey CheckKey; at most dims_max dims;
// the product of the non-zero dims must fit. As lenient as the reference: leading
// and trailing JSON whitespace, unknown fields of an info (a warning).
#ifndef BALLAST_STORAGE_FORMATS_SAFETENSORS_HEADER_H_
#define BALLAST_STORAGE_FORMATS_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"
#include "storage/model/tensor_spec.h"

namespace ballast {

// Bytes of the length in front of the JSON.
inline constexpr uint64_t kSafetensorsLengthBytes = 8;

struct SafetensorsTensor {
  TensorSpec spec;
  uint64_t begin = 0;  // in the data section
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;                     // in the order of the JSON
  std::vector<uint32_t> data_order;                           // their indices, by offset
  std::vector<std::pair<std::string, std::string>> metadata;  // in the order of the JSON
  uint64_t data_bytes = 0;                                    // of the data section
  std::vector<std::string> warnings;
};

// Checks the length that stands in front: at least 2 (`{}`), at most
// limits.header_bytes_max.
// Errors: InvalidArgument/MALFORMED; ResourceExhausted.
absl::Status CheckSafetensorsLength(uint64_t header_bytes, const Limits& limits);

// Parses and checks the whole header: tensors tile the data section without holes
// or overlap, and have the size that dtype and shape say.
// Errors: InvalidArgument    not JSON, not this structure, a size that does not fit.
//         Unimplemented      an unknown dtype; F4 with an odd last dim.
//         ResourceExhausted  entries_max, dims_max, tensor_bytes_max, key_bytes_max;
//                            nesting deeper than 8.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SAFETENSORS_HEADER_H_

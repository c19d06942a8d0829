// The dtype codes of safetensors.
//
// Source: safetensors tensor.rs, enum Dtype. Stricter than serde: the exact
// upper-case code, and only as a JSON string.
#ifndef BALLAST_STORAGE_FORMATS_SAFETENSORS_DTYPE_H_
#define BALLAST_STORAGE_FORMATS_SAFETENSORS_DTYPE_H_

#include <optional>

#include "absl/strings/string_view.h"
#include "storage/model/dtype.h"

namespace ballast {

// "F32" → kFloat32; nullopt for a code that the format does not have. "F4" counts
// single values in its shape where torch counts pairs: its last dim is twice ours.
std::optional<DType> DTypeFromSafetensors(absl::string_view code);

// nullopt for a dtype that the format lacks.
std::optional<absl::string_view> SafetensorsCode(DType dtype);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SAFETENSORS_DTYPE_H_

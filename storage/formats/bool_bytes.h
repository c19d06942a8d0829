// Bool tensors hold bytes that are 0 or 1: libtorch leaves every other byte
// undefined, so both reading paths refuse it.
#ifndef BALLAST_STORAGE_FORMATS_BOOL_BYTES_H_
#define BALLAST_STORAGE_FORMATS_BOOL_BYTES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast {

// `offset_bytes` is that of bytes[0] in the tensor.
// Errors: InvalidArgument/MALFORMED  a byte other than 0 or 1; names key and byte.
absl::Status CheckBoolBytes(absl::string_view key, absl::string_view bytes, uint64_t offset_bytes);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_BOOL_BYTES_H_

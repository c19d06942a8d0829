// Lays state dicts out as safetensors. safetensors_header.h has the byte layout,
// safetensors_metadata.h the members of `__metadata__`.
//
// Tensors are ordered by the size of their elements, biggest first, then by key
// bytes, without holes; the header is compact JSON, its metadata sorted, and padded
// with spaces so that the data begins at a multiple of 64. So every tensor is
// naturally aligned, and the bytes depend on the version alone.
#ifndef BALLAST_STORAGE_FORMATS_SAFETENSORS_WRITER_H_
#define BALLAST_STORAGE_FORMATS_SAFETENSORS_WRITER_H_

#include "absl/status/statusor.h"
#include "storage/base/limits.h"
#include "storage/formats/layout.h"

namespace ballast {

// Tied tensors are written once per key and named in the metadata. The dtypes of
// `input` must be safetensors' (LayOut checks it).
// Errors: Unimplemented  a key that is "__metadata__".
//         ResourceExhausted  the header would exceed limits.header_bytes_max.
absl::StatusOr<FileLayout> LayOutSafetensors(const LayoutInput& input, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SAFETENSORS_WRITER_H_

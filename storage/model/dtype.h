// The element types of tensors, in PyTorch's spelling.
//
// Source: c10/ScalarType.h (names and codes), safetensors tensor.rs (float6_*).
#ifndef BALLAST_STORAGE_MODEL_DTYPE_H_
#define BALLAST_STORAGE_MODEL_DTYPE_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ballast {

// The values are stored in manifests: never renumber. 0–45 are c10::ScalarType's.
enum class DType : uint8_t {
  kUint8 = 0,
  kInt8 = 1,
  kInt16 = 2,
  kInt32 = 3,
  kInt64 = 4,
  kFloat16 = 5,
  kFloat32 = 6,
  kFloat64 = 7,
  kComplex32 = 8,
  kComplex64 = 9,
  kComplex128 = 10,
  kBool = 11,
  kQint8 = 12,  // integer representation only; scale and zero point are not kept
  kQuint8 = 13,
  kQint32 = 14,
  kBfloat16 = 15,
  kFloat8E5m2 = 23,
  kFloat8E4m3fn = 24,
  kFloat8E5m2fnuz = 25,
  kFloat8E4m3fnuz = 26,
  kUint16 = 27,
  kUint32 = 28,
  kUint64 = 29,
  kFloat8E8m0fnu = 44,
  kFloat4E2m1fnX2 = 45,  // one byte holds two values; the shape counts bytes
  kFloat6E2m3 = 64,      // packed 6-bit values; no torch dtype, safetensors only
  kFloat6E3m2 = 65,
};

struct DTypeInfo {
  DType dtype;
  absl::string_view name;  // "float32"
  uint32_t bits;           // of one element as the shape counts it: 8, 16, … 128; 6 for float6_*
  uint32_t swap_bytes;     // width of one component for byte order: 1, 2, 4 or 8
};

// Every dtype, in the order of their numbers.
absl::Span<const DTypeInfo> AllDTypes();

// Never fails for an enumerator.
const DTypeInfo& InfoOf(DType dtype);
inline absl::string_view DTypeName(DType dtype) { return InfoOf(dtype).name; }

// nullopt if unknown. FromNumber is for decoding manifests and takes only the
// numbers above.
std::optional<DType> DTypeFromName(absl::string_view name);
std::optional<DType> DTypeFromNumber(uint64_t number);

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_DTYPE_H_

// What a tensor is, apart from its bytes: key, dtype, shape, kind and role.
#ifndef BALLAST_STORAGE_MODEL_TENSOR_SPEC_H_
#define BALLAST_STORAGE_MODEL_TENSOR_SPEC_H_

#include <cstdint>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/equality.h"
#include "storage/base/limits.h"
#include "storage/model/dtype.h"

namespace ballast {

// Dimensions in elements, outermost first; empty for a 0-dim tensor.
using Shape = absl::InlinedVector<uint64_t, 4>;

// "[10, 5]", "[]".
std::string ShapeText(const Shape& shape);

// What an entry is to its module. `.dat` and safetensors do not say.
enum class Kind : uint8_t { kUnknown = 0, kParameter = 1, kBuffer = 2 };
absl::string_view KindName(Kind kind);  // "unknown", "parameter", "buffer"

// Weights, or what a checkpoint carries beside them (optimizer state, callbacks …).
enum class Role : uint8_t { kWeights = 0, kOther = 1 };
absl::string_view RoleName(Role role);  // "weights", "other"

struct TensorSpec {
  std::string key;
  DType dtype = DType::kFloat32;
  Shape shape;
  Kind kind = Kind::kUnknown;
  Role role = Role::kWeights;

  BALLAST_DEFAULT_EQUALITY(TensorSpec);
};

// Number of elements: the product of the dims; 1 for a 0-dim tensor.
// Errors: ResourceExhausted  the product of the *non-zero* dims overflows 63 bits
//         (torch's strides would too), or more than limits.dims_max dims.
absl::StatusOr<uint64_t> ElementCount(const Shape& shape, const Limits& limits);

// Contiguous size in bytes.
// Errors: as ElementCount; ResourceExhausted above limits.tensor_bytes_max;
//         InvalidArgument  packed elements that do not fill whole bytes.
absl::StatusOr<uint64_t> TensorBytes(DType dtype, const Shape& shape, const Limits& limits);
// The same for a spec that was checked before.
uint64_t CheckedTensorBytes(const TensorSpec& spec);

// Keys: valid UTF-8, 0 to limits.key_bytes_max bytes, no C0 or DEL control
// characters. Compared by bytes, never a path.
// Errors: InvalidArgument/MALFORMED, ResourceExhausted/LIMIT.
absl::Status CheckKey(absl::string_view key, const Limits& limits);

// How an error message names a key: quoted, printable, at most ~200 bytes.
std::string QuotedKey(absl::string_view key);

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_TENSOR_SPEC_H_

#include "storage/model/tensor_spec.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"

namespace ballast {

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

absl::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kParameter:
      return "parameter";
    case Kind::kBuffer:
      return "buffer";
    case Kind::kUnknown:
      break;
  }
  return "unknown";
}

absl::string_view RoleName(Role role) { return role == Role::kOther ? "other" : "weights"; }

absl::StatusOr<uint64_t> ElementCount(const Shape& shape, const Limits& limits) {
  if (shape.size() > limits.dims_max) {
    return LimitError("number of dims is ", shape.size(), ", want at most ", limits.dims_max,
                      " (dims_max)");
  }
  uint64_t product = 1;
  bool any_zero = false;
  for (const uint64_t dim : shape) {
    any_zero |= dim == 0;
    if (dim != 0 && (!CheckedMul(product, dim, &product) || product > INT64_MAX)) {
      return LimitError("shape ", ShapeText(shape), " has more than 2^63-1 elements");
    }
  }
  return any_zero ? 0 : product;
}

absl::StatusOr<uint64_t> TensorBytes(DType dtype, const Shape& shape, const Limits& limits) {
  ASSIGN_OR_RETURN(const uint64_t count, ElementCount(shape, limits));
  uint64_t bits = 0;
  if (!CheckedMul(count, InfoOf(dtype).bits, &bits) || bits / 8 > limits.tensor_bytes_max) {
    return LimitError("tensor of shape ", ShapeText(shape), " is larger than ",
                      limits.tensor_bytes_max, " bytes (tensor_bytes_max)");
  }
  if (bits % 8 != 0) {
    return MalformedError("shape ", ShapeText(shape), " of ", DTypeName(dtype),
                          " does not fill whole bytes");
  }
  return bits / 8;
}

uint64_t CheckedTensorBytes(const TensorSpec& spec) {
  uint64_t bits = InfoOf(spec.dtype).bits;
  for (const uint64_t dim : spec.shape) bits *= dim;
  return bits / 8;
}

absl::Status CheckKey(absl::string_view key, const Limits& limits) {
  if (key.size() > limits.key_bytes_max) {
    return LimitError("key ", QuotedKey(key), " is ", key.size(), " bytes long, want at most ",
                      limits.key_bytes_max, " (key_bytes_max)");
  }
  if (!IsUtf8(key)) return MalformedError("key ", QuotedKey(key), " is not valid UTF-8");
  for (const char c : key) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      return MalformedError("key ", QuotedKey(key), " contains a control character");
    }
  }
  return absl::OkStatus();
}

std::string QuotedKey(absl::string_view key) {
  constexpr size_t kShown = 160;
  if (key.size() <= kShown) return absl::StrCat("\"", Printable(key), "\"");
  return absl::StrCat("\"", Printable(key.substr(0, kShown)), "…\"");
}

}  // namespace ballast

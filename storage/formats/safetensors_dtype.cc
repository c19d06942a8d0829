#include "storage/formats/safetensors_dtype.h"

#include <array>

namespace ballast {
namespace {

struct Code {
  absl::string_view code;
  DType dtype;
};

constexpr std::array kCodes = {
    Code{"BOOL", DType::kBool},
    Code{"U8", DType::kUint8},
    Code{"I8", DType::kInt8},
    Code{"I16", DType::kInt16},
    Code{"U16", DType::kUint16},
    Code{"I32", DType::kInt32},
    Code{"U32", DType::kUint32},
    Code{"I64", DType::kInt64},
    Code{"U64", DType::kUint64},
    Code{"F16", DType::kFloat16},
    Code{"BF16", DType::kBfloat16},
    Code{"F32", DType::kFloat32},
    Code{"F64", DType::kFloat64},
    Code{"C64", DType::kComplex64},
    Code{"F8_E5M2", DType::kFloat8E5m2},
    Code{"F8_E4M3", DType::kFloat8E4m3fn},
    Code{"F8_E5M2FNUZ", DType::kFloat8E5m2fnuz},
    Code{"F8_E4M3FNUZ", DType::kFloat8E4m3fnuz},
    Code{"F8_E8M0", DType::kFloat8E8m0fnu},
    Code{"F4", DType::kFloat4E2m1fnX2},
    Code{"F6_E2M3", DType::kFloat6E2m3},
    Code{"F6_E3M2", DType::kFloat6E3m2},
};

}  // namespace

std::optional<DType> DTypeFromSafetensors(absl::string_view code) {
  for (const Code& c : kCodes) {
    if (c.code == code) return c.dtype;
  }
  return std::nullopt;
}

std::optional<absl::string_view> SafetensorsCode(DType dtype) {
  for (const Code& c : kCodes) {
    if (c.dtype == dtype) return c.code;
  }
  return std::nullopt;
}

}  // namespace ballast

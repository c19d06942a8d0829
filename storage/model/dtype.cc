#include "storage/model/dtype.h"

#include <array>

namespace ballast {
namespace {

constexpr std::array kTable = {
    DTypeInfo{DType::kUint8, "uint8", 8, 1},
    DTypeInfo{DType::kInt8, "int8", 8, 1},
    DTypeInfo{DType::kInt16, "int16", 16, 2},
    DTypeInfo{DType::kInt32, "int32", 32, 4},
    DTypeInfo{DType::kInt64, "int64", 64, 8},
    DTypeInfo{DType::kFloat16, "float16", 16, 2},
    DTypeInfo{DType::kFloat32, "float32", 32, 4},
    DTypeInfo{DType::kFloat64, "float64", 64, 8},
    DTypeInfo{DType::kComplex32, "complex32", 32, 2},
    DTypeInfo{DType::kComplex64, "complex64", 64, 4},
    DTypeInfo{DType::kComplex128, "complex128", 128, 8},
    DTypeInfo{DType::kBool, "bool", 8, 1},
    DTypeInfo{DType::kQint8, "qint8", 8, 1},
    DTypeInfo{DType::kQuint8, "quint8", 8, 1},
    DTypeInfo{DType::kQint32, "qint32", 32, 4},
    DTypeInfo{DType::kBfloat16, "bfloat16", 16, 2},
    DTypeInfo{DType::kFloat8E5m2, "float8_e5m2", 8, 1},
    DTypeInfo{DType::kFloat8E4m3fn, "float8_e4m3fn", 8, 1},
    DTypeInfo{DType::kFloat8E5m2fnuz, "float8_e5m2fnuz", 8, 1},
    DTypeInfo{DType::kFloat8E4m3fnuz, "float8_e4m3fnuz", 8, 1},
    DTypeInfo{DType::kUint16, "uint16", 16, 2},
    DTypeInfo{DType::kUint32, "uint32", 32, 4},
    DTypeInfo{DType::kUint64, "uint64", 64, 8},
    DTypeInfo{DType::kFloat8E8m0fnu, "float8_e8m0fnu", 8, 1},
    DTypeInfo{DType::kFloat4E2m1fnX2, "float4_e2m1fn_x2", 8, 1},
    DTypeInfo{DType::kFloat6E2m3, "float6_e2m3", 6, 1},
    DTypeInfo{DType::kFloat6E3m2, "float6_e3m2", 6, 1},
};

}  // namespace

absl::Span<const DTypeInfo> AllDTypes() { return kTable; }

const DTypeInfo& InfoOf(DType dtype) {
  for (const DTypeInfo& info : kTable) {
    if (info.dtype == dtype) return info;
  }
  return kTable[0];
}

std::optional<DType> DTypeFromName(absl::string_view name) {
  for (const DTypeInfo& info : kTable) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

std::optional<DType> DTypeFromNumber(uint64_t number) {
  for (const DTypeInfo& info : kTable) {
    if (static_cast<uint64_t>(info.dtype) == number) return info.dtype;
  }
  return std::nullopt;
}

}  // namespace ballast

#include "storage/model/element_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace ballast {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// One value by its bits, through the tables of short and of long runs.
double ValueOf(DType dtype, uint64_t bits) {
  const size_t width = InfoOf(dtype).bits / 8;
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes.append(reinterpret_cast<const char*>(&bits), width);
  std::vector<double> one(2), many(600);
  ReadValues(dtype, absl::string_view(bytes).substr(0, width), one.data());
  ReadValues(dtype, bytes, many.data());
  EXPECT_TRUE(one[0] == many[298] || std::isnan(one[0])) << DTypeName(dtype) << " " << bits;
  return one[0];
}

TEST(ElementValues, AreWhatTheFormatsSay) {
  const struct {
    DType dtype;
    uint64_t bits;
    double value;
  } kRows[] = {
      {DType::kUint8, 0xFF, 255},
      {DType::kInt8, 0x80, -128},
      {DType::kBool, 1, 1},
      {DType::kQint8, 0xFF, -1},
      {DType::kQuint8, 0xFF, 255},
      {DType::kQint32, 0xFFFFFFFF, -1},
      {DType::kInt16, 0x8000, -32768},
      {DType::kUint16, 0x8000, 32768},
      {DType::kInt32, 0x80000000, -2147483648.0},
      {DType::kUint32, 0x80000000, 2147483648.0},
      {DType::kInt64, 0xFFFFFFFFFFFFFFFF, -1},
      {DType::kUint64, 0x8000000000000000, 0x1p63},
      {DType::kFloat16, 0x3C00, 1},
      {DType::kFloat16, 0x7BFF, 65504},
      {DType::kFloat16, 0x0001, 0x1p-24},
      {DType::kFloat16, 0x83FF, -0x1.FF8p-15},
      {DType::kFloat16, 0xFC00, -kInf},
      {DType::kFloat16, 0x7C01, kNan},
      {DType::kBfloat16, 0x3F80, 1},
      {DType::kBfloat16, 0xFF80, -kInf},
      {DType::kBfloat16, 0x7FC0, kNan},
      {DType::kFloat32, 0xC0490FDB, -3.1415927410125732},
      {DType::kFloat64, 0x3FF8000000000000, 1.5},
      {DType::kComplex32, 0x00003C00, 1},
      {DType::kFloat8E5m2, 0x7B, 57344},
      {DType::kFloat8E5m2, 0x81, -0x1p-16},
      {DType::kFloat8E5m2, 0x7C, kInf},
      {DType::kFloat8E5m2, 0xFC, -kInf},
      {DType::kFloat8E5m2, 0xFE, kNan},
      {DType::kFloat8E4m3fn, 0x7E, 448},
      {DType::kFloat8E4m3fn, 0x01, 0x1p-9},
      {DType::kFloat8E4m3fn, 0xB8, -1},
      {DType::kFloat8E4m3fn, 0xFF, kNan},
      {DType::kFloat8E5m2fnuz, 0x7F, 57344},
      {DType::kFloat8E5m2fnuz, 0x01, 0x1p-17},
      {DType::kFloat8E5m2fnuz, 0x80, kNan},
      {DType::kFloat8E4m3fnuz, 0x7F, 240},
      {DType::kFloat8E4m3fnuz, 0x01, 0x1p-10},
      {DType::kFloat8E4m3fnuz, 0x80, kNan},
      {DType::kFloat8E8m0fnu, 0x00, 0x1p-127},
      {DType::kFloat8E8m0fnu, 0x80, 2},
      {DType::kFloat8E8m0fnu, 0xFF, kNan},
  };
  for (const auto& row : kRows) {
    const double value = ValueOf(row.dtype, row.bits);
    EXPECT_TRUE(value == row.value || (std::isnan(value) && std::isnan(row.value)))
        << DTypeName(row.dtype) << " " << std::hex << row.bits << " is " << value << ", want "
        << row.value;
  }
}

TEST(ElementValues, PartsOfComplexNumbersFollowEachOther) {
  const float parts[] = {1, -2, 3, -4};
  double values[4];
  ReadValues(DType::kComplex64, {reinterpret_cast<const char*>(parts), sizeof(parts)}, values);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(values[i], parts[i]);
}

TEST(ElementValues, EveryDTypeHasNumbersOrSaysThatItHasNone) {
  for (const DTypeInfo& info : AllDTypes()) {
    const uint32_t values = ValuesPerElement(info.dtype);
    if (values == 0) {
      EXPECT_FALSE(CanBeNotFinite(info.dtype)) << info.name;
      continue;
    }
    const std::string zero(info.bits / 8, '\0');
    double out[2] = {7, 7};
    ReadValues(info.dtype, zero, out);
    const double want = info.dtype == DType::kFloat8E8m0fnu ? 0x1p-127 : 0;
    for (uint32_t i = 0; i < values; ++i) EXPECT_EQ(out[i], want) << info.name;
  }
}

}  // namespace
}  // namespace ballast

#include "storage/model/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "storage/model/format.h"

namespace ballast {
namespace {

TEST(DType, NamesAndNumbersComeBackForEveryOne) {
  std::set<std::string> names;
  for (const DTypeInfo& info : AllDTypes()) {
    EXPECT_EQ(DTypeFromName(info.name), info.dtype);
    EXPECT_EQ(DTypeFromNumber(static_cast<uint64_t>(info.dtype)), info.dtype);
    EXPECT_EQ(InfoOf(info.dtype).name, info.name);
    EXPECT_TRUE(names.insert(std::string(info.name)).second) << info.name;
  }
  EXPECT_EQ(names.size(), 27u);
}

// c10/ScalarType.h; stored in manifests, so a change here loses data.
TEST(DType, NumbersAreThoseOfScalarType) {
  const struct {
    uint64_t number;
    absl::string_view name;
  } rows[] = {{0, "uint8"},
              {1, "int8"},
              {2, "int16"},
              {3, "int32"},
              {4, "int64"},
              {5, "float16"},
              {6, "float32"},
              {7, "float64"},
              {8, "complex32"},
              {9, "complex64"},
              {10, "complex128"},
              {11, "bool"},
              {12, "qint8"},
              {13, "quint8"},
              {14, "qint32"},
              {15, "bfloat16"},
              {23, "float8_e5m2"},
              {24, "float8_e4m3fn"},
              {27, "uint16"},
              {28, "uint32"},
              {29, "uint64"},
              {44, "float8_e8m0fnu"},
              {45, "float4_e2m1fn_x2"}};
  for (const auto& row : rows) {
    ASSERT_TRUE(DTypeFromNumber(row.number).has_value()) << row.number;
    EXPECT_EQ(DTypeName(*DTypeFromNumber(row.number)), row.name);
  }
}

TEST(DType, UnknownNamesAndNumbersAreNone) {
  for (const uint64_t number : {uint64_t{16}, uint64_t{22}, uint64_t{43}, uint64_t{66},
                                uint64_t{255}, uint64_t{256}, UINT64_MAX}) {
    EXPECT_FALSE(DTypeFromNumber(number).has_value()) << number;
  }
  for (const absl::string_view name : {"", "Float32", "float", "half", "torch.float32"}) {
    EXPECT_FALSE(DTypeFromName(name).has_value()) << name;
  }
}

TEST(DType, ComponentsFillTheElement) {
  for (const DTypeInfo& info : AllDTypes()) {
    const bool complex = info.name.substr(0, 7) == "complex";
    const uint32_t components = complex ? 2 : 1;
    if (info.bits % 8 == 0) {
      EXPECT_EQ(info.bits, 8 * components * info.swap_bytes) << info.name;
    }
  }
}

TEST(Format, NamesComeBackForEveryOne) {
  std::set<std::string> names;
  for (const Format format : AllFormats()) {
    EXPECT_EQ(FormatFromName(FormatName(format)), format);
    EXPECT_TRUE(names.insert(std::string(FormatName(format))).second);
  }
  EXPECT_EQ(names.size(), 10u);
  EXPECT_EQ(FormatFromName("auto"), Format::kUnknown);
  EXPECT_FALSE(FormatFromName("PyTorch").has_value());
  EXPECT_FALSE(FormatFromName("").has_value());
}

TEST(Format, WritableFormatsHaveTheExtensionsPeopleExpect) {
  EXPECT_EQ(FormatExtension(Format::kTorchSharp), "dat");
  EXPECT_EQ(FormatExtension(Format::kPyTorch), "pth");
  EXPECT_EQ(FormatExtension(Format::kSafetensors), "safetensors");
}

}  // namespace
}  // namespace ballast

#include "storage/model/tensor_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "storage/base/status.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

TEST(ShapeText, ReadsAsPeopleWriteIt) {
  EXPECT_EQ(ShapeText({}), "[]");
  EXPECT_EQ(ShapeText({10, 5}), "[10, 5]");
}

TEST(TensorBytes, CountsEveryDType) {
  for (const DTypeInfo& info : AllDTypes()) {
    EXPECT_EQ(TensorBytes(info.dtype, {2, 4}, Limits()).value(), info.bits) << info.name;
  }
}

TEST(TensorBytes, ZeroDimIsOneElementAndZeroSizeIsNone) {
  EXPECT_EQ(TensorBytes(DType::kFloat32, {}, Limits()).value(), 4u);
  EXPECT_EQ(TensorBytes(DType::kFloat32, {0}, Limits()).value(), 0u);
  EXPECT_EQ(TensorBytes(DType::kFloat32, {3, 0, 5}, Limits()).value(), 0u);
}

TEST(TensorBytes, RefusesWhatIsTooLargeOrTornAndSaysWhy) {
  const uint64_t huge = uint64_t{1} << 32;
  const struct {
    DType dtype;
    Shape shape;
    absl::StatusCode code;
    std::string message;
  } rows[] = {
      {DType::kUint8, {huge, huge}, absl::StatusCode::kResourceExhausted, "2^63-1 elements"},
      {DType::kUint8, {huge, 0, huge}, absl::StatusCode::kResourceExhausted, "2^63-1 elements"},
      {DType::kUint8, {UINT64_MAX}, absl::StatusCode::kResourceExhausted, "2^63-1 elements"},
      {DType::kFloat64,
       {uint64_t{1} << 62},
       absl::StatusCode::kResourceExhausted,
       "tensor_bytes_max"},
      {DType::kUint8,
       {(uint64_t{1} << 40) + 1},
       absl::StatusCode::kResourceExhausted,
       "tensor_bytes_max"},
      {DType::kFloat6E2m3, {3}, absl::StatusCode::kInvalidArgument, "whole bytes"},
  };
  for (const auto& row : rows) {
    const absl::Status status = TensorBytes(row.dtype, row.shape, Limits()).status();
    EXPECT_EQ(status.code(), row.code) << ShapeText(row.shape);
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message)) << ShapeText(row.shape);
  }
  EXPECT_EQ(TensorBytes(DType::kUint8, {uint64_t{1} << 40}, Limits()).value(), uint64_t{1} << 40);
}

TEST(ElementCount, TakesDimsUpToTheLimit) {
  EXPECT_EQ(ElementCount(Shape(64, 1), Limits()).value(), 1u);
  const absl::Status status = ElementCount(Shape(65, 1), Limits()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("dims_max"));
}

TEST(CheckedTensorBytes, AgreesWithTheCheckedOne) {
  const TensorSpec spec{.key = "k", .dtype = DType::kComplex128, .shape = {3, 5}};
  EXPECT_EQ(CheckedTensorBytes(spec), TensorBytes(spec.dtype, spec.shape, Limits()).value());
}

TEST(CheckKey, TakesTheEmptyKeyAndAnyText) {
  for (const std::string& key :
       {std::string(), std::string("fc.weight"), std::string("../../etc/passwd"),
        std::string("重み 🔥"), std::string(4096, 'k')}) {
    EXPECT_TRUE(CheckKey(key, Limits()).ok()) << key;
  }
}

TEST(CheckKey, RefusesBadKeysAndQuotesThem) {
  const struct {
    std::string key, message;
    Reason reason;
  } rows[] = {
      {"a\nb", "\"a\\x0ab\" contains a control character", Reason::kMalformed},
      {std::string("a\0b", 3), "control character", Reason::kMalformed},
      {"a\x7f", "control character", Reason::kMalformed},
      {"a\xff", "\"a\\xff\" is not valid UTF-8", Reason::kMalformed},
      {"\xc0\x80", "not valid UTF-8", Reason::kMalformed},
      {std::string(4097, 'k'), "4097 bytes long, want at most 4096 (key_bytes_max)",
       Reason::kLimit},
  };
  for (const auto& row : rows) {
    const absl::Status status = CheckKey(row.key, Limits());
    EXPECT_EQ(GetReason(status), row.reason) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message));
    EXPECT_LT(status.message().size(), 400u);
  }
}

TEST(KindAndRole, HaveTheNamesOfTheCli) {
  EXPECT_EQ(KindName(Kind::kUnknown), "unknown");
  EXPECT_EQ(KindName(Kind::kParameter), "parameter");
  EXPECT_EQ(KindName(Kind::kBuffer), "buffer");
  EXPECT_EQ(RoleName(Role::kWeights), "weights");
  EXPECT_EQ(RoleName(Role::kOther), "other");
}

}  // namespace
}  // namespace ballast

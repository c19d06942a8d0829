#include "storage/model/row_range.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ballast {
namespace {

using ::testing::HasSubstr;

TensorSpec Spec(Shape shape, DType dtype = DType::kFloat32) {
  return {"w", dtype, std::move(shape)};
}

TEST(SliceRows, KnowsWhereTheRowsLie) {
  struct Case {
    Shape shape;
    RowRange range;
    Shape want;
    uint64_t offset_bytes, size_bytes;
  };
  const Case cases[] = {
      {{10}, {3, 4}, {4}, 12, 16},
      {{10, 5}, {3, 4}, {4, 5}, 60, 80},
      {{10, 5, 2}, {9, 1}, {1, 5, 2}, 360, 40},
      {{10, 5}, {0, 10}, {10, 5}, 0, 200},
      {{10, 5}, {7, std::nullopt}, {3, 5}, 140, 60},
      {{10, 5}, {10, std::nullopt}, {0, 5}, 200, 0},
      {{10, 5}, {4, 0}, {0, 5}, 80, 0},
      {{0, 5}, {0, 0}, {0, 5}, 0, 0},
      {{6, 0}, {2, 3}, {3, 0}, 0, 0},
      {{0, uint64_t{1} << 62}, {0, std::nullopt}, {0, uint64_t{1} << 62}, 0, 0},
  };
  for (const Case& c : cases) {
    const auto slice = SliceRows(Spec(c.shape), c.range);
    ASSERT_TRUE(slice.ok()) << slice.status();
    EXPECT_EQ(slice->spec, Spec(c.want));
    EXPECT_EQ(slice->first_row, c.range.first);
    EXPECT_EQ(slice->offset_bytes, c.offset_bytes) << ShapeText(c.shape);
    EXPECT_EQ(slice->size_bytes, c.size_bytes) << ShapeText(c.shape);
  }
}

TEST(SliceRows, IsRightForEveryDType) {
  for (const DTypeInfo& info : AllDTypes()) {
    const auto slice = SliceRows(Spec({6, 4}, info.dtype), {2, 3});
    ASSERT_TRUE(slice.ok()) << slice.status();
    EXPECT_EQ(slice->offset_bytes, info.bits) << info.name;
    EXPECT_EQ(slice->size_bytes, info.bits * 3 / 2) << info.name;
    EXPECT_EQ(slice->size_bytes, CheckedTensorBytes(slice->spec)) << info.name;
  }
}

TEST(SliceRows, SaysWhatIsWrong) {
  struct Case {
    TensorSpec spec;
    RowRange range;
    absl::StatusCode code;
    std::string message;
  };
  const Case cases[] = {
      {Spec({4, 3}),
       {0, 5},
       absl::StatusCode::kOutOfRange,
       "rows of \"w\": wanted are 0:5, shape is [4, 3], want rows within 0:4"},
      {Spec({4, 3}), {5, 0}, absl::StatusCode::kOutOfRange, "wanted are 5:5"},
      {Spec({4, 3}), {5, std::nullopt}, absl::StatusCode::kOutOfRange, "wanted are 5:, shape"},
      {Spec({4, 3}), {1, UINT64_MAX}, absl::StatusCode::kOutOfRange, "rows from 1, shape"},
      {Spec({}),
       {0, 1},
       absl::StatusCode::kInvalidArgument,
       "rows of \"w\": shape is [], want a dimension"},
      {Spec({8, 2}, DType::kFloat6E2m3),
       {1, 2},
       absl::StatusCode::kInvalidArgument,
       "1:3 of float6_e2m3 [8, 2] begin or end inside a byte"},
      {Spec({8, 2}, DType::kFloat6E2m3), {2, 1}, absl::StatusCode::kInvalidArgument, "2:3 of"},
  };
  for (const Case& c : cases) {
    const auto slice = SliceRows(c.spec, c.range);
    EXPECT_EQ(slice.status().code(), c.code) << slice.status();
    EXPECT_THAT(std::string(slice.status().message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace ballast

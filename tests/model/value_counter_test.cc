#include "storage/model/value_counter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/model/element_values.h"

namespace ballast {
namespace {

std::string Noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

Health Count(DType dtype, absl::string_view bytes) {
  ValueCounter counter(dtype);
  counter.Add(bytes);
  return HealthOf(dtype, counter.Finish()).value_or(Health{1, 2, 3, 4, 5, 6});
}

// One value after the other, in doubles.
Health Naively(DType dtype, absl::string_view bytes) {
  std::vector<double> values(bytes.size() * 8 / InfoOf(dtype).bits * ValuesPerElement(dtype));
  ReadValues(dtype, bytes, values.data());
  Health health;
  long double sum = 0;
  uint64_t finite = 0;
  for (const double value : values) {
    health.nan += std::isnan(value) ? 1 : 0;
    health.inf += std::isinf(value) ? 1 : 0;
    if (!std::isfinite(value)) continue;
    health.min = finite == 0 ? value : std::min(health.min, value);
    health.max = finite == 0 ? value : std::max(health.max, value);
    health.zeros += value == 0 ? 1 : 0;
    sum += value;
    ++finite;
  }
  if (finite > 0) health.mean = static_cast<double>(sum / finite);
  return health;
}

void ExpectLike(const Health& got, const Health& want, const std::string& what) {
  EXPECT_EQ(got.nan, want.nan) << what;
  EXPECT_EQ(got.inf, want.inf) << what;
  EXPECT_EQ(got.zeros, want.zeros) << what;
  EXPECT_EQ(got.min, want.min) << what;
  EXPECT_EQ(got.max, want.max) << what;
  const double largest = std::max(std::abs(want.min), std::abs(want.max));
  if (largest > 1e300) {  // a sum of doubles can overflow
    EXPECT_TRUE(got.min <= got.mean && got.mean <= got.max) << what;
  } else {
    EXPECT_NEAR(got.mean, want.mean, largest * 1e-7) << what;
  }
}

TEST(ValueCounter, EveryDTypeIsCountedAsValueByValue) {
  for (const DTypeInfo& info : AllDTypes()) {
    if (ValuesPerElement(info.dtype) == 0) continue;
    // Random bits hold everything that there is; small exponents are finite throughout.
    for (const size_t size : {size_t{0}, size_t{16}, size_t{8192 * 3}, size_t{100'000}}) {
      std::string bytes = Noise(size, size);
      ExpectLike(Count(info.dtype, bytes), Naively(info.dtype, bytes), std::string(info.name));
      const size_t width = info.swap_bytes;
      for (size_t i = width - 1; i < size; i += width)
        bytes[i] = static_cast<char>(bytes[i] & ~0x40);
      ExpectLike(Count(info.dtype, bytes), Naively(info.dtype, bytes),
                 absl::StrCat(info.name, ", finite"));
    }
  }
}

TEST(ValueCounter, LongRunsOfOneByteDoNotOverflow) {
  for (const DType dtype : {DType::kUint8, DType::kInt8, DType::kBool}) {
    for (const int byte : {0x00, 0x01, 0x7F, 0x80, 0xFF}) {
      const std::string bytes(8192 * 2 + 33, static_cast<char>(byte));
      ExpectLike(Count(dtype, bytes), Naively(dtype, bytes),
                 absl::StrCat(DTypeName(dtype), " ", byte));
    }
  }
}

TEST(ValueCounter, PackedDTypesAreNotCounted) {
  for (const DType dtype : {DType::kFloat4E2m1fnX2, DType::kFloat6E2m3, DType::kFloat6E3m2}) {
    ValueCounter counter(dtype);
    counter.Add(Noise(1000, 1));
    EXPECT_EQ(HealthOf(dtype, counter.Finish()), std::nullopt);
  }
}

TEST(ValueCounter, CutsChangeNothing) {
  std::mt19937_64 random(3);
  for (const DType dtype : {DType::kFloat32, DType::kBfloat16, DType::kFloat64, DType::kInt16,
                            DType::kFloat8E4m3fn, DType::kComplex128}) {
    const std::string bytes = Noise(70'000 / 16 * 16, 9);
    const Health whole = Count(dtype, bytes);
    for (int round = 0; round < 10; ++round) {
      ValueCounter counter(dtype);
      for (size_t at = 0; at < bytes.size();) {
        const size_t n = std::min<size_t>(1 + random() % 20'000, bytes.size() - at);
        counter.Add(absl::string_view(bytes).substr(at, n));
        at += n;
      }
      EXPECT_EQ(HealthOf(dtype, counter.Finish()), whole) << DTypeName(dtype);
    }
  }
}

TEST(ValueCounter, PartsAddUp) {
  const std::string bytes = Bytes<float>({1, 2, 0, -5, 7, 0});
  ValueCounter counter(DType::kFloat32);
  ValueTally sum;
  for (size_t i = 0; i < 3; ++i) {
    counter.Add(absl::string_view(bytes).substr(i * 8, 8));
    sum.Append(counter.Finish());
  }
  EXPECT_EQ(HealthOf(DType::kFloat32, sum), Count(DType::kFloat32, bytes));
}

TEST(ValueCounter, OneBadValueAmongManyIsFoundWhereverItIs) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  for (size_t at = 0; at < 5000; at += 37) {
    std::vector<float> values(5000, 0.5f);
    values[at] = nan;
    EXPECT_EQ(Count(DType::kFloat32, Bytes(values)), (Health{1, 0, 0, 0.5, 0.5, 0.5})) << at;
    values[at] = -inf;
    EXPECT_EQ(Count(DType::kFloat32, Bytes(values)), (Health{0, 1, 0, 0.5, 0.5, 0.5})) << at;
    values[at] = 0;
    const Health zero = Count(DType::kFloat32, Bytes(values));
    EXPECT_EQ(zero.zeros, 1u);
    EXPECT_EQ(zero.min, 0);
  }
}

TEST(ValueCounter, SumsOfTheLargestNumbersDoNotOverflow) {
  const float most = std::numeric_limits<float>::max();
  EXPECT_EQ(Count(DType::kFloat32, Bytes(std::vector<float>(10'000, most))),
            (Health{0, 0, 0, most, most, most}));
  const double huge = std::numeric_limits<double>::max();
  std::vector<double> values(10'000, huge);
  for (size_t i = 0; i < values.size() / 2; ++i) values[i] = -huge;
  const Health health = Count(DType::kFloat64, Bytes(values));
  EXPECT_EQ(health.min, -huge);
  EXPECT_TRUE(std::isfinite(health.mean));
}

TEST(ValueCounter, MinusZeroIsZero) {
  const Health health = Count(DType::kFloat32, Bytes(std::vector<float>(100, -0.0f)));
  EXPECT_EQ(health.zeros, 100u);
  EXPECT_FALSE(std::signbit(health.min) || std::signbit(health.max) || std::signbit(health.mean));
}

TEST(ValueCounter, NothingButNaNHasNoRange) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Count(DType::kFloat32, Bytes<float>({nan, nan})), (Health{2, 0, 0, 0, 0, 0}));
  EXPECT_EQ(Count(DType::kFloat32, ""), Health());
}

ManifestEntry Entry(const std::string& key, DType dtype, std::optional<Health> health) {
  ManifestEntry entry;
  entry.spec.key = key;
  entry.spec.dtype = dtype;
  entry.health = health;
  return entry;
}

TEST(CheckAllFinite, NamesTheTensorsAndWhatTheyHold) {
  Manifest manifest;
  manifest.entries = {Entry("fine", DType::kFloat32, Health()),
                      Entry("whole", DType::kInt64, std::nullopt),
                      Entry("packed", DType::kFloat6E2m3, std::nullopt)};
  EXPECT_TRUE(CheckAllFinite(manifest).ok());
  manifest.entries.push_back(Entry("a", DType::kFloat32, Health{3, 0, 0, 0, 0, 0}));
  EXPECT_EQ(CheckAllFinite(manifest).message(),
            "values: NaN or Inf in 1 tensor: \"a\" (3 NaN), want finite numbers (no_nan)");
  manifest.entries.push_back(Entry("b", DType::kBfloat16, Health{1, 2, 0, 0, 0, 0}));
  manifest.entries.push_back(Entry("c", DType::kFloat64, std::nullopt));
  const absl::Status status = CheckAllFinite(manifest);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "values: NaN or Inf in 3 tensors: \"a\" (3 NaN), \"b\" (1 NaN, 2 Inf), \"c\" (not "
            "counted), want finite numbers (no_nan)");
  for (int i = 0; i < 20; ++i) {
    manifest.entries.push_back(Entry(absl::StrCat("x", i), DType::kFloat32, std::nullopt));
  }
  EXPECT_THAT(std::string(CheckAllFinite(manifest).message()),
              ::testing::HasSubstr("\"x6\" (not counted) and 13 more, want"));
}

}  // namespace
}  // namespace ballast

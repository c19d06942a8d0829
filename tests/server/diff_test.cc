// Diff as messages: what changed, by how much, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "server/use_cases/value_diff.h"
#include "storage/model/element_values.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;

struct DiffAnswer {
  absl::Status status;
  std::vector<v1::DiffResponse> messages;
  v1::DiffHeader header;
  std::vector<v1::Change> changes;
  v1::DiffSummary summary;
};

DiffAnswer Diff(const TestServer& server, const std::string& from, const std::string& to,
                bool values = true, bool with_optimizer = false) {
  v1::DiffRequest request;
  request.set_from(from);
  request.set_to(to);
  request.set_values(values);
  request.set_with_optimizer(with_optimizer);
  const Answers answers = Exchange(server, "Diff", {EncodeMessage(request)});
  DiffAnswer out;
  out.status = answers.status;
  for (const Frame& frame : answers.frames) {
    v1::DiffResponse response;
    EXPECT_THAT(DecodeMessage(frame, &response), IsOk());
    EXPECT_LT(response.ByteSizeLong(), 4u << 20);
    if (response.has_header()) out.header = response.header();
    for (const v1::Change& change : response.changes().changes()) out.changes.push_back(change);
    if (response.has_summary()) out.summary = response.summary();
    out.messages.push_back(std::move(response));
  }
  return out;
}

template <typename T>
Tensor Values(const std::string& key, DType dtype, const std::vector<T>& values) {
  Tensor tensor;
  tensor.spec.key = key;
  tensor.spec.dtype = dtype;
  tensor.spec.shape = {values.size() * sizeof(T) / (InfoOf(dtype).bits / 8)};
  tensor.bytes.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return tensor;
}

// The change of one tensor between two versions.
v1::Change ChangeOf(const Tensor& from, const Tensor& to) {
  const TestServer server;
  MustPush(server, "m", {from});
  MustPush(server, "m", {to});
  const DiffAnswer diff = Diff(server, "m:1", "m:2");
  EXPECT_THAT(diff.status, IsOk());
  EXPECT_EQ(diff.changes.size(), 1u);
  return diff.changes.empty() ? v1::Change() : diff.changes[0];
}

TEST(Diff, TellsHeaderChangesAndSummary) {
  const TestServer server;
  MustPush(
      server, "m",
      {Values<float>("a", DType::kFloat32, {1, 2}), Values<float>("gone", DType::kFloat32, {5}),
       Values<float>("kept", DType::kFloat32, {9}),
       Values<float>("old", DType::kFloat32, {7, 7, 7})});
  MustPush(
      server, "n",
      {Values<float>("a", DType::kFloat32, {1, 4}), Values<float>("added", DType::kFloat32, {6}),
       Values<float>("kept", DType::kFloat32, {9}),
       Values<float>("renamed", DType::kFloat32, {7, 7, 7})});
  const DiffAnswer diff = Diff(server, "m", "n");
  ASSERT_THAT(diff.status, IsOk());
  EXPECT_EQ(diff.header.from().model(), "m");
  EXPECT_EQ(diff.header.to().model(), "n");
  EXPECT_TRUE(diff.messages.front().has_header());
  EXPECT_TRUE(diff.messages.back().has_summary());
  ASSERT_EQ(diff.changes.size(), 4u);
  EXPECT_EQ(diff.changes[0].kind(), v1::CHANGE_KIND_CHANGED);
  EXPECT_EQ(diff.changes[0].values().changed(), 1u);
  EXPECT_EQ(diff.changes[0].values().max_abs(), 2);
  EXPECT_EQ(diff.changes[1].kind(), v1::CHANGE_KIND_ADDED);
  EXPECT_FALSE(diff.changes[1].has_from());
  EXPECT_EQ(diff.changes[2].kind(), v1::CHANGE_KIND_REMOVED);
  EXPECT_FALSE(diff.changes[2].has_to());
  EXPECT_EQ(diff.changes[3].kind(), v1::CHANGE_KIND_RENAMED);
  EXPECT_EQ(diff.changes[3].key(), "renamed");
  EXPECT_EQ(diff.changes[3].from_key(), "old");
  EXPECT_EQ(diff.summary.changed() + diff.summary.added() + diff.summary.removed() +
                diff.summary.renamed() + diff.summary.unchanged(),
            5u);
  EXPECT_EQ(diff.summary.shared_bytes(), 16u);
}

TEST(Diff, ValuesAreReadOnlyIfAskedFor) {
  const TestServer server;
  MustPush(server, "m", {Values<float>("a", DType::kFloat32, {1})});
  MustPush(server, "m", {Values<float>("a", DType::kFloat32, {2})});
  const DiffAnswer diff = Diff(server, "m:1", "m:2", false);
  ASSERT_EQ(diff.changes.size(), 1u);
  EXPECT_FALSE(diff.changes[0].has_values());
}

TEST(Diff, OptimizerStateIsLeftOutUnlessAskedFor) {
  const TestServer server;
  std::vector<Tensor> from = {Values<float>("w", DType::kFloat32, {1}),
                              Values<float>("state", DType::kFloat32, {1})};
  from[1].spec.role = Role::kOther;
  std::vector<Tensor> to = from;
  to[1] = Values<float>("state", DType::kFloat32, {2});
  to[1].spec.role = Role::kOther;
  MustPush(server, "m", from);
  MustPush(server, "m", to);
  EXPECT_EQ(Diff(server, "m:1", "m:2").changes.size(), 0u);
  EXPECT_EQ(Diff(server, "m:1", "m:2", true, true).changes.size(), 1u);
}

TEST(Diff, MeasuresMaximumNormAndShare) {
  const v1::ValueChange values = ChangeOf(Values<float>("w", DType::kFloat32, {1, 2, 3, 4}),
                                          Values<float>("w", DType::kFloat32, {1, 2, 6, 0}))
                                     .values();
  EXPECT_EQ(values.elements(), 4u);
  EXPECT_EQ(values.changed(), 2u);
  EXPECT_EQ(values.max_abs(), 4);
  EXPECT_THAT(values.l2(), DoubleEq(5));
  EXPECT_THAT(values.l2_from(), DoubleEq(std::sqrt(30)));
  EXPECT_EQ(values.not_finite(), 0u);
}

TEST(Diff, WhatIsNoFiniteNumberIsCountedAndNotMeasured) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const v1::ValueChange values =
      ChangeOf(Values<float>("w", DType::kFloat32, {nan, nan, inf, 1, 0, -0.0f, inf}),
               Values<float>("w", DType::kFloat32, {nan, 1, -inf, inf, -0.0f, 2, inf}))
          .values();
  EXPECT_EQ(values.changed(), 5u) << "equal bits have not changed, 0 and -0 differ";
  EXPECT_EQ(values.not_finite(), 3u);
  EXPECT_EQ(values.max_abs(), 2);
  EXPECT_EQ(values.l2_from(), 1);
}

TEST(Diff, LargeIntegersThatDifferByOneDifferByOne) {
  const int64_t big = int64_t{1} << 62;
  EXPECT_EQ(ChangeOf(Values<int64_t>("n", DType::kInt64, {big, -big}),
                     Values<int64_t>("n", DType::kInt64, {big + 1, -big}))
                .values()
                .max_abs(),
            1);
  EXPECT_EQ(ChangeOf(Values<int64_t>("n", DType::kInt64, {INT64_MIN}),
                     Values<int64_t>("n", DType::kInt64, {INT64_MAX}))
                .values()
                .max_abs(),
            0x1p64);
  EXPECT_EQ(ChangeOf(Values<uint64_t>("n", DType::kUint64, {UINT64_MAX}),
                     Values<uint64_t>("n", DType::kUint64, {UINT64_MAX - 1}))
                .values()
                .max_abs(),
            1);
}

// Every dtype, against the values one by one.
TEST(Diff, EveryDTypeIsMeasuredOrHasNoNumbers) {
  for (const DTypeInfo& info : AllDTypes()) {
    const uint32_t parts = ValuesPerElement(info.dtype);
    const Shape shape = info.bits == 6 ? Shape{1024} : Shape{1000};
    const Tensor from = MakeTensor("w", info.dtype, shape, 1);
    Tensor to = MakeTensor("w", info.dtype, shape, 2);
    for (size_t i = 0; i < 100; ++i) to.bytes[i] = from.bytes[i];
    const v1::Change change = ChangeOf(from, to);
    ASSERT_EQ(change.has_values(), parts > 0) << info.name;
    if (parts == 0) continue;
    const size_t width = info.bits / 8 / parts;
    std::vector<double> a(shape[0] * parts), b(a.size());
    ReadValues(info.dtype, from.bytes, a.data());
    ReadValues(info.dtype, to.bytes, b.data());
    uint64_t changed = 0, not_finite = 0;
    double max_abs = 0, squares = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      if (std::memcmp(&from.bytes[i * width], &to.bytes[i * width], width) == 0) continue;
      ++changed;
      const double difference = b[i] - a[i];
      not_finite += std::isfinite(difference) ? 0 : 1;
      if (!std::isfinite(difference)) continue;
      max_abs = std::max(max_abs, std::abs(difference));
      squares += difference * difference;
    }
    EXPECT_EQ(change.values().elements(), a.size()) << info.name;
    EXPECT_EQ(change.values().changed(), changed) << info.name;
    EXPECT_EQ(change.values().not_finite(), not_finite) << info.name;
    EXPECT_THAT(change.values().max_abs(), DoubleNear(max_abs, max_abs * 1e-9)) << info.name;
    const double l2 = std::min(std::sqrt(squares), std::numeric_limits<double>::max());
    EXPECT_THAT(change.values().l2(), DoubleNear(l2, l2 * 1e-9)) << info.name;
  }
}

TEST(Diff, ARecastTensorIsComparedByItsValues) {
  const v1::Change exact = ChangeOf(Values<float>("w", DType::kFloat32, {1, -2, 0.5f}),
                                    Values<double>("w", DType::kFloat64, {1, -2, 0.5}));
  EXPECT_EQ(exact.kind(), v1::CHANGE_KIND_RECAST);
  EXPECT_EQ(exact.values().changed(), 0u);
  const v1::ValueChange rounded =
      ChangeOf(Values<float>("w", DType::kFloat32, {1, 256.5f}),
               Values<uint8_t>("w", DType::kBfloat16, {0x80, 0x3F, 0x80, 0x43}))
          .values();
  EXPECT_EQ(rounded.changed(), 1u);
  EXPECT_EQ(rounded.max_abs(), 0.5);
  const v1::ValueChange complex = ChangeOf(Values<float>("w", DType::kFloat32, {1, 2}),
                                           Values<float>("w", DType::kComplex64, {1, 0, 2, 3}))
                                      .values();
  EXPECT_EQ(complex.elements(), 4u);
  EXPECT_EQ(complex.changed(), 1u);
  EXPECT_EQ(complex.max_abs(), 3);
}

// Three blocks and a bit, of two dtypes whose blocks end at different elements.
TEST(Diff, BlocksThatEndInDifferentPlacesAreReadSideBySide) {
  std::vector<float> from(3 * kBlockBytes / 4 + 5);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i % 1000);
  std::vector<double> to(from.begin(), from.end());
  to[kBlockBytes / 8] += 3;
  to.back() -= 4;
  const v1::ValueChange values =
      ChangeOf(Values("w", DType::kFloat32, from), Values("w", DType::kFloat64, to)).values();
  EXPECT_EQ(values.changed(), 2u);
  EXPECT_THAT(values.l2(), DoubleEq(5));
}

// Counts what is read, so that blocks that did not change are seen to be left alone.
TEST(Diff, OfUnchangedBlocksOnlyTheFirstVersionIsRead) {
  TestServer server;
  std::vector<Tensor> tensors = {BigModel()[1]};  // 2.5 MiB
  const Manifest from = ManifestOf(tensors);
  MustPush(server, "m", tensors);
  tensors[0].bytes[0] ^= 1;
  const Manifest to = ManifestOf(tensors);
  MustPush(server, "m", tensors);
  ValueDiff diff(server.blobs(), &from, &to, [] { return absl::OkStatus(); });
  const auto values = diff.Compare(0, 0);
  ASSERT_THAT(values, IsOk());
  EXPECT_EQ(values->changed, 1u);
  EXPECT_EQ(diff.read_bytes(), 5 * kBlockBytes / 2 + kBlockBytes);
}

TEST(Diff, DamagedBlocksAreNotComparedWith) {
  TestServer server;
  const Tensor from = Values<float>("w", DType::kFloat32, {1, 2});
  MustPush(server, "m", {from});
  MustPush(server, "m", {Values<float>("w", DType::kFloat32, {1, 3})});
  server.memory_blobs()->Corrupt(Sha256Of(from.bytes), "12345678");
  EXPECT_THAT(Diff(server, "m:1", "m:2").status,
              IsError(absl::StatusCode::kDataLoss, "reading \"w\": CRC-32 of block 0"));
  EXPECT_THAT(Diff(server, "m:1", "m:2", false).status, IsOk());
}

TEST(Diff, EndsWhenItsClientIsGone) {
  TestServer server;
  const Manifest manifest = ManifestOf({Values<float>("w", DType::kFloat32, {1})});
  ValueDiff diff(server.blobs(), &manifest, &manifest,
                 [] { return absl::CancelledError("diff: the client is gone"); });
  EXPECT_THAT(diff.Compare(0, 0), IsError(absl::StatusCode::kCancelled, "the client is gone"));
}

TEST(Diff, RefusesWhatThereIsNot) {
  const TestServer server;
  MustPush(server, "m", SmallModel());
  EXPECT_THAT(Diff(server, "m", "m:7").status, IsError(kNoSuch, "m:7: no such version"));
  EXPECT_THAT(Diff(server, "m@prod", "m").status, IsError(kNoSuch, "m@prod: no such alias"));
  EXPECT_THAT(Diff(server, "", "m").status, IsError(kInvalid, "from: "));
  EXPECT_THAT(Diff(server, "m", "M").status, IsError(kInvalid, "to: "));
}

TEST(Diff, ManyChangesComeInPieces) {
  const TestServer server;
  std::vector<Tensor> from, to;
  for (int i = 0; i < 3000; ++i) {
    const std::string key = absl::StrCat(std::string(900, 'k'), i);
    from.push_back(Values<uint8_t>(key, DType::kUint8, {1}));
    to.push_back(Values<uint8_t>(key, DType::kUint8, {2}));
  }
  MustPush(server, "m", from);
  MustPush(server, "m", to);
  const DiffAnswer diff = Diff(server, "m:1", "m:2");
  ASSERT_THAT(diff.status, IsOk());
  EXPECT_EQ(diff.changes.size(), 3000u);
  EXPECT_EQ(diff.summary.changed(), 3000u);
  EXPECT_GE(diff.messages.size(), 4u);
  EXPECT_TRUE(std::is_sorted(diff.changes.begin(), diff.changes.end(),
                             [](const auto& a, const auto& b) { return a.key() < b.key(); }));
}

}  // namespace
}  // namespace ballast

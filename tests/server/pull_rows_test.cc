// Rows of one tensor: which bytes, in which messages, and what is refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::IsEmpty;

v1::PullRequest RowsOf(const std::string& key, uint64_t first,
                       std::optional<uint64_t> count = std::nullopt) {
  v1::PullRequest request = RequestOf("m", "tensors");
  request.mutable_rows()->set_key(key);
  request.mutable_rows()->set_first(first);
  if (count) request.mutable_rows()->set_count(*count);
  return request;
}

const Tensor& Find(const std::vector<Tensor>& tensors, const std::string& key) {
  return *std::find_if(tensors.begin(), tensors.end(),
                       [&](const Tensor& tensor) { return tensor.spec.key == key; });
}

class PullRowsOnEveryEngine : public ::testing::TestWithParam<std::string> {
 protected:
  TestServer server_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Engines, PullRowsOnEveryEngine, ::testing::Values("memory", "rocksdb"),
                         [](const auto& info) { return info.param; });

TEST_P(PullRowsOnEveryEngine, AreTheBytesOfTheTensorFromAnyOffset) {
  const std::vector<Tensor> tensors = BigModel();
  const v1::Version version = MustPush(server_, "m", tensors);
  const Tensor& big = Find(tensors, "big");
  const uint64_t rows = big.spec.shape[0];
  const uint64_t row_bytes = big.bytes.size() / rows;
  for (const uint64_t first : {uint64_t{0}, rows / 3, rows - 1, rows}) {
    for (const uint64_t count : {uint64_t{0}, uint64_t{1}, rows / 2, rows}) {
      if (count > rows - first) continue;
      const std::string want = big.bytes.substr(first * row_bytes, count * row_bytes);
      v1::PullRequest request = RowsOf("big", first, count);
      const PullAnswer answer = PullVersion(server_, request);
      ASSERT_THAT(answer.status, IsOk());
      EXPECT_TRUE(answer.bytes == want) << first << ", " << count;
      EXPECT_EQ(answer.crcs_wrong, 0u);
      EXPECT_EQ(answer.header.size_bytes(), want.size());
      EXPECT_EQ(answer.header.entries(), 1u);
      EXPECT_EQ(answer.header.version().digest(), version.digest());
      request.set_layout_digest(answer.header.layout_digest());
      request.set_offset_bytes(want.size() / 2 + 1);
      if (request.offset_bytes() > want.size()) continue;
      const PullAnswer rest = PullVersion(server_, request);
      ASSERT_THAT(rest.status, IsOk());
      EXPECT_TRUE(rest.bytes == want.substr(request.offset_bytes()));
      EXPECT_EQ(rest.crcs_wrong, 0u);
    }
  }
}

TEST_P(PullRowsOnEveryEngine, ADamagedBlockThatIsCutIsDataLoss) {
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server_, "m", tensors);
  const Digest digest = Sha256Of(Find(tensors, "big").bytes.substr(0, kBlockBytes));
  ASSERT_THAT(server_.blobs()->RemoveIfOlder({digest}, UINT64_MAX), IsOk());
  const PullAnswer answer = PullVersion(server_, RowsOf("big", 0, 1));
  EXPECT_THAT(answer.status, IsError(absl::StatusCode::kDataLoss, "reading \"big\": block "));
  EXPECT_THAT(answer.bytes, IsEmpty());
}

TEST(PullRows, TheManifestHasTheWholeTensorsEntryWithoutBlocks) {
  TestServer server;
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server, "m", tensors);
  const PullAnswer answer = PullVersion(server, RowsOf("big", 1, 1));
  ASSERT_TRUE(answer.manifest.has_value());
  ASSERT_EQ(answer.manifest->entries.size(), 1u);
  EXPECT_EQ(answer.manifest->entries[0].spec, Find(tensors, "big").spec);
  EXPECT_THAT(answer.manifest->entries[0].blocks, IsEmpty());
}

TEST(PullRows, OtherRowsAreAnotherLayout) {
  TestServer server;
  MustPush(server, "m", BigModel());
  v1::PullRequest request = RowsOf("big", 0, 1);
  request.set_layout_digest(PullVersion(server, request).header.layout_digest());
  request.mutable_rows()->set_first(1);
  EXPECT_THAT(PullVersion(server, request).status,
              Fails(kPrecondition, Reason::kConflict, "pull: layout is"));
}

TEST(PullRows, SaysWhatIsWrong) {
  TestServer server;
  const std::vector<Tensor> tensors = {MakeTensor("layer.weight", DType::kUint8, {4, 3}),
                                       MakeTensor("scale", DType::kUint8, {})};
  MustPush(server, "m", tensors);
  EXPECT_THAT(PullVersion(server, RowsOf("layer.wieght", 0)).status,
              IsError(kNoSuch,
                      "m:1: no key is \"layer.wieght\"; the nearest are "
                      "\"layer.weight\""));
  EXPECT_THAT(PullVersion(server, RowsOf("layer.*", 0)).status, IsError(kNoSuch, "no key is"));
  EXPECT_THAT(PullVersion(server, RowsOf("layer.weight", 3, 2)).status,
              IsError(absl::StatusCode::kOutOfRange, "wanted are 3:5, shape is [4, 3]"));
  EXPECT_THAT(PullVersion(server, RowsOf("layer.weight", 0, UINT64_MAX)).status,
              IsError(absl::StatusCode::kOutOfRange, "m:1: rows of \"layer.weight\""));
  EXPECT_THAT(PullVersion(server, RowsOf("scale", 0)).status,
              IsError(kInvalid, "shape is [], want a dimension"));
  v1::PullRequest request = RowsOf("layer.weight", 0);
  request.set_format("pytorch");
  EXPECT_THAT(PullVersion(server, request).status, IsError(kInvalid, "format is pytorch"));
  request.set_format("");
  EXPECT_EQ(PullVersion(server, request).bytes, tensors[0].bytes);
  request.mutable_rules()->add_include("*");
  EXPECT_THAT(PullVersion(server, request).status, IsError(kInvalid, "there are rules"));
  request.clear_rules();
  request.set_plain_dict(true);
  EXPECT_THAT(PullVersion(server, request).status, IsError(kInvalid, "a plain dict"));
}

}  // namespace
}  // namespace ballast

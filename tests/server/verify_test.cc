// Verification as a call.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ballast/v1/operations.pb.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;

struct Verified {
  absl::Status status;
  std::vector<v1::Damage> damage;
  std::optional<v1::VerifyResult> result;
};

Verified Verify(const TestServer& server, const std::string& reference = "") {
  v1::VerifyRequest request;
  request.set_reference(reference);
  request.set_bytes_per_second(uint64_t{1} << 40);
  const Answers answers = Exchange(server, "Verify", {EncodeMessage(request)});
  Verified verified;
  verified.status = answers.status;
  for (const Frame& frame : answers.frames) {
    v1::VerifyResponse response;
    EXPECT_THAT(DecodeMessage(frame, &response), IsOk());
    EXPECT_FALSE(verified.result.has_value()) << "something came behind the result";
    if (response.has_damage()) verified.damage.push_back(response.damage());
    if (response.has_result()) verified.result = response.result();
  }
  return verified;
}

TEST(Verify, TellsDamageUntilAPushHealsIt) {
  TestServer server;
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server, "m", tensors);
  Verified verified = Verify(server);
  ASSERT_THAT(verified.status, IsOk());
  ASSERT_TRUE(verified.result.has_value());
  EXPECT_EQ(verified.result->versions(), 1u);
  EXPECT_EQ(verified.result->damaged_blocks(), 0u);
  EXPECT_TRUE(verified.damage.empty());

  const std::string block = BytesByKey(tensors).begin()->second.substr(0, kBlockBytes);
  server.memory_blobs()->Corrupt(Sha256Of(block), "something else");
  verified = Verify(server, "m:1");
  ASSERT_THAT(verified.status, IsOk());
  ASSERT_EQ(verified.damage.size(), 1u);
  EXPECT_EQ(verified.damage[0].kind(), v1::DAMAGE_KIND_DIGEST);
  EXPECT_EQ(verified.damage[0].digest(), std::string(Sha256Of(block).View()));
  ASSERT_EQ(verified.damage[0].versions_size(), 1);
  EXPECT_THAT(verified.damage[0].versions(0), ::testing::StartsWith("m:1 ("));
  EXPECT_EQ(verified.result->damaged_versions(), 1u);
  EXPECT_EQ(PullVersion(server, RequestOf("m")).status.code(), absl::StatusCode::kDataLoss);

  const PushAnswer again = ManifestPush("m", tensors).Run(server);
  ASSERT_THAT(again.status, IsOk());
  EXPECT_EQ(again.needed.size(), 1u) << "only what is damaged is asked for";
  EXPECT_THAT(PullVersion(server, RequestOf("m:1")).status, IsOk());
  EXPECT_TRUE(Verify(server).damage.empty());
}

TEST(Verify, RefusesWhatIsNotThere) {
  TestServer server;
  EXPECT_THAT(Verify(server, "m").status, IsError(kNoSuch, "m: no such model"));
  EXPECT_THAT(Verify(server, "M").status, IsError(kInvalid, ""));
}

TEST(Verify, ARecordThatCannotBeReadIsDamageOfTheReference) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  ASSERT_THAT(server.records()->Commit("m/m", {}, {{"v/9999999998", "nonsense"}}), IsOk());
  const Verified verified = Verify(server, "m:1");
  ASSERT_THAT(verified.status, IsOk());
  ASSERT_EQ(verified.damage.size(), 1u);
  EXPECT_EQ(verified.damage[0].kind(), v1::DAMAGE_KIND_RECORD);
  EXPECT_THAT(verified.damage[0].versions(), ElementsAre("m:1"));
  EXPECT_EQ(Verify(server).damage.size(), 1u);
}

}  // namespace
}  // namespace ballast

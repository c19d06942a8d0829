// Watch: news of a model as messages, where they go on, and what ends them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "storage/base/crc32.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;

v1::WatchRequest WatchOf(const std::string& model, const std::string& token = "",
                         const std::string& alias = "") {
  v1::WatchRequest request;
  request.set_model(model);
  request.set_alias(alias);
  request.set_resume_token(token);
  return request;
}

// One watch, as a client sees it.
class TestWatch {
 public:
  TestWatch(const TestServer& server, const v1::WatchRequest& request)
      : call_(server.Start("Watch")) {
    EXPECT_THAT(call_->Write(EncodeMessage(request)), IsOk());
    EXPECT_THAT(call_->WritesDone(), IsOk());
  }
  // The next message; positions too.
  v1::WatchResponse Next() {
    v1::WatchResponse response;
    const absl::StatusOr<std::optional<Frame>> frame = call_->Read();
    EXPECT_TRUE(frame.ok() && frame->has_value()) << "the watch has ended";
    if (frame.ok() && frame->has_value()) {
      EXPECT_THAT(DecodeMessage(**frame, &response), IsOk());
    }
    return response;
  }
  // The next event: "3" a version, "prod 1>2" a move. Its token is in `token`.
  std::string NextEvent(std::string* token = nullptr) {
    v1::WatchResponse response = Next();
    while (response.has_position()) response = Next();
    if (token != nullptr) *token = response.resume_token();
    if (response.has_published()) return absl::StrCat(response.published().version());
    return absl::StrCat(response.moved().alias(), " ", response.moved().from_version(), ">",
                        response.moved().to_version());
  }
  absl::Status Finish() { return call_->Finish(); }
  void Cancel() { call_->Cancel(); }

 private:
  std::unique_ptr<ClientFrameStream> call_;
};

void SetAlias(const TestServer& server, const std::string& reference, const std::string& alias) {
  v1::SetAliasRequest request;
  request.set_reference(reference);
  request.set_alias(alias);
  request.set_request_id(NextRequestId());
  ASSERT_THAT(Unary<v1::SetAliasResponse>(server, "SetAlias", request), IsOk());
}

TEST(Watch, TellsItsPositionAndThenWhatHappens) {
  const TestServer server;
  MustPush(server, "m", SmallModel());
  TestWatch watch(server, WatchOf("m"));
  EXPECT_TRUE(watch.Next().has_position());
  const v1::Version pushed = MustPush(server, "m", SmallModel(2), "prod");
  const v1::WatchResponse first = watch.Next();
  ASSERT_TRUE(first.has_published());
  EXPECT_EQ(first.published().version(), 2u);
  EXPECT_EQ(first.published().digest(), pushed.digest());
  const v1::WatchResponse second = watch.Next();
  ASSERT_TRUE(second.has_moved());
  EXPECT_EQ(second.moved().alias(), "prod");
  EXPECT_EQ(second.moved().principal(), "tester");
  SetAlias(server, "m:1", "prod");
  EXPECT_EQ(watch.NextEvent(), "prod 2>1");
}

TEST(Watch, GoesOnBehindEachToken) {
  const TestServer server;
  MustPush(server, "m", SmallModel());
  TestWatch watch(server, WatchOf("m"));
  std::string start = watch.Next().resume_token();
  MustPush(server, "m", SmallModel(2), "prod");
  MustPush(server, "m", SmallModel(3), "prod");
  const std::vector<std::string> all = {"2", "3", "prod 0>2", "prod 2>3"};
  for (size_t from = 0; from < all.size(); ++from) {
    TestWatch again(server, WatchOf("m", start));
    EXPECT_TRUE(again.Next().has_position());
    EXPECT_EQ(again.NextEvent(&start), all[from]);
    for (size_t i = from + 1; i < all.size(); ++i) EXPECT_EQ(again.NextEvent(), all[i]);
  }
}

TEST(Watch, AnAliasHasItsOwnWatch) {
  const TestServer server;
  MustPush(server, "m", SmallModel(), "prod");
  TestWatch watch(server, WatchOf("m", "", "next"));
  EXPECT_TRUE(watch.Next().has_position());
  MustPush(server, "m", SmallModel(2), "prod");
  SetAlias(server, "m:2", "next");
  EXPECT_EQ(watch.NextEvent(), "next 0>2");
}

TEST(Watch, LooksByItselfWhenHintsAreLost) {
  Limits limits;
  limits.watch_poll_ms = 1;
  const TestServer server("deaf", limits);
  MustPush(server, "m", SmallModel());
  TestWatch watch(server, WatchOf("m"));
  EXPECT_TRUE(watch.Next().has_position());
  MustPush(server, "m", SmallModel(2));
  EXPECT_EQ(watch.NextEvent(), "2");
}

TEST(Watch, SaysWhereItStandsWhileNothingHappens) {
  Limits limits;
  limits.watch_poll_ms = 1;
  const TestServer server("memory", limits);
  MustPush(server, "m", SmallModel());
  TestWatch watch(server, WatchOf("m"));
  const std::string token = watch.Next().resume_token();
  for (int i = 0; i < 5; ++i) {
    const v1::WatchResponse response = watch.Next();
    EXPECT_TRUE(response.has_position());
    EXPECT_EQ(response.resume_token(), token);
  }
}

TEST(Watch, EndsWhenTheServerStops) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  TestWatch watch(server, WatchOf("m"));
  EXPECT_TRUE(watch.Next().has_position());
  server.watches()->Close();
  EXPECT_THAT(watch.Finish(),
              IsError(absl::StatusCode::kUnavailable, "watch: the server is stopping"));
  EXPECT_THAT(TestWatch(server, WatchOf("m")).Finish(),
              IsError(absl::StatusCode::kUnavailable, "watch: the server is stopping"));
}

TEST(Watch, EndsWhenItsClientIsGone) {
  const TestServer server;
  MustPush(server, "m", SmallModel());
  TestWatch watch(server, WatchOf("m"));
  EXPECT_TRUE(watch.Next().has_position());
  watch.Cancel();
  EXPECT_THAT(watch.Finish(), IsError(absl::StatusCode::kCancelled, ""));
}

TEST(Watch, RefusesWhatItCannotFollow) {
  TestServer server;
  MustPush(server, "m", SmallModel(), "prod");
  MustPush(server, "n", SmallModel(), "prod");
  const std::string of_m = TestWatch(server, WatchOf("m")).Next().resume_token();
  const std::string of_prod = TestWatch(server, WatchOf("m", "", "prod")).Next().resume_token();
  const auto sealed = [](const std::string& position) {
    return absl::StrCat(position, ".", absl::Hex(Crc32("watch\nm\n" + position), absl::kZeroPad8));
  };
  ASSERT_EQ(of_m, sealed("1/1"));
  const struct {
    const char* what;
    v1::WatchRequest request;
    absl::StatusCode code;
    std::string says;
  } kRows[] = {
      {"no model", WatchOf("no/such"), kNoSuch, "no/such: no such model"},
      {"a bad name", WatchOf("M"), kInvalid, "has upper-case letters"},
      {"a bad alias", WatchOf("m", "", "latest"), kInvalid, "latest"},
      {"another model's token", WatchOf("n", of_m), kInvalid, "watch of \"n\": page token"},
      {"the token of a watch of an alias", WatchOf("m", of_prod), kInvalid, "watch of \"m\""},
      {"an alias with the model's token", WatchOf("m", of_m, "prod"), kInvalid, "\"m@prod\""},
      {"nonsense", WatchOf("m", "!"), kInvalid, "page token is \"!\""},
      {"one that is cut", WatchOf("m", of_m.substr(1)), kInvalid, "page token"},
      {"no number", WatchOf("m", sealed("1/x")), kInvalid, "position is \"1/x\""},
      {"one number", WatchOf("m", sealed("1")), kInvalid, "position is \"1\""},
      {"a number with zeros", WatchOf("m", sealed("01/1")), kInvalid, "position is \"01/1\""},
      {"a version to come", WatchOf("m", sealed("2/1")), kInvalid, "behind version 2"},
      {"a move to come", WatchOf("m", sealed("1/2")), kInvalid, "behind alias move 2"},
  };
  for (const auto& row : kRows) {
    EXPECT_THAT(TestWatch(server, row.request).Finish(), IsError(row.code, row.says)) << row.what;
  }
}

TEST(Watch, ForgottenMovesEndIt) {
  Limits limits;
  limits.alias_history_max = 2;
  const TestServer server("memory", limits);
  MustPush(server, "m", SmallModel(), "prod");
  const std::string token = TestWatch(server, WatchOf("m")).Next().resume_token();
  for (uint8_t seed = 2; seed < 6; ++seed) MustPush(server, "m", SmallModel(seed), "prod");
  EXPECT_THAT(TestWatch(server, WatchOf("m", token)).Finish(),
              IsError(absl::StatusCode::kOutOfRange, "alias move 2 is forgotten"));
}

}  // namespace
}  // namespace ballast

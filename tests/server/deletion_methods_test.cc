// Deletion, retention, alias history and garbage collection as calls.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ballast/v1/operations.pb.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;

v1::DeleteVersionRequest DeletionOf(const std::string& model, uint64_t version) {
  v1::DeleteVersionRequest request;
  request.set_model(model);
  request.set_version(version);
  request.set_all_versions(version == 0);
  request.set_request_id(NextRequestId());
  return request;
}

absl::StatusOr<v1::DeleteVersionResponse> Delete(const TestServer& server,
                                                 const v1::DeleteVersionRequest& request) {
  return Unary<v1::DeleteVersionResponse>(server, "DeleteVersion", request);
}

absl::StatusOr<v1::Version> Undelete(const TestServer& server, const std::string& model,
                                     uint64_t version) {
  v1::UndeleteVersionRequest request;
  request.set_model(model);
  request.set_version(version);
  request.set_request_id(NextRequestId());
  return Unary<v1::Version>(server, "UndeleteVersion", request);
}

std::vector<v1::Version> Listed(const TestServer& server, bool deleted) {
  v1::ListVersionsRequest request;
  request.set_model("m");
  request.set_deleted(deleted);
  const auto page = Unary<v1::ListVersionsResponse>(server, "ListVersions", request);
  EXPECT_THAT(page, IsOk());
  if (!page.ok()) return {};
  return {page->versions().begin(), page->versions().end()};
}

struct Collected {
  absl::Status status;
  std::vector<v1::CollectionProgress> progress;
  std::vector<v1::DeletionUse> deletions;
  std::optional<v1::CollectionResult> result;
};

Collected Collect(const TestServer& server, bool dry_run = false) {
  v1::CollectGarbageRequest request;
  request.set_dry_run(dry_run);
  const Answers answers = Exchange(server, "CollectGarbage", {EncodeMessage(request)});
  Collected collected;
  collected.status = answers.status;
  for (const Frame& frame : answers.frames) {
    v1::CollectGarbageResponse response;
    EXPECT_THAT(DecodeMessage(frame, &response), IsOk());
    if (response.has_progress()) collected.progress.push_back(response.progress());
    for (const v1::DeletionUse& use : response.deletions().deletions()) {
      collected.deletions.push_back(use);
    }
    if (response.has_result()) collected.result = response.result();
  }
  return collected;
}

TEST(DeleteVersion, HidesItUntilItIsBroughtBack) {
  TestServer server;
  MustPush(server, "m", SmallModel(1));
  MustPush(server, "m", SmallModel(2));
  const auto deleted = Delete(server, DeletionOf("m", 2));
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->deleted(), 1u);
  EXPECT_GT(deleted->until().seconds(), absl::ToUnixSeconds(absl::Now()) + 6 * 86'400);
  EXPECT_THAT(PullVersion(server, RequestOf("m:2")).status,
              IsError(kNoSuch, "m:2: the version is deleted"));
  ASSERT_EQ(Listed(server, false).size(), 1u);
  const std::vector<v1::Version> listed = Listed(server, true);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].version(), 2u);
  EXPECT_EQ(listed[0].deletion().principal(), "tester");
  EXPECT_EQ(listed[0].deletion().until().seconds() - listed[0].deletion().time().seconds(),
            7 * 86'400);
  const auto back = Undelete(server, "m", 2);
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->version(), 2u);
  EXPECT_FALSE(back->has_deletion());
  EXPECT_THAT(PullVersion(server, RequestOf("m:2")).status, IsOk());
}

TEST(DeleteVersion, RefusesWhatItCannotDo) {
  TestServer server;
  MustPush(server, "m", SmallModel(1), "prod");
  EXPECT_THAT(Delete(server, DeletionOf("m", 1)),
              IsError(kPrecondition, "m:1: the version has the alias prod"));
  EXPECT_THAT(Delete(server, DeletionOf("m", 0)), IsError(kPrecondition, "alias prod"));
  EXPECT_THAT(Delete(server, DeletionOf("m", 2)), IsError(kNoSuch, "m:2: no such version"));
  EXPECT_THAT(Delete(server, DeletionOf("n", 1)), IsError(kNoSuch, "n: no such model"));
  EXPECT_THAT(Delete(server, DeletionOf("N", 1)), IsError(kInvalid, "n"));
  v1::DeleteVersionRequest both = DeletionOf("m", 1);
  both.set_all_versions(true);
  EXPECT_THAT(Delete(server, both),
              Fails(kInvalid, Reason::kMalformed, "want either a version or all_versions"));
  EXPECT_THAT(Undelete(server, "m", 1), IsError(kPrecondition, "m:1: the version is not deleted"));
  EXPECT_THAT(Undelete(server, "m", 2), IsError(kNoSuch, "m:2: no such version"));
  v1::DeleteVersionRequest force = DeletionOf("m", 0);
  force.set_force(true);
  force.set_request_id("once");
  EXPECT_EQ(Delete(server, force)->deleted(), 1u);
  EXPECT_EQ(Delete(server, force)->deleted(), 1u);
}

TEST(ListAliasHistory, SaysWhoMovedIt) {
  TestServer server;
  MustPush(server, "m", SmallModel(1), "prod");
  MustPush(server, "m", SmallModel(2));
  v1::SetAliasRequest set;
  set.set_reference("m:2");
  set.set_alias("prod");
  set.set_request_id("set");
  ASSERT_THAT(Exchange(server, "SetAlias", {EncodeMessage(set)}, "alice").status, IsOk());
  v1::DeleteAliasRequest remove;
  remove.set_model("m");
  remove.set_alias("prod");
  remove.set_request_id("remove");
  ASSERT_THAT(Exchange(server, "DeleteAlias", {EncodeMessage(remove)}, "bob").status, IsOk());
  v1::ListAliasHistoryRequest request;
  request.set_model("m");
  std::vector<std::string> lines;
  do {
    request.set_page_size(2);
    const auto page = Unary<v1::ListAliasHistoryResponse>(server, "ListAliasHistory", request);
    ASSERT_THAT(page, IsOk());
    for (const v1::AliasMove& move : page->moves()) {
      EXPECT_GT(move.time().seconds(), 1'700'000'000);
      lines.push_back(absl::StrCat(move.principal(), " ", move.alias(), " ", move.from_version(),
                                   ">", move.to_version()));
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(lines, ElementsAre("bob prod 2>0", "alice prod 1>2", "tester prod 0>1"));
}

TEST(Retention, IsSetAndReadAndLifted) {
  TestServer server;
  v1::GetRetentionRequest get;
  get.set_model("m");
  const auto read = [&] { return Unary<v1::GetRetentionResponse>(server, "GetRetention", get); };
  EXPECT_THAT(read(), IsError(kNoSuch, "m: no such model"));
  MustPush(server, "m", SmallModel());
  EXPECT_FALSE(read()->has_retention());
  v1::SetRetentionRequest set;
  set.set_model("m");
  set.set_request_id("set");
  v1::Retention* rules = set.mutable_retention();
  rules->set_keep_last(3);
  rules->set_keep_newer_than_ms(1000);
  rules->add_keep_labelled()->set_name("release");
  v1::LabelRule* label = rules->add_keep_labelled();
  label->set_name("stage");
  label->set_value("");
  ASSERT_THAT(Unary<v1::SetRetentionResponse>(server, "SetRetention", set), IsOk());
  EXPECT_EQ(read()->retention().SerializeAsString(), rules->SerializeAsString());
  rules->Clear();
  set.set_request_id("empty");
  EXPECT_THAT(Unary<v1::SetRetentionResponse>(server, "SetRetention", set),
              Fails(kInvalid, Reason::kMalformed, "m: retention has no rule"));
  set.clear_retention();
  set.set_request_id("lift");
  ASSERT_THAT(Unary<v1::SetRetentionResponse>(server, "SetRetention", set), IsOk());
  EXPECT_FALSE(read()->has_retention());
}

TEST(GetVersionUse, TellsExclusiveFromSharedBytes) {
  TestServer server;
  MustPush(server, "m", SmallModel(1));
  v1::GetVersionUseRequest request;
  request.set_reference("m");
  const auto alone = Unary<v1::GetVersionUseResponse>(server, "GetVersionUse", request);
  ASSERT_THAT(alone, IsOk());
  EXPECT_EQ(alone->shared_bytes(), 0u);
  MustPush(server, "n", SmallModel(1));
  const auto twin = Unary<v1::GetVersionUseResponse>(server, "GetVersionUse", request);
  EXPECT_EQ(twin->exclusive_bytes(), 0u) << "the manifest is the same too";
  EXPECT_EQ(twin->shared_bytes(), alone->exclusive_bytes());
  request.set_reference("n:9");
  EXPECT_THAT(Unary<v1::GetVersionUseResponse>(server, "GetVersionUse", request),
              IsError(kNoSuch, "n:9: no such version"));
}

TEST(CollectGarbage, FreesWhatADryRunAnnounces) {
  for (const char* engine : {"memory", "rocksdb"}) {
    Limits limits;
    limits.undelete_window_ms = 0;
    TestServer server(engine, limits);
    MustPush(server, "m", SmallModel(1));
    MustPush(server, "m", BigModel(2));
    ASSERT_THAT(Delete(server, DeletionOf("m", 2)), IsOk());
    const Collected dry = Collect(server, /*dry_run=*/true);
    ASSERT_THAT(dry.status, IsOk());
    ASSERT_TRUE(dry.result.has_value());
    ASSERT_EQ(dry.deletions.size(), 1u);
    EXPECT_EQ(dry.deletions[0].model(), "m");
    EXPECT_EQ(dry.deletions[0].version(), 2u);
    EXPECT_EQ(dry.deletions[0].reason(), v1::DELETION_REASON_REMOVED);
    EXPECT_EQ(dry.deletions[0].exclusive_bytes(), dry.result->freed_bytes());
    EXPECT_GT(dry.result->freed_bytes(), PayloadBytes(ManifestOf(BigModel(2))));
    ASSERT_EQ(Listed(server, true).size(), 1u);

    const Collected done = Collect(server);
    ASSERT_THAT(done.status, IsOk());
    EXPECT_EQ(done.result->freed_bytes(), dry.result->freed_bytes());
    EXPECT_EQ(done.result->removed_versions(), 1u);
    EXPECT_EQ(done.result->live_versions(), 1u);
    EXPECT_TRUE(done.deletions.empty());
    EXPECT_EQ(done.progress.front().phase(), v1::COLLECTION_PHASE_TIDY);
    EXPECT_EQ(done.progress.back().phase(), v1::COLLECTION_PHASE_RETURN_SPACE);
    EXPECT_TRUE(Listed(server, true).empty());
    EXPECT_THAT(PullVersion(server, RequestOf("m:1")).status, IsOk());
    EXPECT_EQ(Collect(server).result->freed_bytes(), 0u);
  }
}

TEST(CollectGarbage, RunsBesideAPushThatIsUnderWay) {
  TestServer server;
  ManifestPush push("m", BigModel());
  push.edit = [&](std::vector<v1::PushRequest>*) {
    const Collected collected = Collect(server);
    EXPECT_THAT(collected.status, IsOk());
    EXPECT_EQ(collected.result->fenced_pushes(), 0u);
  };
  EXPECT_THAT(push.Run(server).status, IsOk());
  EXPECT_THAT(PullVersion(server, RequestOf("m")).status, IsOk());
}

TEST(Pull, OfAVersionThatIsDeletedAndCollectedMeanwhileSaysSo) {
  Limits limits;
  limits.undelete_window_ms = 0;
  TestServer server("memory", limits);
  // More than waits between the two ends.
  MustPush(server, "m", {MakeTensor("w", DType::kUint8, {40u << 20})});
  const std::unique_ptr<ClientFrameStream> call = server.Start("Pull");
  ASSERT_THAT(call->Write(EncodeMessage(RequestOf("m", "tensors"))), IsOk());
  call->WritesDone().IgnoreError();
  ASSERT_THAT(call->Read(), IsOk());  // the header; the data waits to be taken
  ASSERT_THAT(Delete(server, DeletionOf("m", 1)), IsOk());
  ASSERT_THAT(Collect(server).status, IsOk());
  while (true) {
    const auto frame = call->Read();
    if (!frame.ok() || !frame->has_value()) break;
  }
  const absl::Status status = call->Finish();
  EXPECT_THAT(status, IsError(kNoSuch, "while it was pulled: m:1: no such version"));
}

}  // namespace
}  // namespace ballast

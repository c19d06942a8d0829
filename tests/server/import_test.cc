// Versions that come from another registry keep what they were there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/server_testing.h"

namespace ballast {
namespace {

ManifestPush ImportOf(const std::string& model, uint64_t version, uint64_t numbers_used,
                      const std::vector<Tensor>& tensors = SmallModel()) {
  ManifestPush push(model, tensors);
  v1::Imported* imported = push.header.mutable_imported();
  imported->set_version(version);
  imported->set_numbers_used(numbers_used);
  imported->mutable_created()->set_seconds(1'600'000'000);
  imported->mutable_created()->set_nanos(123'456'000);
  imported->set_creator("somebody else");
  imported->set_parent(2);
  push.header.set_message("as it was");
  (*push.header.mutable_labels())["release"] = "1.0";
  return push;
}

TEST(Import, KeepsNumberTimeCreatorAndParent) {
  for (const std::string engine : {"memory", "rocksdb"}) {
    TestServer server(engine);
    const PushAnswer answer = ImportOf("m", 7, 9).Run(server);
    ASSERT_THAT(answer.status, IsOk());
    v1::GetVersionRequest request;
    request.set_reference("m:7");
    const auto version = Unary<v1::Version>(server, "GetVersion", request);
    ASSERT_THAT(version, IsOk());
    EXPECT_EQ(version->created().seconds(), 1'600'000'000);
    EXPECT_EQ(version->created().nanos(), 123'456'000);
    EXPECT_EQ(version->creator(), "somebody else");
    EXPECT_EQ(version->parent(), 2u) << "which need not exist";
    EXPECT_EQ(version->message(), "as it was");
    EXPECT_EQ(version->labels().at("release"), "1.0");
    EXPECT_EQ(MustPush(server, "m", SmallModel(2)).version(), 10u) << "8 and 9 were used elsewhere";
    EXPECT_EQ(MustPush(server, "n", SmallModel(2)).version(), 1u);
  }
}

TEST(Import, ANumberThatWasUsedIsRefusedNamingBoth) {
  TestServer server;
  MustPush(server, "m", SmallModel(1));
  MustPush(server, "m", SmallModel(2));
  v1::DeleteVersionRequest gone;
  gone.set_model("m");
  gone.set_version(2);
  gone.set_request_id(NextRequestId());
  ASSERT_THAT(Unary<v1::DeleteVersionResponse>(server, "DeleteVersion", gone), IsOk());
  for (const uint64_t number : {1, 2}) {
    EXPECT_THAT(ImportOf("m", number, 5).Run(server).status,
                IsError(kPrecondition,
                        absl::StrCat("m: the imported version has number ", number,
                                     ", want one above the highest that was used, which is 2")));
  }
  EXPECT_THAT(ImportOf("m", 3, 3).Run(server).status, IsOk());
}

TEST(Import, IsRepeatedByItsRequestId) {
  TestServer server;
  ManifestPush push = ImportOf("m", 4, 4);
  ASSERT_THAT(push.Run(server).status, IsOk());
  const PushAnswer again = push.Run(server);
  ASSERT_THAT(again.status, IsOk());
  EXPECT_TRUE(again.committed->repeated());
  EXPECT_EQ(again.committed->version().version(), 4u);
}

TEST(Import, TheBoundSchemaDoesNotCount) {
  TestServer server;
  ASSERT_THAT(BindSchema(server, "m", SchemaJsonOf(BigModel())), IsOk());
  EXPECT_EQ(ManifestPush("m", SmallModel()).Run(server).status.code(), kPrecondition);
  EXPECT_THAT(ImportOf("m", 1, 1).Run(server).status, IsOk());
}

TEST(Import, RefusesFactsThatNoVersionCanHave) {
  const struct {
    std::function<void(v1::PushHeader*)> edit;
    std::string says;
  } rows[] = {
      {[](auto* h) { h->mutable_imported()->set_version(0); }, "the imported version is 0 of 9"},
      {[](auto* h) { h->mutable_imported()->set_version(10); }, "the imported version is 10 of 9"},
      {[](auto* h) { h->mutable_imported()->set_numbers_used(UINT64_MAX); }, "numbers used"},
      {[](auto* h) { h->mutable_imported()->set_parent(UINT64_MAX); }, "numbers used"},
      {[](auto* h) { h->mutable_imported()->mutable_created()->set_seconds(-1); },
       "was created at"},
      {[](auto* h) { h->mutable_imported()->mutable_created()->set_seconds(INT64_MAX); },
       "was created at"},
      {[](auto* h) { h->set_parent("m:1"); }, "has its parent by number"},
  };
  for (const auto& row : rows) {
    TestServer server;
    ManifestPush push = ImportOf("m", 7, 9);
    row.edit(&push.header);
    EXPECT_THAT(push.Run(server).status, Fails(kInvalid, Reason::kMalformed, row.says));
    EXPECT_TRUE(NothingVisible(server, "m"));
  }
  TestServer server;
  ManifestPush push = ImportOf("m", 7, 9);
  push.header.mutable_imported()->set_creator(std::string(5000, 'x'));
  EXPECT_THAT(push.Run(server).status,
              Fails(absl::StatusCode::kResourceExhausted, Reason::kLimit, "label_bytes_max"));
}

}  // namespace
}  // namespace ballast

// Every method asks the authorizer before it does anything; a block that a caller
// may not see is asked for again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "ballast/v1/operations.pb.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

// Refuses what `deny` says, and remembers what it was asked.
class Gatekeeper : public Authorizer {
 public:
  absl::Status Authorize(absl::string_view principal, Action action,
                         absl::string_view model) override {
    const std::lock_guard lock(mutex_);
    asked_.insert(action);
    if (denied_.count(action) == 0) return absl::OkStatus();
    return absl::PermissionDeniedError(
        absl::StrCat(principal, " may not ", ActionName(action), " ", model));
  }
  bool BlockVisible(absl::string_view, const Digest&) override { return blocks_visible; }

  void Deny(std::set<Action> actions) { denied_ = std::move(actions); }
  const std::set<Action>& asked() const { return asked_; }
  bool blocks_visible = true;

 private:
  std::mutex mutex_;
  std::set<Action> denied_;
  std::set<Action> asked_;
};

const std::set<Action> kAllActions = {
    Action::kRead,         Action::kPush,           Action::kSetAlias, Action::kBindSchema,
    Action::kList,         Action::kConvert,        Action::kDelete,   Action::kUndelete,
    Action::kSetRetention, Action::kCollectGarbage, Action::kOperate,  Action::kImport};

// "m" with one version, a deleted one, an alias and a schema.
void Populate(const TestServer& server) {
  MustPush(server, "m", SmallModel(), "prod");
  MustPush(server, "m", SmallModel());
  v1::DeleteVersionRequest request;
  request.set_model("m");
  request.set_version(2);
  request.set_request_id("populate");
  ASSERT_THAT(Unary<v1::DeleteVersionResponse>(server, "DeleteVersion", request), IsOk());
  ASSERT_THAT(BindSchema(server, "m", SchemaJsonOf(SmallModel())), IsOk());
}

// Calls that have nothing in common but that each succeeds on a populated server.
std::map<std::string, std::vector<std::vector<Frame>>> ValidCalls() {
  const std::string file = FileOf(Format::kSafetensors, SmallModel());
  std::map<std::string, std::vector<std::vector<Frame>>> calls;
  const auto one = [&](const std::string& method, const auto& message) {
    calls[method].push_back({EncodeMessage(message)});
  };
  calls["Push"].push_back(Frames(FileMessages(HeaderOf("m"), file)));
  v1::PushHeader with_alias = HeaderOf("m");
  with_alias.set_alias("prod");
  calls["Push"].push_back(Frames(FileMessages(with_alias, file)));
  v1::PushHeader imported = HeaderOf("m");
  imported.mutable_imported()->set_version(7);
  imported.mutable_imported()->set_numbers_used(7);
  calls["Push"].push_back(Frames(FileMessages(imported, file)));
  one("Pull", RequestOf("m"));
  v1::PullBlocksRequest blocks;
  blocks.set_reference("m");
  blocks.add_first(0);
  blocks.add_count(1);
  one("PullBlocks", blocks);
  v1::AskBlocksRequest ask;
  ask.set_model("m");
  ask.add_crc32(1);
  one("AskBlocks", ask);

  std::vector<v1::ConvertRequest> convert(3);
  convert[0].mutable_header()->set_to("pytorch");
  convert[1].mutable_file()->set_payload(file);
  convert[2].mutable_end()->set_size_bytes(file.size());
  calls["Convert"].push_back(Frames(convert));

  std::vector<v1::InspectRequest> inspect(3);
  inspect[0].mutable_header();
  inspect[1].mutable_file()->set_payload(file);
  inspect[2].mutable_end()->set_size_bytes(file.size());
  calls["Inspect"].push_back(Frames(inspect));
  inspect.resize(1);
  inspect[0].mutable_header()->set_reference("m");
  calls["Inspect"].push_back(Frames(inspect));

  std::vector<v1::ValidateRequest> validate(2);
  validate[0].mutable_header()->set_reference("m");
  validate[1].mutable_end();
  calls["Validate"].push_back(Frames(validate));
  validate[0].mutable_header()->set_reference("");
  validate[0].mutable_header()->set_schema_reference("m");
  calls["Validate"].push_back(Frames(validate));

  std::vector<v1::BindSchemaRequest> bind(3);
  bind[0].mutable_header()->set_model("m");
  bind[0].mutable_header()->set_request_id("bind");
  bind[1].set_schema(SchemaJsonOf(SmallModel()));
  bind[2].mutable_end()->set_size_bytes(bind[1].schema().size());
  calls["BindSchema"].push_back(Frames(bind));
  v1::UnbindSchemaRequest unbind;
  unbind.set_model("m");
  unbind.set_request_id("unbind");
  one("UnbindSchema", unbind);
  v1::GetSchemaRequest schema;
  schema.set_model("m");
  one("GetSchema", schema);
  schema.set_reference("m:1");
  one("GetSchema", schema);

  one("ListModels", v1::ListModelsRequest());
  v1::GetModelRequest model;
  model.set_model("m");
  one("GetModel", model);
  v1::ListVersionsRequest versions;
  versions.set_model("m");
  one("ListVersions", versions);
  v1::GetVersionRequest version;
  version.set_reference("m@prod");
  one("GetVersion", version);
  v1::ListEntriesRequest entries;
  entries.set_reference("m");
  one("ListEntries", entries);
  v1::SetAliasRequest set_alias;
  set_alias.set_reference("m");
  set_alias.set_alias("prod");
  set_alias.set_request_id("set");
  one("SetAlias", set_alias);
  v1::DeleteAliasRequest delete_alias;
  delete_alias.set_model("m");
  delete_alias.set_alias("prod");
  delete_alias.set_request_id("delete");
  one("DeleteAlias", delete_alias);
  v1::ListAliasHistoryRequest history;
  history.set_model("m");
  one("ListAliasHistory", history);
  v1::DeleteVersionRequest delete_version;
  delete_version.set_model("m");
  delete_version.set_version(1);
  delete_version.set_force(true);
  delete_version.set_request_id("one");
  one("DeleteVersion", delete_version);
  delete_version.set_version(0);
  delete_version.set_all_versions(true);
  delete_version.set_request_id("all");
  one("DeleteVersion", delete_version);
  v1::UndeleteVersionRequest undelete;
  undelete.set_model("m");
  undelete.set_version(2);
  undelete.set_request_id("undelete");
  one("UndeleteVersion", undelete);
  v1::GetVersionUseRequest use;
  use.set_reference("m");
  one("GetVersionUse", use);
  v1::SetRetentionRequest set_retention;
  set_retention.set_model("m");
  set_retention.mutable_retention()->set_keep_last(3);
  set_retention.set_request_id("retention");
  one("SetRetention", set_retention);
  v1::GetRetentionRequest get_retention;
  get_retention.set_model("m");
  one("GetRetention", get_retention);
  v1::ReserveNumbersRequest reserve;
  reserve.set_model("m");
  reserve.set_numbers_used(3);
  reserve.set_request_id("numbers");
  one("ReserveNumbers", reserve);
  v1::CollectGarbageRequest collect;
  one("CollectGarbage", collect);
  collect.set_dry_run(true);
  one("CollectGarbage", collect);
  one("GetStats", v1::GetStatsRequest());
  v1::DiffRequest diff;
  diff.set_from("m:1");
  diff.set_to("m");
  one("Diff", diff);
  v1::WatchRequest watch;
  watch.set_model("m");
  one("Watch", watch);
  v1::VerifyRequest verify;
  one("Verify", verify);
  verify.set_reference("m");
  one("Verify", verify);
  return calls;
}

// What a server does says nothing about any model: there is nothing to ask.
const std::set<std::string> kNeverAsks = {"GetCapabilities"};
// Ends only with the server, as unavailable.
const std::set<std::string> kNeverEnds = {"Watch"};

TEST(Authorizer, EveryMethodAsksTheAuthorizer) {
  const auto calls = ValidCalls();
  const TestServer methods;
  for (const auto& [method, unused] : methods.methods()) {
    if (kNeverAsks.count(method) > 0) continue;
    ASSERT_EQ(calls.count(method), 1u) << method << " is new: give it a valid call here";
    for (const std::vector<Frame>& call : calls.at(method)) {
      TestServer server;
      Populate(server);
      Gatekeeper gatekeeper;
      gatekeeper.Deny(kAllActions);
      server.SetAuthorizer(&gatekeeper);
      const Answers denied = Exchange(server, method, call, "mallory");
      EXPECT_THAT(denied.status, IsError(absl::StatusCode::kPermissionDenied, "mallory may not"))
          << method;
      EXPECT_TRUE(denied.frames.empty()) << method << " answered something";
      EXPECT_EQ(gatekeeper.asked().size(), 1u);
      gatekeeper.Deny({});
      if (kNeverEnds.count(method) > 0) {
        server.watches()->Close();
        EXPECT_EQ(Exchange(server, method, call).frames.size(), 1u) << method;
        continue;
      }
      EXPECT_THAT(Exchange(server, method, call).status, IsOk()) << method << ": no valid call";
    }
  }
}

// What a later client may say: field 1000, a varint.
TEST(Wire, EveryMethodTakesFieldsThatItDoesNotKnow) {
  for (const auto& [method, calls] : ValidCalls()) {
    if (method == "Watch") continue;  // ends only with its client
    for (std::vector<Frame> call : calls) {
      for (Frame& frame : call) {
        const auto data = DecodeData(
            frame, {v1::PushRequest::kFileFieldNumber, v1::ConvertRequest::kFileFieldNumber,
                    v1::InspectRequest::kFileFieldNumber});
        if (data.ok() && data->has_value()) continue;
        frame.chunks.push_back(Chunk::Own("\xC0\x3E\x01"));
      }
      TestServer server;
      Populate(server);
      EXPECT_THAT(Exchange(server, method, std::move(call)).status, IsOk()) << method;
    }
  }
}

TEST(Authorizer, EachActionIsDeniedByItself) {
  const struct {
    std::string method;
    size_t call;
    Action action;
  } kRows[] = {
      {"Push", 0, Action::kPush},
      {"Push", 1, Action::kSetAlias},
      {"Push", 2, Action::kPush},
      {"Push", 2, Action::kImport},
      {"Pull", 0, Action::kRead},
      {"PullBlocks", 0, Action::kRead},
      {"AskBlocks", 0, Action::kPush},
      {"Convert", 0, Action::kConvert},
      {"Inspect", 0, Action::kConvert},
      {"Inspect", 1, Action::kRead},
      {"Validate", 0, Action::kRead},
      {"Validate", 1, Action::kRead},
      {"BindSchema", 0, Action::kBindSchema},
      {"UnbindSchema", 0, Action::kBindSchema},
      {"GetSchema", 0, Action::kRead},
      {"GetSchema", 1, Action::kRead},
      {"ListModels", 0, Action::kList},
      {"SetAlias", 0, Action::kSetAlias},
      {"DeleteAlias", 0, Action::kSetAlias},
      {"ListAliasHistory", 0, Action::kRead},
      {"DeleteVersion", 0, Action::kDelete},
      {"DeleteVersion", 1, Action::kDelete},
      {"UndeleteVersion", 0, Action::kUndelete},
      {"GetVersionUse", 0, Action::kRead},
      {"SetRetention", 0, Action::kSetRetention},
      {"GetRetention", 0, Action::kRead},
      {"ReserveNumbers", 0, Action::kImport},
      {"CollectGarbage", 0, Action::kCollectGarbage},
      {"CollectGarbage", 1, Action::kCollectGarbage},
      {"GetStats", 0, Action::kOperate},
      {"Diff", 0, Action::kRead},
      {"Watch", 0, Action::kRead},
      {"Verify", 0, Action::kOperate},
      {"Verify", 1, Action::kOperate},
  };
  for (const auto& row : kRows) {
    TestServer server;
    Populate(server);
    Gatekeeper gatekeeper;
    gatekeeper.Deny({row.action});
    server.SetAuthorizer(&gatekeeper);
    EXPECT_THAT(Exchange(server, row.method, ValidCalls().at(row.method).at(row.call)).status,
                IsError(absl::StatusCode::kPermissionDenied, ActionName(row.action)))
        << row.method;
  }
}

TEST(Authorizer, ASchemaReferenceOfAPushIsARead) {
  TestServer server;
  MustPush(server, "secret", SmallModel());
  Gatekeeper gatekeeper;
  gatekeeper.Deny({Action::kRead});
  server.SetAuthorizer(&gatekeeper);
  ManifestPush push("m", SmallModel());
  push.header.set_schema_reference("secret");
  EXPECT_THAT(push.Run(server).status,
              IsError(absl::StatusCode::kPermissionDenied, "may not read secret"));
}

TEST(Authorizer, ABlockThatIsNotVisibleIsAskedForAgain) {
  TestServer server;
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server, "theirs", tensors);
  Gatekeeper gatekeeper;
  gatekeeper.blocks_visible = false;
  server.SetAuthorizer(&gatekeeper);
  const PushAnswer answer = ManifestPush("ours", tensors).Run(server);
  ASSERT_THAT(answer.status, IsOk());
  EXPECT_EQ(answer.needed.size(), 6u);
  EXPECT_EQ(answer.committed->received_bytes(), PayloadBytes(ManifestOf(tensors)));
  EXPECT_EQ(answer.committed->version().bytes_new(), 0u) << "stored once";

  // Naming a digest gives nothing away, not even its size.
  ManifestPush probe("ours", {MakeTensor("w", DType::kUint8, {7})});
  probe.manifest.entries[0].blocks[0].digest = Sha256Of(tensors[0].bytes);
  probe.blocks[Sha256Of(tensors[0].bytes)] = "guessed";
  const PushAnswer probed = probe.Run(server);
  EXPECT_TRUE(probed.asked);
  EXPECT_THAT(probed.status, Fails(kInvalid, Reason::kChecksum, "block 0 of \"w\""));
}

}  // namespace
}  // namespace ballast

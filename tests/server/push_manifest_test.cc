// Pushes by manifest: what is asked for, what becomes visible, what is refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "ballast/v1/operations.pb.h"
#include "proto/wire.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PushByManifest : public ::testing::TestWithParam<std::string> {
 protected:
  TestServer server_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Engines, PushByManifest, ::testing::Values("memory", "rocksdb"),
                         [](const auto& info) { return info.param; });

// A push that has been told what is needed, and has sent nothing of it.
std::unique_ptr<ClientFrameStream> BeginPush(const TestServer& server, const ManifestPush& push) {
  std::unique_ptr<ClientFrameStream> call = server.Start("Push");
  v1::PushRequest request;
  *request.mutable_header() = push.header;
  EXPECT_THAT(call->Write(EncodeMessage(request)), IsOk());
  EXPECT_THAT(wire::ForEachManifestPiece(push.manifest, true,
                                         [&](const v1::ManifestPiece& piece) {
                                           *request.mutable_manifest() = piece;
                                           return call->Write(EncodeMessage(request));
                                         }),
              IsOk());
  EXPECT_THAT(call->Read(), IsOk()) << "what it needs";
  return call;
}

TEST_P(PushByManifest, AsksForAllBlocksAndThenForNone) {  // row F25
  const std::vector<Tensor> tensors = BigModel();
  const PushAnswer first = ManifestPush("m", tensors).Run(server_);
  ASSERT_THAT(first.status, IsOk());
  EXPECT_THAT(first.needed, ElementsAre(0, 1, 2, 3, 4, 5));
  const uint64_t payload = PayloadBytes(ManifestOf(tensors));
  EXPECT_EQ(first.committed->received_bytes(), payload);
  EXPECT_EQ(first.committed->version().version(), 1u);
  EXPECT_EQ(first.committed->version().payload_bytes(), payload);
  EXPECT_EQ(first.committed->version().bytes_new(), payload);
  EXPECT_EQ(first.committed->version().creator(), "tester");
  EXPECT_EQ(first.committed->version().digest(),
            std::string(VersionDigest(ManifestOf(tensors)).View()));

  const PushAnswer second = ManifestPush("m", tensors).Run(server_);
  ASSERT_THAT(second.status, IsOk());
  EXPECT_TRUE(second.asked);
  EXPECT_THAT(second.needed, IsEmpty());
  EXPECT_EQ(second.committed->received_bytes(), 0u);
  EXPECT_EQ(second.committed->version().version(), 2u);
  EXPECT_EQ(second.committed->version().bytes_new(), 0u);
  EXPECT_EQ(second.committed->version().digest(), first.committed->version().digest());
}

TEST_P(PushByManifest, AsksOnlyForTheBlocksThatChanged) {
  std::vector<Tensor> tensors = BigModel();
  MustPush(server_, "m", tensors);
  tensors[1].bytes[kBlockBytes + 5] ^= 1;
  const PushAnswer answer = ManifestPush("other", tensors).Run(server_);
  ASSERT_THAT(answer.status, IsOk());
  EXPECT_THAT(answer.needed, ElementsAre(2));
  EXPECT_EQ(answer.committed->version().bytes_new(), kBlockBytes);
}

TEST_P(PushByManifest, TheSameRequestIdGivesTheFirstAnswer) {
  ManifestPush push("m", SmallModel());
  push.header.set_message("the first");
  ASSERT_THAT(push.Run(server_).status, IsOk());
  ManifestPush again("m", BigModel());
  again.header.set_request_id(push.header.request_id());
  EXPECT_THAT(again.Run(server_).status,
              Fails(absl::StatusCode::kAborted, Reason::kConflict, "with another message"));
  again.header.set_message("the first");
  const PushAnswer answer = again.Run(server_);
  ASSERT_THAT(answer.status, IsOk());
  EXPECT_TRUE(answer.committed->repeated());
  EXPECT_FALSE(answer.asked);
  EXPECT_EQ(answer.committed->version().version(), 1u);
  EXPECT_EQ(answer.committed->version().message(), "the first");
  v1::GetModelRequest request;
  request.set_model("m");
  EXPECT_EQ(Unary<v1::Model>(server_, "GetModel", request)->versions(), 1u);
}

TEST_P(PushByManifest, BlocksThatAreThereTwiceTravelOnce) {
  std::vector<Tensor> tensors = BigModel();
  tensors[1].bytes = tensors[2].bytes + tensors[2].bytes + tensors[1].bytes.substr(2 * kBlockBytes);
  tensors[3].spec.shape = tensors[0].spec.shape;
  tensors[3].bytes = tensors[0].bytes;
  const PushAnswer answer = ManifestPush("m", tensors).Run(server_);
  ASSERT_THAT(answer.status, IsOk());
  EXPECT_THAT(answer.needed, ElementsAre(0, 1, 2));
  EXPECT_EQ(answer.committed->received_bytes(), 100 + kBlockBytes + kBlockBytes / 2);
  EXPECT_EQ(PullVersion(server_, RequestOf("m", "tensors")).bytes,
            tensors[0].bytes + tensors[1].bytes + tensors[2].bytes + tensors[3].bytes);
}

TEST_P(PushByManifest, BlocksThatTheClientHasNotHashedAreHashedHere) {
  std::vector<Tensor> tensors = BigModel();
  tensors.push_back(tensors[1]);
  tensors.back().spec.key = "twin";
  ManifestPush push("m", tensors);
  push.manifest.ties = {{1, static_cast<uint32_t>(tensors.size() - 1)}};
  push.unhashed = [](const BlockRef&) { return true; };
  const PushAnswer first = push.Run(server_);
  ASSERT_THAT(first.status, IsOk());
  EXPECT_THAT(first.needed, ElementsAre(0, 1, 2, 3, 4, 5)) << "a tie travels once";
  EXPECT_EQ(first.committed->version().digest(), std::string(VersionDigest(push.manifest).View()));
  std::string all;
  for (const Tensor& tensor : tensors) all += tensor.bytes;
  EXPECT_EQ(PullVersion(server_, RequestOf("m", "tensors")).bytes, all);

  // What the client takes for new and is not travels, and is kept once.
  push.header.set_request_id(NextRequestId());
  const Digest named = push.manifest.entries[1].blocks[0].digest;
  push.unhashed = [&](const BlockRef& block) { return block.digest != named; };
  const PushAnswer second = push.Run(server_);
  ASSERT_THAT(second.status, IsOk());
  EXPECT_THAT(second.needed, ElementsAre(0, 2, 3, 4, 5));
  EXPECT_EQ(second.committed->version().bytes_new(), 0u);
  EXPECT_EQ(second.committed->version().digest(), first.committed->version().digest());
}

TEST_P(PushByManifest, ABlockThatIsNotHashedMustHaveItsCrc) {
  ManifestPush push("m", BigModel());
  push.unhashed = [](const BlockRef&) { return true; };
  push.edit = [](std::vector<v1::PushRequest>* messages) {
    (*(*messages)[2].mutable_block()->mutable_payload())[7] ^= 1;
  };
  EXPECT_THAT(push.Run(server_).status,
              Fails(kInvalid, Reason::kChecksum, "does not have the CRC-32 that the manifest says"));
  EXPECT_TRUE(NothingVisible(server_, "m"));
}

std::vector<uint64_t> MayHave(const TestServer& server, const std::vector<uint32_t>& crcs) {
  v1::AskBlocksRequest request;
  request.set_model("m");
  request.mutable_crc32()->Add(crcs.begin(), crcs.end());
  const auto response = Unary<v1::AskBlocksResponse>(server, "AskBlocks", request);
  EXPECT_THAT(response, IsOk());
  std::vector<uint64_t> places;
  for (int i = 0; response.ok() && i < response->first_size(); ++i) {
    for (uint64_t n = 0; n < response->count(i); ++n) places.push_back(response->first(i) + n);
  }
  return places;
}

TEST_P(PushByManifest, TellsByTheirCrcWhichLargeBlocksItMayHave) {
  const std::vector<Tensor> tensors = BigModel();
  const Manifest manifest = ManifestOf(tensors);
  const std::vector<BlockRef>& blocks = manifest.entries[1].blocks;
  EXPECT_THAT(MayHave(server_, {blocks[0].crc32}), IsEmpty());
  MustPush(server_, "other", tensors);
  EXPECT_THAT(MayHave(server_, {1, blocks[0].crc32, blocks[1].crc32, 2, blocks[0].crc32}),
              ElementsAre(1, 2, 4));
  EXPECT_THAT(MayHave(server_, {}), IsEmpty());
  v1::AskBlocksRequest request;
  request.set_model("not a name");
  EXPECT_EQ(Unary<v1::AskBlocksResponse>(server_, "AskBlocks", request).status().code(), kInvalid);
}

TEST_P(PushByManifest, RefusesAQuestionThatIsTooLong) {
  v1::AskBlocksRequest request;
  request.set_model("m");
  for (int i = 0; i <= 1 << 18; ++i) request.add_crc32(7);
  EXPECT_THAT(Unary<v1::AskBlocksResponse>(server_, "AskBlocks", request),
              Fails(absl::StatusCode::kResourceExhausted, Reason::kLimit, "want at most 262144"));
}

TEST_P(PushByManifest, RefusesABlockWithNeitherDigestNorCrcBeforeItComes) {
  v1::PushRequest request;
  v1::Entry* entry = request.mutable_manifest()->add_entries();
  entry->set_key("w");
  entry->set_dtype("uint8");
  entry->add_shape(5);
  entry->set_block_digests(std::string(32, '\0'));
  request.mutable_manifest()->set_last(true);
  v1::PushRequest header;
  *header.mutable_header() = HeaderOf("m");
  EXPECT_THAT(PushMessages(server_, {header, request}).status,
              Fails(kInvalid, Reason::kMalformed, "\"w\": block 0 has neither a digest nor a CRC"));
}

// Of a call that is dead without the server having noticed, the question finds what came.
TEST_P(PushByManifest, AQuestionEndsTheEarlierCallOfItsPush) {
  constexpr uint64_t kBlocks = 17;  // progress is told of 16
  Tensor tensor = BigModel()[1];
  tensor.spec.shape = {kBlocks * kBlockBytes / (InfoOf(tensor.spec.dtype).bits / 8)};
  tensor.bytes.clear();
  for (uint64_t i = 0; i < kBlocks; ++i) tensor.bytes += std::string(kBlockBytes, 'a' + i);
  ManifestPush push("m", {tensor});
  const std::vector<BlockRef>& blocks = push.manifest.entries[0].blocks;
  const auto first = BeginPush(server_, push);
  v1::PushRequest request;
  for (uint64_t i = 0; i < kBlocks - 1; ++i) {
    request.mutable_block()->set_position(i);
    request.mutable_block()->set_payload(push.blocks.at(blocks[i].digest));
    ASSERT_THAT(first->Write(EncodeMessage(request)), IsOk());
  }
  ASSERT_THAT(first->Read(), IsOk()) << "progress";
  v1::AskBlocksRequest ask;
  ask.set_model("m");
  ask.set_request_id(push.header.request_id());
  for (const BlockRef& block : blocks) ask.add_crc32(block.crc32);
  const auto answer = Unary<v1::AskBlocksResponse>(server_, "AskBlocks", ask);
  ASSERT_THAT(answer, IsOk());
  ASSERT_EQ(answer->count_size(), 1);
  EXPECT_EQ(answer->count(0), kBlocks - 1);
  const PushAnswer again = push.Run(server_);
  ASSERT_THAT(again.status, IsOk());
  EXPECT_THAT(again.needed, ElementsAre(kBlocks - 1));
  first->Cancel();
  EXPECT_FALSE(first->Finish().ok());
}

TEST_P(PushByManifest, DoesNotTellOfBlocksThatAreNotVisible) {
  struct Blind : AllowAll {
    bool BlockVisible(absl::string_view, const Digest&) override { return false; }
  } blind;
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server_, "m", tensors);
  server_.SetAuthorizer(&blind);
  EXPECT_THAT(MayHave(server_, {ManifestOf(tensors).entries[1].blocks[0].crc32}), IsEmpty());
}

v1::CollectionResult Collect(const TestServer& server) {
  const Answers answers =
      Exchange(server, "CollectGarbage", {EncodeMessage(v1::CollectGarbageRequest())});
  EXPECT_THAT(answers.status, IsOk());
  v1::CollectGarbageResponse last;
  if (!answers.frames.empty()) {
    EXPECT_THAT(DecodeMessage(answers.frames.back(), &last), IsOk());
  }
  return last.result();
}

TEST_P(PushByManifest, ThatLosesItsClientGoesOnWhereItWas) {
  for (uint64_t came = 0; came <= 6; ++came) {
    SCOPED_TRACE(came);
    ManifestPush push("m", BigModel(10 + came));
    push.cut = true;
    push.edit = [&](std::vector<v1::PushRequest>* messages) { messages->resize(came); };
    EXPECT_EQ(push.Run(server_).status.code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(Collect(server_).freed_blocks(), 0u) << "what came is kept for it";
    push.cut = false;
    push.edit = nullptr;
    const PushAnswer again = push.Run(server_);
    ASSERT_THAT(again.status, IsOk());
    ASSERT_EQ(again.needed.size(), 6 - came);
    if (came < 6) {
      EXPECT_EQ(again.needed[0], came);
    }
    EXPECT_EQ(again.committed->version().version(), came + 1);
    EXPECT_FALSE(again.committed->repeated());
  }
}

// A connection that is dead without the server having noticed.
TEST_P(PushByManifest, ThatComesBackTakesOverFromTheCallThatStillSeemsToRun) {
  ManifestPush push("m", BigModel());
  const auto first = BeginPush(server_, push);
  v1::PushRequest request;
  request.mutable_block()->set_position(0);
  request.mutable_block()->set_payload(push.blocks.at(push.manifest.entries[0].blocks[0].digest));
  ASSERT_THAT(first->Write(EncodeMessage(request)), IsOk());
  const PushAnswer again = push.Run(server_);
  ASSERT_THAT(again.status, IsOk());
  EXPECT_GE(again.needed.size(), 5u) << "the block may have been under way";
  request.mutable_block()->set_position(1);
  first->Write(EncodeMessage(request)).IgnoreError();
  EXPECT_THAT(first->Finish(), Fails(absl::StatusCode::kAborted, Reason::kConflict,
                                     "push: another call goes on with request id "));
  v1::GetModelRequest model;
  model.set_model("m");
  EXPECT_EQ(Unary<v1::Model>(server_, "GetModel", model)->versions(), 1u);
}

TEST_P(PushByManifest, WithWrongBytesKeepsNothing) {
  ManifestPush push("m", BigModel());
  push.cut = true;
  push.edit = [](std::vector<v1::PushRequest>* messages) {
    messages->resize(3);
    messages->back().mutable_block()->mutable_payload()->back() ^= 1;
  };
  EXPECT_THAT(push.Run(server_).status, Fails(kInvalid, Reason::kChecksum, "SHA-256"));
  Collect(server_);
  push.cut = false;
  push.edit = nullptr;
  const PushAnswer again = push.Run(server_);
  ASSERT_THAT(again.status, IsOk());
  EXPECT_EQ(again.needed.size(), 6u);
}

TEST_P(PushByManifest, ThatIsCutAfterItsLastWordIsRepeatedOrGoesOn) {
  ManifestPush push("m", BigModel());
  push.cut = true;
  const PushAnswer first = push.Run(server_);
  push.cut = false;
  const PushAnswer again = push.Run(server_);
  ASSERT_THAT(again.status, IsOk());
  EXPECT_THAT(again.needed, IsEmpty()) << first.status;
  EXPECT_EQ(again.committed->version().version(), 1u);
}

TEST_P(PushByManifest, AnEmptyStateDictIsAVersionWithAWarning) {
  const PushAnswer answer = ManifestPush("m", {}).Run(server_);
  ASSERT_THAT(answer.status, IsOk());
  EXPECT_THAT(answer.committed->warnings(), ElementsAre("the state dict is empty"));
}

TEST_P(PushByManifest, MovesTheAliasInTheSameCommit) {
  EXPECT_THAT(MustPush(server_, "m", SmallModel(1), "prod").aliases(), ElementsAre("prod"));
  EXPECT_THAT(MustPush(server_, "m", SmallModel(2), "prod").aliases(), ElementsAre("prod"));
  v1::GetVersionRequest request;
  request.set_reference("m@prod");
  EXPECT_EQ(Unary<v1::Version>(server_, "GetVersion", request)->version(), 2u);
  request.set_reference("m:1");
  EXPECT_THAT(Unary<v1::Version>(server_, "GetVersion", request)->aliases(), IsEmpty());
}

TEST(Push, KeepsWhatTheHeaderSays) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  ManifestPush push("m", SmallModel());
  push.header.set_message("two\nlines");
  (*push.header.mutable_labels())["run"] = "17";
  push.header.set_parent("m:1");
  push.manifest.format = Format::kPyTorch;
  ASSERT_THAT(push.Run(server).status, IsOk());
  v1::GetVersionRequest request;
  request.set_reference("m:2");
  const auto version = Unary<v1::Version>(server, "GetVersion", request);
  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(version->message(), "two\nlines");
  EXPECT_EQ(version->labels().at("run"), "17");
  EXPECT_EQ(version->parent(), 1u);
  EXPECT_EQ(version->format(), "pytorch");
  EXPECT_EQ(version->entries(), 5u);
}

// What may be wrong with the messages that answer `need`.
struct BadBlocks {
  std::string name;
  std::function<void(std::vector<v1::PushRequest>*)> edit;
  Reason reason;
  std::string part;
};

class PushRefusesBlocks : public ::testing::TestWithParam<BadBlocks> {};

// rows A65, B76: what comes is not what the client said it would send.
TEST_P(PushRefusesBlocks, AndNothingIsVisible) {
  for (const char* engine : {"memory", "rocksdb"}) {
    TestServer server(engine);
    ManifestPush push("m", BigModel());
    push.edit = GetParam().edit;
    const PushAnswer answer = push.Run(server);
    EXPECT_THAT(answer.status, Fails(kInvalid, GetParam().reason, GetParam().part));
    EXPECT_FALSE(answer.committed.has_value());
    EXPECT_TRUE(NothingVisible(server, "m"));
    push.edit = nullptr;
    EXPECT_THAT(push.Run(server).status, IsOk()) << "the same push, sent well";
  }
}

using Messages = std::vector<v1::PushRequest>;
const BadBlocks kBadBlocks[] = {
    {"WithAWrongByte", [](Messages* m) { (*(*m)[2].mutable_block()->mutable_payload())[7] ^= 1; },
     Reason::kChecksum, "push: block 1 of \"big\" does not have the SHA-256"},
    {"WithAWrongCrc", [](Messages* m) { (*m)[1].mutable_block()->set_crc32(1); }, Reason::kChecksum,
     "push: CRC-32 of the data at position 1 is"},
    {"InWrongOrder", [](Messages* m) { std::swap((*m)[0], (*m)[1]); }, Reason::kMalformed,
     "push: blocks from number 1 of the needed ones came, want 0"},
    {"TwiceTheSame", [](Messages* m) { m->insert(m->begin(), (*m)[0]); }, Reason::kMalformed,
     "push: blocks from number 0 of the needed ones came, want 1"},
    {"CutInside",
     [](Messages* m) { (*m)[1].mutable_block()->mutable_payload()->resize(kBlockBytes - 1); },
     Reason::kMalformed, "ends inside block 1 of the needed ones, want whole blocks"},
    {"LongerThanTheLast",
     [](Messages* m) { (*m)[5].mutable_block()->mutable_payload()->append("x"); },
     Reason::kMalformed, "more data came than the 6 blocks that were asked for"},
    {"BeyondTheLast",
     [](Messages* m) {
       v1::PushRequest more = (*m)[0];
       more.mutable_block()->set_position(6);
       m->insert(m->end() - 1, more);
     },
     Reason::kMalformed, "more data came than the 6 blocks that were asked for"},
    {"MissingAtTheEnd",
     [](Messages* m) {
       m->erase(m->begin() + 5);
       m->back().mutable_end()->set_size_bytes(m->back().end().size_bytes() - 999);
     },
     Reason::kTruncated, "push: 5 of 6 needed blocks came"},
    {"WithAnEndOfAnotherSize", [](Messages* m) { m->back().mutable_end()->set_size_bytes(5); },
     Reason::kTruncated, "bytes came, want 5 as `end` says"},
    {"WithoutEnd", [](Messages* m) { m->pop_back(); }, Reason::kTruncated,
     "push: the stream ended without `end`"},
    {"ThatAreAnotherMessage", [](Messages* m) { (*m)[3].mutable_header()->set_model("m"); },
     Reason::kMalformed, "push: want blocks or `end`"},
    {"ThatAreFileBytes", [](Messages* m) { (*m)[3].mutable_file()->set_payload("x"); },
     Reason::kMalformed, "push: want blocks or `end`"},
};
INSTANTIATE_TEST_SUITE_P(, PushRefusesBlocks, ::testing::ValuesIn(kBadBlocks),
                         [](const auto& info) { return info.param.name; });

// What may be wrong with header and manifest.
struct BadPush {
  std::string name;
  std::function<void(ManifestPush*)> change;
  absl::StatusCode code;
  Reason reason;
  std::string part;
};

class PushRefuses : public ::testing::TestWithParam<BadPush> {};

TEST_P(PushRefuses, BeforeItAsksForBlocks) {
  TestServer server;
  ManifestPush push("m", SmallModel());
  GetParam().change(&push);
  const PushAnswer answer = push.Run(server);
  EXPECT_THAT(answer.status, Fails(GetParam().code, GetParam().reason, GetParam().part));
  EXPECT_FALSE(answer.asked);
  EXPECT_TRUE(NothingVisible(server, "m"));
}

const BadPush kBadPushes[] = {
    {"AnEmptyRequestId", [](ManifestPush* p) { p->header.set_request_id(""); }, kInvalid,
     Reason::kMalformed, "push: request id is \"\", want 1 to 64 printable ASCII bytes"},
    {"ALongRequestId", [](ManifestPush* p) { p->header.set_request_id(std::string(65, 'x')); },
     kInvalid, Reason::kMalformed, "want 1 to 64 printable ASCII bytes"},
    {"ARequestIdWithControlCharacters", [](ManifestPush* p) { p->header.set_request_id("a\nb"); },
     kInvalid, Reason::kMalformed, "request id is \"a\\x0ab\""},
    {"AModelNameInUpperCase", [](ManifestPush* p) { p->header.set_model("M"); }, kInvalid,
     Reason::kMalformed, "push: "},
    {"NoModelName", [](ManifestPush* p) { p->header.set_model(""); }, kInvalid, Reason::kMalformed,
     "push: "},
    {"AnAliasThatIsReserved", [](ManifestPush* p) { p->header.set_alias("latest"); }, kInvalid,
     Reason::kMalformed, "latest"},
    {"ALongMessage", [](ManifestPush* p) { p->header.set_message(std::string(4097, 'x')); },
     absl::StatusCode::kResourceExhausted, Reason::kLimit, "want at most 4096 (label_bytes_max)"},
    {"LongLabels",
     [](ManifestPush* p) {
       p->header.set_message(std::string(4000, 'x'));
       (*p->header.mutable_labels())["name"] = std::string(100, 'x');
     },
     absl::StatusCode::kResourceExhausted, Reason::kLimit, "message and labels are 4104 bytes"},
    {"AParentOfAnotherModel", [](ManifestPush* p) { p->header.set_parent("other:1"); },
     kPrecondition, Reason::kNone, "parent is a version of other, want one of m"},
    {"AParentThatIsNone", [](ManifestPush* p) { p->header.set_parent("m:7"); }, kNoSuch,
     Reason::kNone, "parent: "},
    {"AParentThatIsNoReference", [](ManifestPush* p) { p->header.set_parent("m:x"); }, kInvalid,
     Reason::kMalformed, "parent: "},
    {"ASchemaReferenceThatIsNone", [](ManifestPush* p) { p->header.set_schema_reference("other"); },
     kNoSuch, Reason::kNone, "schema: "},
    {"ASchemaThatIsNone", [](ManifestPush* p) { p->schema_json = "{}"; }, kInvalid,
     Reason::kMalformed, "schema"},
    {"MetadataThatIsNoJson", [](ManifestPush* p) { p->manifest.metadata_json = "{\"fc\":"; },
     kInvalid, Reason::kMalformed, "manifest: metadata_json"},
    {"MetadataOfOtherThanObjects", [](ManifestPush* p) { p->manifest.metadata_json = "{\"a\":1}"; },
     kInvalid, Reason::kMalformed, "want an object of objects"},
    {"LeavesThatAreNoList", [](ManifestPush* p) { p->manifest.leaves_json = "{}"; }, kInvalid,
     Reason::kMalformed, "manifest: leaves_json"},
    {"ADuplicateKey", [](ManifestPush* p) { p->manifest.entries[1].spec.key = "fc.weight"; },
     kInvalid, Reason::kMalformed, "key \"fc.weight\" is there twice"},
    {"ABlockTooMany",
     [](ManifestPush* p) {
       p->manifest.entries[1].blocks.push_back(p->manifest.entries[0].blocks[0]);
     },
     kInvalid, Reason::kMalformed, "key \"fc.bias\": number of blocks is 2"},
    {"ATensorWithoutBlocks", [](ManifestPush* p) { p->manifest.entries[1].blocks.clear(); },
     kInvalid, Reason::kMalformed, "key \"fc.bias\": number of blocks is 0"},
    {"ADigestAtTwoSizes",
     [](ManifestPush* p) { p->manifest.entries[1].blocks = p->manifest.entries[0].blocks; },
     kInvalid, Reason::kMalformed,
     "block 0 of \"fc.bias\" has the digest of a block of another size"},
    {"TiesThatDiffer",
     [](ManifestPush* p) {
       p->manifest.ties = {{0, 1}};
     },
     kInvalid, Reason::kMalformed, "\"fc.weight\" and \"fc.bias\""},
    {"TiesOfNoEntries",
     [](ManifestPush* p) {
       p->manifest.ties = {{0, 99}};
     },
     kInvalid, Reason::kMalformed, "ties"},
};
INSTANTIATE_TEST_SUITE_P(, PushRefuses, ::testing::ValuesIn(kBadPushes),
                         [](const auto& info) { return info.param.name; });

TEST(Push, RefusesAKnownDigestAtAnotherSize) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  ManifestPush push("n", SmallModel());
  push.manifest.entries.resize(1);
  push.manifest.entries[0].spec.shape = {4, 6};
  const PushAnswer answer = push.Run(server);
  EXPECT_THAT(answer.status, Fails(kInvalid, Reason::kMalformed, "is 96 bytes, want 48"));
  EXPECT_FALSE(answer.asked);
}

TEST(Push, RefusesMessagesInWrongOrder) {
  v1::PushRequest header;
  *header.mutable_header() = HeaderOf("m");
  v1::PushRequest schema;
  schema.set_schema("{");
  v1::PushRequest piece;
  piece.mutable_manifest()->add_entries()->set_dtype("uint8");
  v1::PushRequest block;
  block.mutable_block()->set_payload("x");
  v1::PushRequest end;
  end.mutable_end()->set_size_bytes(1);
  const struct {
    std::vector<v1::PushRequest> messages;
    Reason reason;
    std::string part;
  } kRows[] = {
      {{}, Reason::kNone, "request: the stream ended, want a message"},
      {{schema}, Reason::kMalformed, "push: the first message is not a header"},
      {{header}, Reason::kTruncated, "push: the stream ended before manifest or file"},
      {{header, schema}, Reason::kTruncated, "push: the stream ended before manifest or file"},
      {{header, header}, Reason::kMalformed, "push: want schema, manifest or file"},
      {{header, block}, Reason::kMalformed, "push: want schema, manifest or file"},
      {{header, end}, Reason::kMalformed, "push: want schema, manifest or file"},
      {{header, piece, block}, Reason::kMalformed, "push: the manifest is not complete"},
      {{header, piece, schema}, Reason::kMalformed, "push: the manifest is not complete"},
      {{header, piece}, Reason::kNone, "request: the stream ended, want a message"},
  };
  for (const auto& row : kRows) {
    TestServer server;
    EXPECT_THAT(PushMessages(server, row.messages).status, Fails(kInvalid, row.reason, row.part));
    EXPECT_TRUE(NothingVisible(server, "m"));
  }
}

TEST(Push, RefusesBytesThatAreNoMessage) {
  TestServer server;
  const Answers answers = Exchange(server, "Push", {Frame{{Chunk::Own("\xFF\xFF\xFF")}}});
  EXPECT_THAT(answers.status, Fails(kInvalid, Reason::kMalformed, "PushRequest"));
}

TEST(Push, RefusesAManifestBeyondTheLimits) {
  Limits limits;
  limits.entries_max = 4;
  TestServer server("memory", limits);
  EXPECT_THAT(ManifestPush("m", SmallModel()).Run(server).status,
              Fails(absl::StatusCode::kResourceExhausted, Reason::kLimit, "(entries_max)"));
  EXPECT_TRUE(NothingVisible(server, "m"));
}

TEST(Push, ACallThatIsCancelledLeavesNothingVisible) {
  TestServer server;
  ManifestPush push("m", BigModel());
  bool cancelled = false;
  const MethodTable& methods = server.methods();
  uint64_t frames = 0;
  // The third block is lost with the connection.
  const auto call = StartInProcessCall(
      &methods, "Push", "tester", [&](const std::string&) { return cancelled = ++frames > 3; });
  for (const v1::PushRequest& message :
       FileMessages(push.header, FileOf(Format::kSafetensors, BigModel()), 65536)) {
    if (!call->Write(EncodeMessage(message)).ok()) break;
  }
  EXPECT_THAT(call->Finish(), IsError(absl::StatusCode::kUnavailable, "cut"));
  EXPECT_TRUE(cancelled);
  EXPECT_TRUE(NothingVisible(server, "m"));
}

TEST(PushManifest, TheGateOfFiniteValuesBelievesThePusherAndNobodyElse) {
  const TestServer server;
  ManifestPush push("m", SmallModel());
  push.header.set_no_nan(true);
  const PushAnswer uncounted = push.Run(server);
  EXPECT_THAT(uncounted.status, Fails(kPrecondition, Reason::kNone,
                                      "NaN or Inf in 3 tensors: \"fc.weight\" (not counted)"));
  EXPECT_FALSE(uncounted.asked) << "refused before payload";
  for (ManifestEntry& entry : push.manifest.entries) entry.health = Health();
  push.manifest.entries[1].health->nan = 2;
  EXPECT_THAT(push.Run(server).status,
              Fails(kPrecondition, Reason::kNone, "in 1 tensor: \"fc.bias\" (2 NaN)"));
  EXPECT_TRUE(NothingVisible(server, "m"));
  push.manifest.entries[1].health->nan = 0;
  EXPECT_THAT(push.Run(server).status, IsOk());
}

TEST(PushManifest, HealthThatCannotBeIsRefused) {
  const TestServer server;
  ManifestPush push("m", SmallModel());
  push.manifest.entries[1].health = Health{5, 0, 0, 0, 0, 0};
  EXPECT_THAT(push.Run(server).status,
              Fails(kInvalid, Reason::kMalformed, "key \"fc.bias\": health is 5 NaN"));
}

TEST(PushManifest, HealthIsKeptAndListed) {
  const TestServer server;
  ManifestPush push("m", SmallModel());
  push.manifest.entries[0].health = Health{0, 0, 1, -1, 1, 0.5};
  ASSERT_THAT(push.Run(server).status, IsOk());
  v1::ListEntriesRequest request;
  request.set_reference("m");
  const auto entries = Unary<v1::ListEntriesResponse>(server, "ListEntries", request);
  ASSERT_THAT(entries, IsOk());
  EXPECT_EQ(entries->entries(0).health().zeros(), 1u);
  EXPECT_EQ(entries->entries(0).health().mean(), 0.5);
  EXPECT_FALSE(entries->entries(1).has_health());
}

}  // namespace
}  // namespace ballast

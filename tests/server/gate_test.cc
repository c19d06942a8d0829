// The schema gate: who is refused, when, and that nothing is left behind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Format kFileFormats[] = {Format::kTorchSharp, Format::kPyTorch, Format::kSafetensors};

std::vector<std::string> Keys(const std::vector<ReportItem>& items) {
  std::vector<std::string> keys;
  for (const ReportItem& item : items) keys.push_back(item.key);
  return keys;
}

// The small model with a wrong shape, a wrong dtype, one missing and one unexpected.
std::vector<Tensor> WrongModel() {
  return {MakeTensor("fc.weight", DType::kFloat32, {4, 2}),
          MakeTensor("fc.bias", DType::kFloat64, {4}), MakeTensor("steps", DType::kInt64, {}),
          MakeTensor("none", DType::kFloat32, {0, 2}), MakeTensor("extra", DType::kBool, {5})};
}

// The small model without its mask, with one more.
std::vector<Tensor> LooseModel() {
  std::vector<Tensor> tensors = SmallModel();
  tensors.back() = MakeTensor("extra", DType::kBool, {5});
  return tensors;
}

TEST(Gate, RefusesAManifestBeforeBlocksAreAskedFor) {
  TestServer server;
  ManifestPush push("m", WrongModel());
  push.schema_json = SchemaJsonOf(SmallModel());
  const PushAnswer answer = push.Run(server);
  EXPECT_THAT(answer.status, Fails(kPrecondition, Reason::kSchemaMismatch, "fc.weight"));
  EXPECT_FALSE(answer.asked);
  ASSERT_TRUE(answer.refused);
  EXPECT_FALSE(answer.report.ok);
  EXPECT_TRUE(answer.report.strict);
  EXPECT_THAT(Keys(answer.report.missing), ElementsAre("mask"));
  EXPECT_THAT(Keys(answer.report.unexpected), ElementsAre("extra"));
  EXPECT_THAT(Keys(answer.report.shape_mismatches), ElementsAre("fc.weight"));
  EXPECT_THAT(Keys(answer.report.dtype_mismatches), ElementsAre("fc.bias"));
  EXPECT_EQ(answer.report.shape_mismatches[0].found, "float32 [4, 2]");
  EXPECT_TRUE(NothingVisible(server, "m"));
}

TEST(Gate, RefusesEveryFormatOfFile) {
  for (const Format format : kFileFormats) {
    TestServer server;
    const PushAnswer answer =
        PushMessages(server, FileMessages(HeaderOf("m"), FileOf(format, WrongModel()), 65536,
                                          SchemaJsonOf(SmallModel())));
    EXPECT_THAT(answer.status, Fails(kPrecondition, Reason::kSchemaMismatch, "fc.weight"));
    EXPECT_TRUE(answer.refused);
    EXPECT_THAT(Keys(answer.report.shape_mismatches), ElementsAre("fc.weight"));
    EXPECT_TRUE(NothingVisible(server, "m"));
  }
}

TEST(Gate, PassesWhatFulfilsTheSchema) {
  TestServer server;
  ManifestPush push("m", SmallModel());
  push.schema_json = SchemaJsonOf(SmallModel());
  EXPECT_THAT(push.Run(server).status, IsOk());
  for (const Format format : kFileFormats) {
    EXPECT_THAT(PushMessages(server, FileMessages(HeaderOf("m"), FileOf(format, SmallModel()),
                                                  65536, push.schema_json))
                    .status,
                IsOk());
  }
}

TEST(Gate, NonStrictAllowsMissingAndUnexpectedButNoMismatch) {
  TestServer server;
  ManifestPush push("m", LooseModel());
  push.schema_json = SchemaJsonOf(SmallModel());
  EXPECT_THAT(push.Run(server).status,
              Fails(kPrecondition, Reason::kSchemaMismatch, "1 missing, 1 unexpected"));
  push.header.set_non_strict(true);
  EXPECT_THAT(push.Run(server).status, IsOk());
  for (const Format format : kFileFormats) {
    v1::PushHeader header = HeaderOf("m");
    header.set_non_strict(true);
    EXPECT_THAT(PushMessages(server, FileMessages(header, FileOf(format, LooseModel()), 65536,
                                                  push.schema_json))
                    .status,
                IsOk());
  }
  ManifestPush wrong("m", WrongModel());
  wrong.schema_json = push.schema_json;
  wrong.header.set_non_strict(true);
  const PushAnswer answer = wrong.Run(server);
  EXPECT_THAT(answer.status, Fails(kPrecondition, Reason::kSchemaMismatch, "fc.weight"));
  EXPECT_FALSE(answer.report.strict);
  EXPECT_THAT(Keys(answer.report.missing), ElementsAre("mask"));
}

TEST(Gate, ABoundSchemaGatesEveryLaterPush) {
  for (const char* engine : {"memory", "rocksdb"}) {
    TestServer server(engine);
    const auto bound = BindSchema(server, "m", SchemaJsonOf(SmallModel()));
    ASSERT_THAT(bound, IsOk());
    EXPECT_EQ(bound->entries(), 5u);
    const PushAnswer refused = ManifestPush("m", WrongModel()).Run(server);
    EXPECT_THAT(refused.status, Fails(kPrecondition, Reason::kSchemaMismatch, "fc.weight"));
    EXPECT_TRUE(refused.refused);
    EXPECT_FALSE(refused.asked);
    for (const Format format : kFileFormats) {
      EXPECT_THAT(PushFile(server, "m", FileOf(format, WrongModel())).status,
                  Fails(kPrecondition, Reason::kSchemaMismatch, "fc.weight"));
    }
    EXPECT_THAT(ManifestPush("other", WrongModel()).Run(server).status, IsOk());
    EXPECT_THAT(ManifestPush("m", SmallModel()).Run(server).status, IsOk());
    EXPECT_THAT(ManifestPush("m", LooseModel()).Run(server).status,
                Fails(kPrecondition, Reason::kSchemaMismatch, "mask"));
    v1::UnbindSchemaRequest unbind;
    unbind.set_model("m");
    unbind.set_request_id("unbind");
    ASSERT_THAT(Unary<v1::UnbindSchemaResponse>(server, "UnbindSchema", unbind), IsOk());
    EXPECT_THAT(ManifestPush("m", WrongModel()).Run(server).status, IsOk());
    unbind.set_request_id("again");
    EXPECT_THAT(Unary<v1::UnbindSchemaResponse>(server, "UnbindSchema", unbind),
                IsError(kNoSuch, "m: no schema is bound"));
  }
}

TEST(Gate, TheBroughtSchemaCountsBesideTheBoundOne) {
  TestServer server;
  ASSERT_THAT(BindSchema(server, "m", SchemaJsonOf(SmallModel())), IsOk());
  ManifestPush push("m", SmallModel());
  push.schema_json = SchemaJsonOf(WrongModel());
  EXPECT_THAT(push.Run(server).status, Fails(kPrecondition, Reason::kSchemaMismatch, ""));
  push.manifest = ManifestOf(WrongModel());
  EXPECT_THAT(push.Run(server).status, Fails(kPrecondition, Reason::kSchemaMismatch, ""));
}

TEST(Gate, AReferenceStandsForTheSchemaOfItsVersion) {
  TestServer server;
  MustPush(server, "teacher", SmallModel(), "best");
  ManifestPush push("m", WrongModel());
  push.header.set_schema_reference("teacher@best");
  EXPECT_THAT(push.Run(server).status, Fails(kPrecondition, Reason::kSchemaMismatch, "fc.weight"));
  ManifestPush good("m", SmallModel(9));
  good.header.set_schema_reference("teacher:1");
  EXPECT_THAT(good.Run(server).status, IsOk());
}

// Sends `file` but for its last byte and its `end`, and waits for the answer: a server
// that waits for the rest would never give it.
PushAnswer PushWithoutItsEnd(const TestServer& server, const std::string& file,
                             const std::string& schema_json) {
  std::vector<v1::PushRequest> messages =
      FileMessages(HeaderOf("m"), file.substr(0, file.size() - 1), 65536, schema_json);
  messages.pop_back();
  const std::unique_ptr<ClientFrameStream> call = server.Start("Push");
  for (const v1::PushRequest& message : messages) {
    if (!call->Write(EncodeMessage(message)).ok()) break;
  }
  PushAnswer answer;
  while (true) {
    const auto frame = call->Read();
    if (!frame.ok() || !frame->has_value()) break;
    v1::PushResponse response;
    EXPECT_THAT(DecodeMessage(**frame, &response), IsOk());
    answer.refused |= response.has_refused();
    if (response.has_refused()) {
      for (const v1::ReportItem& item : response.refused().shape_mismatches()) {
        answer.report.shape_mismatches.push_back({item.key(), item.expected(), item.found(), ""});
      }
      EXPECT_THAT(response.refused().missing(), IsEmpty());
    }
  }
  answer.status = call->Finish();
  return answer;
}

TEST(Gate, RefusesARawFileAtItsFirstContradictingEntry) {
  std::vector<Tensor> expected = BigModel();
  std::vector<Tensor> sent = BigModel();
  sent[1].spec.shape = {5, kBlockBytes / 2};  // of four: half a megabyte in
  for (const Format format : {Format::kTorchSharp, Format::kSafetensors}) {
    TestServer server;
    const PushAnswer answer =
        PushWithoutItsEnd(server, FileOf(format, sent), SchemaJsonOf(expected));
    EXPECT_THAT(answer.status, Fails(kPrecondition, Reason::kSchemaMismatch, "big"));
    EXPECT_TRUE(answer.refused);
    EXPECT_THAT(Keys(answer.report.shape_mismatches), ElementsAre("big"));
    EXPECT_TRUE(NothingVisible(server, "m"));
  }
}

TEST(Gate, ARawFileThatLacksAnEntryIsRefusedAtItsEnd) {
  std::vector<Tensor> sent = SmallModel();
  sent.pop_back();
  for (const Format format : kFileFormats) {
    TestServer server;
    const PushAnswer answer = PushMessages(server, FileMessages(HeaderOf("m"), FileOf(format, sent),
                                                                65536, SchemaJsonOf(SmallModel())));
    EXPECT_THAT(answer.status, Fails(kPrecondition, Reason::kSchemaMismatch, "mask"));
    EXPECT_THAT(Keys(answer.report.missing), ElementsAre("mask"));
    EXPECT_TRUE(NothingVisible(server, "m"));
  }
}

TEST(Gate, EntriesThatAreNotWeightsAreNotCompared) {
  TestServer server;
  ManifestPush push("m", LooseModel());
  push.schema_json = SchemaJsonOf({SmallModel()[0]});
  for (size_t i = 1; i < push.manifest.entries.size(); ++i) {
    push.manifest.entries[i].spec.role = Role::kOther;
  }
  EXPECT_THAT(push.Run(server).status, IsOk());
}

TEST(Gate, ALongReportComesInMessagesBelow4MiB) {
  TestServer server;
  std::vector<Tensor> tensors;
  for (int i = 0; i < 3000; ++i) {
    tensors.push_back(MakeTensor(absl::StrCat(std::string(2000, 'k'), i), DType::kInt8, {0}));
  }
  ManifestPush push("m", tensors);
  push.schema_json = SchemaJsonOf(SmallModel());
  const PushAnswer answer = push.Run(server);
  EXPECT_THAT(answer.status, Fails(kPrecondition, Reason::kSchemaMismatch, "3000 unexpected"));
  EXPECT_LE(answer.status.message().size(), 4096u);
  EXPECT_EQ(answer.report.unexpected.size(), 3000u);
}

TEST(Gate, NonStrictLoosensTheBroughtSchemaAndNotTheBoundOne) {
  TestServer server;
  ASSERT_THAT(BindSchema(server, "m", SchemaJsonOf(SmallModel())), IsOk());
  ManifestPush push("m", LooseModel());
  push.header.set_non_strict(true);
  const PushAnswer answer = push.Run(server);
  EXPECT_THAT(answer.status,
              Fails(kPrecondition, Reason::kSchemaMismatch, "1 missing, 1 unexpected"));
  EXPECT_TRUE(answer.report.strict);
  for (const Format format : kFileFormats) {
    v1::PushHeader header = HeaderOf("m");
    header.set_non_strict(true);
    EXPECT_THAT(
        PushMessages(server, FileMessages(header, FileOf(format, LooseModel()), 65536)).status,
        Fails(kPrecondition, Reason::kSchemaMismatch, ""));
  }
  // A brought schema that fits non-strictly, and the bound one that fits.
  ManifestPush fitting("m", SmallModel());
  fitting.schema_json = SchemaJsonOf(LooseModel());
  fitting.header.set_non_strict(true);
  EXPECT_THAT(fitting.Run(server).status, IsOk());
}

TEST(Gate, ValidateAsksTheBoundSchemaAsLooselyAsItIsTold) {
  TestServer server;
  MustPush(server, "m", LooseModel());
  ASSERT_THAT(BindSchema(server, "m", SchemaJsonOf(SmallModel())), IsOk());
  for (const bool non_strict : {false, true}) {
    std::vector<v1::ValidateRequest> messages(2);
    messages[0].mutable_header()->set_reference("m");
    messages[0].mutable_header()->set_non_strict(non_strict);
    messages[1].mutable_end();
    const Answers answers = Exchange(server, "Validate", Frames(messages));
    ASSERT_THAT(answers.status, IsOk());
    v1::ReportPiece report;
    ASSERT_THAT(DecodeMessage(answers.frames.at(0), &report), IsOk());
    EXPECT_EQ(report.ok(), non_strict);
    EXPECT_EQ(report.strict(), !non_strict);
  }
}

TEST(BindSchema, RefusesWhatIsNoSchema) {
  Limits limits;
  limits.schema_bytes_max = 1000;
  const struct {
    std::string model;
    std::string json;
    absl::StatusCode code;
    std::string part;
  } kRows[] = {
      {"m", "", kInvalid, ""},
      {"m", "[]", kInvalid, ""},
      {"m", "{\"ballast_schema\": 2, \"entries\": []}", kInvalid, "ballast_schema"},
      {"m", std::string(1001, ' '), absl::StatusCode::kResourceExhausted, "(schema_bytes_max)"},
      {"M", "{}", kInvalid, "schema: "},
  };
  for (const auto& row : kRows) {
    TestServer server("memory", limits);
    EXPECT_THAT(BindSchema(server, row.model, row.json), IsError(row.code, row.part)) << row.json;
    EXPECT_TRUE(NothingVisible(server, "m"));
  }
}

TEST(BindSchema, RefusesMessagesInWrongOrder) {
  v1::BindSchemaRequest header;
  header.mutable_header()->set_model("m");
  header.mutable_header()->set_request_id("bind");
  v1::BindSchemaRequest schema;
  schema.set_schema(SchemaJsonOf(SmallModel()));
  v1::BindSchemaRequest end;
  end.mutable_end()->set_size_bytes(schema.schema().size());
  const struct {
    std::vector<v1::BindSchemaRequest> messages;
    std::string part;
  } kRows[] = {
      {{}, "the stream ended"},
      {{schema, end}, "schema: the first message is not a header"},
      {{header, schema}, "the stream ended"},
      {{header, schema, header, end}, "schema: want a piece of the schema or `end`"},
      {{header, schema, schema, end}, "bytes came, want "},
  };
  for (const auto& row : kRows) {
    TestServer server;
    EXPECT_THAT(Exchange(server, "BindSchema", Frames(row.messages)).status,
                IsError(kInvalid, row.part));
    EXPECT_TRUE(NothingVisible(server, "m"));
  }
}

}  // namespace
}  // namespace ballast

// Convert, Inspect, Validate and GetSchema: calls that carry a file, entries or a schema.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/wire.h"
#include "storage/base/crc32.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const Format kFileFormats[] = {Format::kTorchSharp, Format::kPyTorch, Format::kPyTorchLegacy,
                               Format::kSafetensors};

// The messages of a call that takes a file along: header, data, end.
template <typename Request>
std::vector<Request> WithFile(const Request& header, const std::string& file) {
  std::vector<Request> messages = {header};
  for (size_t offset = 0; offset < file.size(); offset += 50'000) {
    v1::DataChunk* chunk = messages.emplace_back().mutable_file();
    chunk->set_position(offset);
    chunk->set_payload(file.substr(offset, 50'000));
    chunk->set_crc32(Crc32(chunk->payload()));
  }
  messages.emplace_back().mutable_end()->set_size_bytes(file.size());
  return messages;
}

struct Converted {
  absl::Status status;
  v1::ConvertResponseHeader header;
  std::string bytes;
};

Converted Convert(const TestServer& server, const v1::ConvertRequest& header,
                  const std::string& file) {
  const Answers answers = Exchange(server, "Convert", Frames(WithFile(header, file)));
  Converted out;
  out.status = answers.status;
  for (const Frame& frame : answers.frames) {
    EXPECT_LT(frame.size_bytes(), 4u << 20);
    v1::ConvertResponse response;
    EXPECT_THAT(DecodeMessage(frame, &response), IsOk());
    if (response.has_header()) out.header = response.header();
    if (!response.has_data()) continue;
    EXPECT_EQ(response.data().position(), out.bytes.size());
    EXPECT_EQ(response.data().crc32(), Crc32(response.data().payload()));
    out.bytes += response.data().payload();
  }
  return out;
}

v1::ConvertRequest ConvertHeader(absl::string_view from, absl::string_view to) {
  v1::ConvertRequest request;
  request.mutable_header()->set_from(std::string(from));
  request.mutable_header()->set_to(std::string(to));
  return request;
}

TEST(Convert, GivesWhatAPullInThatFormatGives) {
  TestServer server;
  for (const std::vector<Tensor>& tensors : {SmallModel(), BigModel()}) {
    for (const Format from : kFileFormats) {
      for (const Format to : kFileFormats) {
        for (const absl::string_view named : {FormatName(from), absl::string_view()}) {
          const Converted out =
              Convert(server, ConvertHeader(named, FormatName(to)), FileOf(from, tensors));
          ASSERT_THAT(out.status, IsOk());
          EXPECT_EQ(out.header.from(), FormatName(from));
          EXPECT_EQ(out.header.to(), FormatName(to));
          EXPECT_EQ(out.header.size_bytes(), out.bytes.size());
          EXPECT_EQ(out.header.entries(), tensors.size());
          const auto read = ReadAll(out.bytes, to);
          ASSERT_THAT(read, IsOk());
          EXPECT_TRUE(BytesByKey(*read) == BytesByKey(tensors))
              << FormatName(from) << " to " << FormatName(to);
        }
      }
    }
  }
  EXPECT_TRUE(NothingVisible(server, "m"));
}

TEST(Convert, AppliesItsRules) {
  TestServer server;
  v1::ConvertRequest request = ConvertHeader("", "safetensors");
  request.mutable_header()->mutable_rules()->set_select("fc");
  request.mutable_header()->mutable_rules()->add_exclude("bias");
  for (const Format from : kFileFormats) {
    const Converted out = Convert(server, request, FileOf(from, SmallModel()));
    ASSERT_THAT(out.status, IsOk());
    const auto read = ReadAll(out.bytes);
    ASSERT_THAT(read, IsOk());
    ASSERT_EQ(read->size(), 1u);
    EXPECT_EQ((*read)[0].spec.key, "weight");
  }
}

TEST(Convert, MakesPlainDictsAndSaysWhatIsLost) {
  TestServer server;
  LayoutInput input = InputOf(SmallModel());
  input.metadata_json = R"({"":{"version":1}})";
  const auto file = WriteAll(Format::kPyTorch, SmallModel(), input);
  ASSERT_THAT(file, IsOk());
  for (const char* to : {"pytorch", "pytorch-legacy"}) {
    v1::ConvertRequest request = ConvertHeader("", to);
    request.mutable_header()->set_plain_dict(true);
    const Converted out = Convert(server, request, *file);
    ASSERT_THAT(out.status, IsOk());
    EXPECT_THAT(out.header.warnings(), ElementsAre(HasSubstr("_metadata")));
    EXPECT_THAT(out.bytes, Not(HasSubstr("_metadata")));
    EXPECT_EQ(BytesByKey(*ReadAll(out.bytes)), BytesByKey(SmallModel()));
  }
  v1::ConvertRequest request = ConvertHeader("", "safetensors");
  request.mutable_header()->set_plain_dict(true);
  EXPECT_THAT(Convert(server, request, *file).status,
              IsError(kInvalid, "convert: a plain dict was asked for, which safetensors"));
}

TEST(Convert, SaysWhatIsWrong) {
  const std::string file = FileOf(Format::kPyTorch, BigModel());
  std::string damaged = file;
  damaged[damaged.size() / 2] ^= 1;
  v1::ConvertRequest collide = ConvertHeader("", "pytorch");
  collide.mutable_header()->mutable_rules()->add_rename(".*=x");
  const struct {
    v1::ConvertRequest header;
    std::string file;
    absl::StatusCode code;
    std::string part;
  } kRows[] = {
      {ConvertHeader("", ""), file, kInvalid, "convert: target format is \"auto\", want"},
      {ConvertHeader("", "tensors"), file, kInvalid, "convert: target format is \"tensors\""},
      {ConvertHeader("", "torchscript"), file, kInvalid, "target format is \"torchscript\""},
      {ConvertHeader("", "gguf"), file, kInvalid, "convert: format is \"gguf\""},
      {ConvertHeader("gguf", "pytorch"), file, kInvalid, "convert: format is \"gguf\""},
      {ConvertHeader("safetensors", "pytorch"), file, kInvalid, "zip"},
      {ConvertHeader("", "safetensors"), file.substr(0, file.size() - 1), kInvalid, ""},
      {ConvertHeader("", "safetensors"), damaged, kInvalid, "CRC-32"},
      {ConvertHeader("", "safetensors"), "", kInvalid, ""},
      {collide, file, kInvalid, "\"x\""},
      {v1::ConvertRequest(), file, kInvalid, "convert: the first message is not a header"},
  };
  for (const auto& row : kRows) {
    TestServer server;
    const Converted out = Convert(server, row.header, row.file);
    EXPECT_THAT(out.status, IsError(row.code, row.part)) << row.header.ShortDebugString();
    EXPECT_THAT(out.bytes, IsEmpty());
  }
}

TEST(Convert, SpoolsNoMoreThanItsLimit) {
  Limits limits;
  limits.spool_bytes_max = 1000;
  TestServer server("memory", limits);
  EXPECT_THAT(
      Convert(server, ConvertHeader("", "pytorch"), FileOf(Format::kSafetensors, BigModel()))
          .status,
      IsError(absl::StatusCode::kResourceExhausted, "limits.spool_bytes_max"));
}

absl::StatusOr<nlohmann::json> Inspect(const TestServer& server,
                                       const std::vector<v1::InspectRequest>& messages) {
  const Answers answers = Exchange(server, "Inspect", Frames(messages));
  RETURN_IF_ERROR(answers.status);
  std::string text;
  for (const Frame& frame : answers.frames) {
    v1::InspectResponse response;
    RETURN_IF_ERROR(DecodeMessage(frame, &response));
    text += response.json();
  }
  return nlohmann::json::parse(text);
}

// A version's values were counted when it was pushed; a file's would have to be read.
nlohmann::json EntriesWithoutHealth(nlohmann::json description) {
  for (nlohmann::json& entry : description["entries"]) entry.erase("health");
  return description["entries"];
}

TEST(Inspect, SaysTheSameOfAFileAndOfItsVersion) {
  for (const Format format : kFileFormats) {
    TestServer server;
    const std::string file = FileOf(format, BigModel());
    ASSERT_THAT(PushFile(server, "m", file).status, IsOk());
    for (const bool digests : {false, true}) {
      v1::InspectRequest header;
      header.mutable_header()->set_digests(digests);
      const auto of_file = Inspect(server, WithFile(header, file));
      ASSERT_THAT(of_file, IsOk());
      header.mutable_header()->set_reference("m");
      const auto of_version = Inspect(server, {header});
      ASSERT_THAT(of_version, IsOk());
      EXPECT_EQ((*of_file)["format"], std::string(FormatName(format)));
      EXPECT_EQ(EntriesWithoutHealth(*of_file), EntriesWithoutHealth(*of_version));
      EXPECT_EQ((*of_file)["bytes"], PayloadBytes(ManifestOf(BigModel())));
      const auto bytes = BytesByKey(BigModel());
      for (const nlohmann::json& entry : (*of_version)["entries"]) {
        ASSERT_EQ(entry.contains("sha256"), digests);
        if (!digests) continue;
        EXPECT_EQ(entry["sha256"], Sha256Of(bytes.at(entry["key"])).Hex());
      }
    }
  }
}

TEST(Inspect, SaysWhatIsWrong) {
  TestServer server;
  MustPush(server, "m", BigModel());
  const std::string file = FileOf(Format::kPyTorch, SmallModel());
  v1::InspectRequest header;
  header.mutable_header();
  EXPECT_THAT(Inspect(server, {}), IsError(kInvalid, "the stream ended"));
  EXPECT_THAT(Inspect(server, {v1::InspectRequest()}),
              IsError(kInvalid, "inspect: the first message is not a header"));
  EXPECT_THAT(Inspect(server, WithFile(header, file.substr(0, 100))), IsError(kInvalid, ""));
  EXPECT_THAT(Inspect(server, {header}), IsError(kInvalid, "without `end`"));
  header.mutable_header()->set_reference("n");
  EXPECT_THAT(Inspect(server, {header}), IsError(kNoSuch, "n"));
  header.mutable_header()->set_reference("m");
  header.mutable_header()->set_digests(true);
  server.memory_blobs()->Corrupt(Sha256Of(BigModel()[0].bytes), "short");
  EXPECT_THAT(Inspect(server, {header}), IsError(absl::StatusCode::kDataLoss, "reading \"first\""));
}

absl::StatusOr<Report> Validate(const TestServer& server,
                                const std::vector<v1::ValidateRequest>& messages) {
  const Answers answers = Exchange(server, "Validate", Frames(messages));
  RETURN_IF_ERROR(answers.status);
  Report report;
  bool last = false;
  for (const Frame& frame : answers.frames) {
    v1::ReportPiece piece;
    RETURN_IF_ERROR(DecodeMessage(frame, &piece));
    last = wire::AddReportPiece(piece, &report);
  }
  EXPECT_TRUE(last);
  return report;
}

v1::ValidateRequest ValidateHeader(const std::string& reference,
                                   const std::string& schema_reference = "") {
  v1::ValidateRequest request;
  request.mutable_header()->set_reference(reference);
  request.mutable_header()->set_schema_reference(schema_reference);
  return request;
}
v1::ValidateRequest SchemaPiece(const std::string& json) {
  v1::ValidateRequest request;
  request.set_schema(json);
  return request;
}
v1::ValidateRequest EntriesOf(const std::vector<Tensor>& tensors, bool last = true) {
  v1::ValidateRequest request;
  for (const ManifestEntry& entry : ManifestOf(tensors).entries) {
    wire::EntryToProto(entry, 0, 0, request.mutable_entries()->add_entries());
  }
  request.mutable_entries()->set_last(last);
  return request;
}
v1::ValidateRequest ValidateEnd() {
  v1::ValidateRequest request;
  request.mutable_end();
  return request;
}

TEST(Validate, ComparesAVersionWithASchemaOrAVersion) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  MustPush(server, "big", BigModel());
  const std::string json = SchemaJsonOf(SmallModel());
  const auto fits = Validate(server, {ValidateHeader("m"), SchemaPiece(json.substr(0, 30)),
                                      SchemaPiece(json.substr(30)), ValidateEnd()});
  ASSERT_THAT(fits, IsOk());
  EXPECT_TRUE(fits->ok);
  const auto differs = Validate(server, {ValidateHeader("m", "big"), ValidateEnd()});
  ASSERT_THAT(differs, IsOk()) << "a mismatch is an answer";
  EXPECT_FALSE(differs->ok);
  EXPECT_EQ(differs->missing.size(), 4u);
  EXPECT_EQ(differs->unexpected.size(), 5u);
  v1::ValidateRequest header = ValidateHeader("m", "big");
  header.mutable_header()->set_non_strict(true);
  EXPECT_TRUE(Validate(server, {header, ValidateEnd()})->ok);
}

TEST(Validate, ComparesAVersionWithWhatIsBoundToItsModel) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  EXPECT_THAT(Validate(server, {ValidateHeader("m"), ValidateEnd()}),
              IsError(kNoSuch, "no schema was given and none is bound to m"));
  ASSERT_THAT(BindSchema(server, "m", SchemaJsonOf(BigModel())), IsOk());
  EXPECT_FALSE(Validate(server, {ValidateHeader("m"), ValidateEnd()})->ok);
  EXPECT_TRUE(Validate(server, {ValidateHeader("m", "m:1"), ValidateEnd()})->ok)
      << "a schema that is given stands for the bound one";
}

TEST(Validate, ComparesEntriesThatAreSentAlong) {
  TestServer server;
  std::vector<Tensor> tensors = SmallModel();
  const std::string json = SchemaJsonOf(tensors);
  const auto check = [&](const std::vector<Tensor>& sent) {
    return Validate(server,
                    {ValidateHeader(""), SchemaPiece(json), EntriesOf(sent), ValidateEnd()});
  };
  EXPECT_TRUE(check(tensors)->ok);
  tensors[0].spec.shape = {3, 4};
  const auto report = check(tensors);
  ASSERT_THAT(report, IsOk());
  ASSERT_EQ(report->shape_mismatches.size(), 1u);
  EXPECT_EQ(report->shape_mismatches[0].expected, "float32 [4, 3]");
  EXPECT_EQ(report->shape_mismatches[0].found, "float32 [3, 4]");
}

TEST(Validate, AppliesItsRulesToTheVersion) {
  TestServer server;
  ManifestPush push("m", SmallModel());
  push.manifest.entries[4].spec.role = Role::kOther;
  ASSERT_THAT(push.Run(server).status, IsOk());
  v1::ValidateRequest header = ValidateHeader("m");
  header.mutable_header()->mutable_rules()->set_select("fc");
  const std::string json = SchemaJsonOf(
      {MakeTensor("weight", DType::kFloat32, {4, 3}), MakeTensor("bias", DType::kFloat32, {4})});
  EXPECT_TRUE(Validate(server, {header, SchemaPiece(json), ValidateEnd()})->ok);
  std::vector<Tensor> weights = SmallModel();
  weights.pop_back();
  EXPECT_TRUE(
      Validate(server, {ValidateHeader("m"), SchemaPiece(SchemaJsonOf(weights)), ValidateEnd()})
          ->ok);
  header = ValidateHeader("m");
  header.mutable_header()->set_with_optimizer(true);
  EXPECT_FALSE(Validate(server, {header, SchemaPiece(SchemaJsonOf(weights)), ValidateEnd()})->ok);
}

TEST(Validate, SaysWhatIsWrong) {
  Limits limits;
  limits.schema_bytes_max = 1000;
  const std::string json = SchemaJsonOf(SmallModel());
  std::vector<Tensor> twice = SmallModel();
  twice[1].spec.key = twice[0].spec.key;
  const struct {
    std::vector<v1::ValidateRequest> messages;
    absl::StatusCode code;
    std::string part;
  } kRows[] = {
      {{}, kInvalid, "the stream ended"},
      {{ValidateEnd()}, kInvalid, "validate: the first message is not a header"},
      {{ValidateHeader("")}, kInvalid, "the stream ended"},
      {{ValidateHeader(""), ValidateHeader(""), ValidateEnd()},
       kInvalid,
       "validate: want schema, entries or `end`"},
      {{ValidateHeader(""), EntriesOf({}), ValidateEnd()}, kNoSuch, "no schema was given"},
      {{ValidateHeader("n"), SchemaPiece(json), ValidateEnd()}, kNoSuch, "n"},
      {{ValidateHeader("", "n"), ValidateEnd()}, kNoSuch, "n"},
      {{ValidateHeader(""), SchemaPiece("{"), ValidateEnd()}, kInvalid, "schema"},
      {{ValidateHeader(""), SchemaPiece(std::string(600, ' ')), SchemaPiece(std::string(600, ' ')),
        ValidateEnd()},
       absl::StatusCode::kResourceExhausted,
       "(schema_bytes_max)"},
      {{ValidateHeader(""), SchemaPiece(json), EntriesOf(twice), ValidateEnd()},
       kInvalid,
       "\"fc.weight\" is there twice"},
      {{ValidateHeader(""), SchemaPiece(json), EntriesOf(SmallModel(), false), ValidateEnd()},
       kInvalid,
       "validate: the entries are not complete"},
      {{ValidateHeader(""), SchemaPiece(json), EntriesOf({}), EntriesOf({}), ValidateEnd()},
       kInvalid,
       "manifest: a piece follows the last one"},
  };
  for (const auto& row : kRows) {
    TestServer server("memory", limits);
    EXPECT_THAT(Validate(server, row.messages), IsError(row.code, row.part)) << row.part;
  }
}

absl::StatusOr<std::string> GetSchema(const TestServer& server,
                                      const v1::GetSchemaRequest& request) {
  const Answers answers = Exchange(server, "GetSchema", {EncodeMessage(request)});
  RETURN_IF_ERROR(answers.status);
  std::string json;
  for (const Frame& frame : answers.frames) {
    v1::GetSchemaResponse response;
    RETURN_IF_ERROR(DecodeMessage(frame, &response));
    EXPECT_LT(frame.size_bytes(), 4u << 20);
    json += response.json();
  }
  return json;
}

TEST(GetSchema, GivesTheBoundTextAndTheSchemaOfAVersion) {
  for (const char* engine : {"memory", "rocksdb"}) {
    TestServer server(engine);
    v1::GetSchemaRequest request;
    request.set_model("m");
    EXPECT_THAT(GetSchema(server, request), IsError(kNoSuch, "m: no such model"));
    MustPush(server, "m", SmallModel());
    EXPECT_THAT(GetSchema(server, request), IsError(kNoSuch, "m: no schema is bound"));
    std::vector<Tensor> many;
    for (int i = 0; i < 1500; ++i) {
      many.push_back(MakeTensor(absl::StrCat(std::string(4000, 'k'), i), DType::kInt8, {0}));
    }
    const std::string json = SchemaJsonOf(many);
    ASSERT_GT(json.size(), 5u << 20);
    std::vector<v1::BindSchemaRequest> bind(1);
    bind[0].mutable_header()->set_model("m");
    bind[0].mutable_header()->set_request_id("many");
    for (size_t offset = 0; offset < json.size(); offset += 1u << 20) {
      bind.emplace_back().set_schema(json.substr(offset, 1u << 20));
    }
    bind.emplace_back().mutable_end()->set_size_bytes(json.size());
    ASSERT_THAT(Exchange(server, "BindSchema", Frames(bind)).status, IsOk());
    const auto bound = GetSchema(server, request);
    ASSERT_THAT(bound, IsOk());
    EXPECT_TRUE(*bound == json);
    request.set_reference("m:1");
    EXPECT_EQ(*GetSchema(server, request), SchemaJsonOf(SmallModel()));
    request.set_reference("m:2");
    EXPECT_THAT(GetSchema(server, request), IsError(kNoSuch, "m:2"));
  }
}

}  // namespace
}  // namespace ballast

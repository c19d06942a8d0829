// Pushes of file bytes: parsed by the server, with the same result as a manifest.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const Format kFileFormats[] = {Format::kTorchSharp, Format::kPyTorch, Format::kSafetensors};

std::vector<std::string> KeysOf(const TestServer& server, const std::string& reference) {
  v1::ListEntriesRequest request;
  request.set_reference(reference);
  const auto page = Unary<v1::ListEntriesResponse>(server, "ListEntries", request);
  EXPECT_THAT(page, IsOk());
  std::vector<std::string> keys;
  if (!page.ok()) return keys;
  for (const v1::Entry& entry : page->entries()) keys.push_back(entry.key());
  return keys;
}

class PushOfAFile : public ::testing::TestWithParam<Format> {
 protected:
  std::string Small() const { return FileOf(GetParam(), SmallModel()); }
  TestServer server_;
};
INSTANTIATE_TEST_SUITE_P(Formats, PushOfAFile, ::testing::ValuesIn(kFileFormats),
                         [](const auto& info) { return std::string(FormatName(info.param)); });

TEST_P(PushOfAFile, GivesTheSameDigestAsAManifest) {
  const v1::Version small = MustPush(server_, "small", SmallModel());
  const v1::Version big = MustPush(server_, "big", BigModel());
  for (const size_t piece_bytes : {size_t{1}, size_t{7}, size_t{65536}}) {
    const PushAnswer answer = PushFile(server_, "small", Small(), piece_bytes);
    ASSERT_THAT(answer.status, IsOk());
    EXPECT_FALSE(answer.asked);
    EXPECT_EQ(answer.committed->version().digest(), small.digest());
    EXPECT_EQ(answer.committed->version().bytes_new(), 0u);
    EXPECT_EQ(answer.committed->version().format(), FormatName(GetParam()));
  }
  const PushAnswer answer = PushFile(server_, "big", FileOf(GetParam(), BigModel()), 2u << 20);
  ASSERT_THAT(answer.status, IsOk());
  EXPECT_EQ(answer.committed->version().digest(), big.digest());
  EXPECT_EQ(answer.committed->version().bytes_new(), 0u);
}

TEST_P(PushOfAFile, CanBePulledAgain) {
  for (const char* engine : {"memory", "rocksdb"}) {
    TestServer server(engine);
    ASSERT_THAT(PushFile(server, "m", FileOf(GetParam(), BigModel())).status, IsOk());
    const PullAnswer pulled = PullVersion(server, RequestOf("m"));
    ASSERT_THAT(pulled.status, IsOk());
    EXPECT_EQ(pulled.header.format(), FormatName(GetParam()));
    EXPECT_TRUE(pulled.bytes == FileOf(GetParam(), BigModel()));
  }
}

TEST_P(PushOfAFile, RefusesTruncationAtEveryByte) {
  const std::string file = Small();
  for (size_t size = 0; size < file.size(); ++size) {
    const PushAnswer answer = PushFile(server_, "m", file.substr(0, size));
    ASSERT_THAT(answer.status, IsError(kInvalid, "")) << "cut after " << size << " bytes";
    ASSERT_FALSE(answer.committed.has_value());
  }
  EXPECT_TRUE(NothingVisible(server_, "m"));
}

TEST_P(PushOfAFile, RefusesBytesBehindItsEnd) {
  for (const std::string& more : {std::string(1, '\0'), std::string("x"), Small()}) {
    EXPECT_THAT(PushFile(server_, "m", Small() + more).status, IsError(kInvalid, ""));
  }
  EXPECT_TRUE(NothingVisible(server_, "m"));
}

TEST_P(PushOfAFile, RefusesAFormatThatItIsNot) {
  for (const Format other : kFileFormats) {
    if (other == GetParam()) continue;
    v1::PushHeader header = HeaderOf("m");
    header.set_format(std::string(FormatName(other)));
    const absl::Status status = PushMessages(server_, FileMessages(header, Small())).status;
    // 8 bytes of a .dat are a length to safetensors.
    const bool too_long = absl::IsResourceExhausted(status) && other == Format::kSafetensors;
    EXPECT_TRUE(absl::IsInvalidArgument(status) || too_long) << status;
  }
  EXPECT_TRUE(NothingVisible(server_, "m"));
}

TEST_P(PushOfAFile, AppliesSelectIncludeExcludeAndRename) {
  std::vector<Tensor> tensors = SmallModel();
  for (Tensor& tensor : tensors) tensor.spec.key = "model." + tensor.spec.key;
  tensors.push_back(MakeTensor("other", DType::kInt64, {2}));
  v1::PushHeader header = HeaderOf("m");
  header.mutable_rules()->set_select("model");
  header.mutable_rules()->add_include("fc.*");
  header.mutable_rules()->add_include("mask");
  header.mutable_rules()->add_exclude("*.bias");
  header.mutable_rules()->add_rename("fc\\.(.*)=head.\\1");
  ASSERT_THAT(PushMessages(server_, FileMessages(header, FileOf(GetParam(), tensors))).status,
              IsOk());
  EXPECT_THAT(KeysOf(server_, "m"), UnorderedElementsAre("head.weight", "mask"));
  EXPECT_EQ(PullVersion(server_, RequestOf("m", "tensors")).bytes.size(), 4u * 3 * 4 + 5);
}

TEST_P(PushOfAFile, RefusesTwoKeysRenamedToOne) {
  v1::PushHeader header = HeaderOf("m");
  header.mutable_rules()->add_rename("fc\\..*=same");
  EXPECT_THAT(PushMessages(server_, FileMessages(header, Small())).status,
              Fails(kInvalid, Reason::kMalformed, "\"same\""));
  EXPECT_TRUE(NothingVisible(server_, "m"));
}

TEST_P(PushOfAFile, RefusesPatternsThatLeaveNothing) {
  v1::PushHeader header = HeaderOf("m");
  header.mutable_rules()->add_include("fc.wieght");
  EXPECT_THAT(PushMessages(server_, FileMessages(header, Small())).status,
              IsError(kNoSuch, "no key matches \"fc.wieght\"; the nearest are \"fc.weight\""));
  header.mutable_rules()->clear_include();
  header.mutable_rules()->add_exclude("*");
  EXPECT_THAT(PushMessages(server_, FileMessages(header, Small())).status,
              IsError(kNoSuch, "no key is left"));
  EXPECT_TRUE(NothingVisible(server_, "m"));
}

TEST_P(PushOfAFile, RefusesASelectThatMatchesNothing) {
  v1::PushHeader header = HeaderOf("m");
  header.mutable_rules()->set_select("encoder");
  EXPECT_THAT(PushMessages(server_, FileMessages(header, Small())).status,
              IsError(kNoSuch, "encoder"));
  EXPECT_TRUE(NothingVisible(server_, "m"));
}

// What may be wrong with the messages that carry the file.
TEST_P(PushOfAFile, RefusesMessagesThatDoNotFollowEachOther) {
  using Messages = std::vector<v1::PushRequest>;
  const struct {
    std::string name;
    std::function<void(Messages*)> edit;
    Reason reason;
    std::string part;
  } kRows[] = {
      {"a wrong CRC", [](Messages* m) { (*m)[2].mutable_file()->set_crc32(7); }, Reason::kChecksum,
       "file: CRC-32 of the data at position 30 is"},
      {"a wrong CRC of the first", [](Messages* m) { (*m)[1].mutable_file()->set_crc32(7); },
       Reason::kChecksum, "file: CRC-32 of the data at position 0 is"},
      {"a hole", [](Messages* m) { m->erase(m->begin() + 2); }, Reason::kMalformed,
       "file: data at position 60 came, want 30"},
      {"a repetition", [](Messages* m) { m->insert(m->begin() + 2, (*m)[1]); }, Reason::kMalformed,
       "file: data at position 0 came, want 30"},
      {"a beginning that is none", [](Messages* m) { m->erase(m->begin() + 1); },
       Reason::kMalformed, "file: data at position 30 came, want 0"},
      {"an end of another size", [](Messages* m) { m->back().mutable_end()->set_size_bytes(3); },
       Reason::kTruncated, "bytes came, want 3 as `end` says"},
      {"no end", [](Messages* m) { m->pop_back(); }, Reason::kTruncated, "without `end`"},
      {"another message", [](Messages* m) { m->insert(m->begin() + 3, (*m)[0]); },
       Reason::kMalformed, "file: after 60 bytes came another message, want data or `end`"},
      {"a block", [](Messages* m) { (*m)[3].mutable_block()->set_payload("x"); },
       Reason::kMalformed, "file: after 60 bytes came another message, want data or `end`"},
  };
  for (const auto& row : kRows) {
    Messages messages = FileMessages(HeaderOf("m"), Small(), 30);
    ASSERT_GT(messages.size(), 5u);
    row.edit(&messages);
    EXPECT_THAT(PushMessages(server_, messages).status, Fails(kInvalid, row.reason, row.part))
        << row.name;
  }
  EXPECT_TRUE(NothingVisible(server_, "m"));
}

TEST_P(PushOfAFile, TheSameRequestIdGivesTheFirstAnswer) {
  const std::vector<v1::PushRequest> messages = FileMessages(HeaderOf("m"), Small());
  ASSERT_THAT(PushMessages(server_, messages).status, IsOk());
  const PushAnswer again = PushMessages(server_, messages);
  ASSERT_THAT(again.status, IsOk());
  EXPECT_TRUE(again.committed->repeated());
  EXPECT_EQ(again.committed->version().version(), 1u);
}

TEST(PushFile, RefusesAnEmptyFile) {
  TestServer server;
  EXPECT_THAT(PushFile(server, "m", "").status, Fails(kInvalid, Reason::kTruncated, ""));
  EXPECT_TRUE(NothingVisible(server, "m"));
}

TEST(PushFile, RefusesWhatIsNoWeightFile) {
  const struct {
    std::string file;
    std::string part;
  } kRows[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"},
      {"<!DOCTYPE html><html>not found</html>", "HTML"},
  };
  for (const auto& row : kRows) {
    TestServer server;
    EXPECT_THAT(PushFile(server, "m", row.file).status,
                Fails(kInvalid, Reason::kWrongFormat, row.part));
    EXPECT_TRUE(NothingVisible(server, "m"));
  }
}

TEST(PushFile, RefusesAnUnknownFormatName) {
  TestServer server;
  v1::PushHeader header = HeaderOf("m");
  header.set_format("gguf");
  EXPECT_THAT(
      PushMessages(server, FileMessages(header, FileOf(Format::kSafetensors, SmallModel()))).status,
      Fails(kInvalid, Reason::kMalformed, "push: format is \"gguf\", want one of"));
}

TEST(PushFile, SpoolsNoMoreThanItsLimit) {
  Limits limits;
  limits.spool_bytes_max = 1000;
  TestServer server("memory", limits);
  EXPECT_THAT(PushFile(server, "m", FileOf(Format::kPyTorch, BigModel())).status,
              IsError(absl::StatusCode::kResourceExhausted, "limits.spool_bytes_max"));
  EXPECT_TRUE(NothingVisible(server, "m"));
  EXPECT_THAT(PushFile(server, "m", FileOf(Format::kSafetensors, BigModel())).status, IsOk())
      << "what is read forward needs no spool";
}

TEST(PushFile, RefusesAZipWithADamagedTensor) {
  TestServer server;
  std::string file = FileOf(Format::kPyTorch, BigModel());
  file[file.size() / 2] ^= 1;
  EXPECT_THAT(PushFile(server, "m", file).status, IsError(kInvalid, "CRC-32"));
  EXPECT_TRUE(NothingVisible(server, "m"));
}

TEST(PushFile, KeepsTheTiesOfAZip) {
  TestServer server;
  std::vector<Tensor> tensors = SmallModel();
  tensors.push_back(tensors[0]);
  tensors.back().spec.key = "tied";
  LayoutInput input = InputOf(tensors);
  input.ties = {{0, 5}};
  const auto file = WriteAll(Format::kPyTorch, tensors, input);
  ASSERT_THAT(file, IsOk());
  ASSERT_THAT(PushFile(server, "m", *file).status, IsOk());
  v1::PullRequest request = RequestOf("m", "pytorch");
  request.set_with_manifest(true);
  const PullAnswer pulled = PullVersion(server, request);
  ASSERT_THAT(pulled.status, IsOk());
  EXPECT_THAT(pulled.manifest->ties, ElementsAre(ElementsAre(0, 5)));
  EXPECT_EQ(pulled.bytes, *file);
}

TEST(PushFile, DropsATieOfTensorsThatDiffer) {
  TestServer server;
  std::vector<Tensor> tensors = SmallModel();
  tensors.push_back(MakeTensor("liar", DType::kFloat32, {4, 3}, 99));
  LayoutInput input = InputOf(tensors);
  input.ties = {{0, 5}};
  const auto file = WriteAll(Format::kSafetensors, tensors, input);
  ASSERT_THAT(file, IsOk());
  const PushAnswer answer = PushFile(server, "m", *file);
  ASSERT_THAT(answer.status, IsOk());
  EXPECT_THAT(answer.committed->warnings(), ElementsAre(HasSubstr("the tensors differ")));
  v1::PullRequest request = RequestOf("m", "tensors");
  EXPECT_TRUE(PullVersion(server, request).manifest->ties.empty());
}

TEST(PushFile, TellsItsProgress) {
  TestServer server("rocksdb");
  std::vector<Tensor> tensors(1);
  tensors[0].spec.key = "w";
  tensors[0].spec.dtype = DType::kUint8;
  tensors[0].spec.shape = {40u << 20};
  tensors[0].bytes = MakeBlock(1, 40u << 20).bytes;
  const Answers answers =
      Exchange(server, "Push",
               Frames(FileMessages(HeaderOf("m"), FileOf(Format::kSafetensors, tensors), 2 << 20)));
  ASSERT_THAT(answers.status, IsOk());
  ASSERT_EQ(answers.frames.size(), 3u);
  uint64_t received = 0;
  for (size_t i = 0; i < 2; ++i) {
    v1::PushResponse response;
    ASSERT_THAT(DecodeMessage(answers.frames[i], &response), IsOk());
    ASSERT_TRUE(response.has_progress());
    EXPECT_GT(response.progress().received_bytes(), received);
    EXPECT_LE(response.progress().durable_bytes(), response.progress().received_bytes());
    EXPECT_GT(response.progress().durable_bytes(), 0u);
    received = response.progress().received_bytes();
  }
}

}  // namespace
}  // namespace ballast

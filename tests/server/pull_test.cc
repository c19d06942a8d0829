// Pulls: every format and offset, and what is said instead of wrong bytes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const Format kFileFormats[] = {Format::kTorchSharp, Format::kPyTorch, Format::kPyTorchLegacy,
                               Format::kSafetensors};

std::string Concatenated(const std::vector<Tensor>& tensors) {
  std::string out;
  for (const Tensor& tensor : tensors) out += tensor.bytes;
  return out;
}

Digest BlockOf(const std::string& tensor_bytes, size_t block) {
  return Sha256Of(tensor_bytes.substr(block * kBlockBytes, kBlockBytes));
}

class PullOnEveryEngine : public ::testing::TestWithParam<std::string> {
 protected:
  TestServer server_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Engines, PullOnEveryEngine, ::testing::Values("memory", "rocksdb"),
                         [](const auto& info) { return info.param; });

TEST_P(PullOnEveryEngine, EveryFormatHoldsTheSameTensors) {
  for (const std::vector<Tensor>& tensors : {SmallModel(), BigModel()}) {
    const v1::Version version = MustPush(server_, "m", tensors);
    for (const Format format : kFileFormats) {
      const PullAnswer answer =
          PullVersion(server_, RequestOf("m", std::string(FormatName(format))));
      ASSERT_THAT(answer.status, IsOk());
      EXPECT_EQ(answer.header.format(), FormatName(format));
      EXPECT_EQ(answer.header.size_bytes(), answer.bytes.size());
      EXPECT_EQ(answer.header.entries(), tensors.size());
      EXPECT_EQ(answer.header.version().digest(), version.digest());
      EXPECT_EQ(answer.crcs_wrong, 0u);
      EXPECT_LT(answer.frame_bytes_max, 4u << 20);
      EXPECT_FALSE(answer.manifest.has_value());
      const auto read = ReadAll(answer.bytes, format);
      ASSERT_THAT(read, IsOk());
      EXPECT_TRUE(BytesByKey(*read) == BytesByKey(tensors)) << FormatName(format);
    }
    const PullAnswer bare = PullVersion(server_, RequestOf("m", "tensors"));
    ASSERT_THAT(bare.status, IsOk());
    EXPECT_TRUE(bare.bytes == Concatenated(tensors));
    EXPECT_EQ(bare.crcs_wrong, 0u);
    ASSERT_TRUE(bare.manifest.has_value()) << "bare bytes mean nothing without it";
    EXPECT_EQ(bare.manifest->entries, ManifestOf(tensors).entries);
  }
}

TEST_P(PullOnEveryEngine, APieceOfABigTensorEqualsTheWhole) {
  MustPush(server_, "m", BigModel());
  for (const Format format : kFileFormats) {
    v1::PullRequest request = RequestOf("m", std::string(FormatName(format)));
    const std::string whole = PullVersion(server_, request).bytes;
    for (const uint64_t offset :
         {uint64_t{1}, kBlockBytes - 1, kBlockBytes, 2 * kBlockBytes + 77, whole.size() - 1000}) {
      for (const uint64_t length : {uint64_t{0}, uint64_t{1}, 2 * kBlockBytes + 1}) {
        request.set_offset_bytes(offset);
        request.set_length_bytes(length);
        const PullAnswer answer = PullVersion(server_, request);
        ASSERT_THAT(answer.status, IsOk());
        EXPECT_TRUE(answer.bytes == whole.substr(offset, length == 0 ? whole.npos : length))
            << FormatName(format) << " from " << offset << ", " << length << " bytes";
        EXPECT_EQ(answer.crcs_wrong, 0u);
      }
    }
  }
}

TEST_P(PullOnEveryEngine, AMissingBlockIsDataLossAndNamesTheKey) {
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server_, "m", tensors);
  const auto removed = server_.blobs()->RemoveIfOlder({BlockOf(tensors[1].bytes, 1)}, UINT64_MAX);
  ASSERT_THAT(removed, IsOk());
  ASSERT_EQ(*removed, 1u);
  const PullAnswer answer = PullVersion(server_, RequestOf("m", "tensors"));
  EXPECT_THAT(answer.status, IsError(absl::StatusCode::kDataLoss, "reading \"big\": block "));
  EXPECT_TRUE(answer.bytes == Concatenated(tensors).substr(0, answer.bytes.size()));
  EXPECT_EQ(answer.crcs_wrong, 0u);
}

TEST(Pull, EveryOffsetAndLengthEqualsThatPartOfTheWhole) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  for (const char* format : {"torchsharp", "pytorch", "pytorch-legacy", "safetensors", "tensors"}) {
    v1::PullRequest request = RequestOf("m", format);
    const PullAnswer whole = PullVersion(server, request);
    ASSERT_THAT(whole.status, IsOk());
    for (uint64_t offset = 0; offset <= whole.bytes.size(); ++offset) {
      request.set_offset_bytes(offset);
      for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{33}, UINT64_MAX}) {
        if (length > 1 && offset % 5 != 0) continue;
        request.set_length_bytes(length);
        const PullAnswer part = PullVersion(server, request);
        ASSERT_THAT(part.status, IsOk());
        ASSERT_EQ(part.bytes, whole.bytes.substr(offset, length == 0 ? UINT64_MAX : length));
        ASSERT_EQ(part.crcs_wrong, 0u);
        ASSERT_EQ(part.header.size_bytes(), whole.bytes.size());
        ASSERT_EQ(part.header.layout_digest(), whole.header.layout_digest());
      }
    }
  }
}

TEST(Pull, RefusesAnOffsetBeyondTheEnd) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  v1::PullRequest request = RequestOf("m", "tensors");
  const uint64_t size = PullVersion(server, request).header.size_bytes();
  for (const uint64_t offset : {size + 1, UINT64_MAX}) {
    request.set_offset_bytes(offset);
    const PullAnswer answer = PullVersion(server, request);
    EXPECT_THAT(answer.status,
                IsError(absl::StatusCode::kOutOfRange,
                        absl::StrCat("pull: offset is ", offset, ", want at most ", size)));
    EXPECT_THAT(answer.bytes, IsEmpty());
  }
}

TEST(Pull, GoesOnOnlyInTheLayoutThatWasBegun) {
  TestServer server;
  MustPush(server, "m", SmallModel(1));
  v1::PullRequest request = RequestOf("m", "safetensors");
  request.set_layout_digest(PullVersion(server, request).header.layout_digest());
  request.set_offset_bytes(10);
  EXPECT_THAT(PullVersion(server, request).status, IsOk());
  request.set_format("pytorch");
  EXPECT_THAT(PullVersion(server, request).status,
              Fails(kPrecondition, Reason::kConflict, "pull: layout is"));
  request.set_format("safetensors");
  MustPush(server, "m", SmallModel(2));
  EXPECT_THAT(PullVersion(server, request).status,
              Fails(kPrecondition, Reason::kConflict, "start again"))
      << "the same layout of other bytes is another file";
  request.set_layout_digest("short");
  EXPECT_THAT(PullVersion(server, request).status,
              Fails(kPrecondition, Reason::kConflict, "pull: layout is"));
}

TEST(Pull, ABlockOfAnotherSizeIsDataLossAndNamesTheKey) {
  TestServer server;
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server, "m", tensors);
  server.memory_blobs()->Corrupt(BlockOf(tensors[1].bytes, 2), "something else");
  for (const char* format : {"torchsharp", "pytorch", "safetensors", "tensors"}) {
    const PullAnswer answer = PullVersion(server, RequestOf("m", format));
    EXPECT_THAT(answer.status, IsError(absl::StatusCode::kDataLoss, "is 14 bytes, want 524288"))
        << format;
    EXPECT_THAT(answer.status.message(), HasSubstr("reading \"big\""));
    EXPECT_EQ(answer.crcs_wrong, 0u);
  }
}

// An engine must not give out such bytes; the CRC says so if it does.
TEST(Pull, AFlippedBitNeverTravelsWithACrcThatFits) {
  TestServer server;
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server, "m", tensors);
  std::string flipped = tensors[2].bytes;
  flipped[4711] ^= 1;
  server.memory_blobs()->Corrupt(BlockOf(tensors[2].bytes, 0), flipped);
  v1::PullRequest request = RequestOf("m", "tensors");
  const PullAnswer whole = PullVersion(server, request);
  EXPECT_EQ(whole.crcs_wrong, 1u) << "the CRC is that of the manifest";

  const uint64_t begin = tensors[0].bytes.size() + tensors[1].bytes.size();
  for (const auto& [offset, length] : std::vector<std::pair<uint64_t, uint64_t>>{
           {begin + 1, 0}, {begin + 4700, 100}, {begin, kBlockBytes - 1}, {begin - 5, 4800}}) {
    request.set_offset_bytes(offset);
    request.set_length_bytes(length);
    const PullAnswer part = PullVersion(server, request);
    EXPECT_THAT(part.status,
                IsError(absl::StatusCode::kDataLoss, "reading \"block\": CRC-32 of block 0 is"));
    EXPECT_EQ(part.crcs_wrong, 0u);
  }
}

TEST(Pull, LeavesOutWhatIsNoWeightUnlessItIsAskedFor) {
  TestServer server;
  ManifestPush push("m", SmallModel());
  push.manifest.entries[2].spec.role = Role::kOther;
  ASSERT_THAT(push.Run(server).status, IsOk());
  for (const Format format : kFileFormats) {
    v1::PullRequest request = RequestOf("m", std::string(FormatName(format)));
    const PullAnswer weights = PullVersion(server, request);
    EXPECT_EQ(weights.header.entries(), 4u);
    EXPECT_THAT(weights.header.warnings(),
                ElementsAre("1 entries that are not weights were left out"));
    EXPECT_EQ(ReadAll(weights.bytes)->size(), 4u);
    request.set_with_optimizer(true);
    const PullAnswer all = PullVersion(server, request);
    EXPECT_THAT(all.header.warnings(), IsEmpty());
    EXPECT_EQ(BytesByKey(*ReadAll(all.bytes)), BytesByKey(SmallModel()));
  }
}

TEST(Pull, GivesAVersionWithoutWeightsWhole) {
  TestServer server;
  ManifestPush push("m", SmallModel());
  for (ManifestEntry& entry : push.manifest.entries) entry.spec.role = Role::kOther;
  ASSERT_THAT(push.Run(server).status, IsOk());
  EXPECT_EQ(PullVersion(server, RequestOf("m")).header.entries(), 5u);
}

TEST(Pull, NamesWhatTheFormatLacks) {
  TestServer server;
  std::vector<Tensor> tensors = SmallModel();
  tensors.push_back(MakeTensor("quantised", DType::kQint8, {3}));
  MustPush(server, "m", tensors);
  for (const char* format : {"torchsharp", "pytorch", "pytorch-legacy", "safetensors"}) {
    const PullAnswer answer = PullVersion(server, RequestOf("m", format));
    if (FormatHasDType(*FormatFromName(format), DType::kQint8)) {
      EXPECT_THAT(answer.status, IsOk());
      continue;
    }
    EXPECT_THAT(answer.status, Fails(absl::StatusCode::kUnimplemented, Reason::kUnsupported,
                                     "\"quantised\" is qint8"));
    EXPECT_THAT(answer.status.message(), HasSubstr("m:1: "));
  }
  EXPECT_THAT(PullVersion(server, RequestOf("m", "tensors")).status, IsOk());
}

TEST(Pull, APlainDictHasNoOrderedDictAndSaysWhatItLeavesOut) {
  TestServer server;
  ManifestPush push("m", SmallModel());
  push.manifest.metadata_json = R"({"":{"version":1}})";
  ASSERT_THAT(push.Run(server).status, IsOk());
  for (const char* format : {"pytorch", "pytorch-legacy"}) {
    v1::PullRequest request = RequestOf("m", format);
    const PullAnswer usual = PullVersion(server, request);
    EXPECT_THAT(usual.header.warnings(), IsEmpty());
    EXPECT_THAT(usual.bytes, HasSubstr("_metadata"));
    request.set_plain_dict(true);
    const PullAnswer plain = PullVersion(server, request);
    ASSERT_THAT(plain.status, IsOk());
    EXPECT_EQ(plain.header.format(), format);
    EXPECT_THAT(plain.header.warnings(), ElementsAre(HasSubstr("_metadata")));
    EXPECT_THAT(plain.bytes, Not(HasSubstr("_metadata")));
    EXPECT_NE(plain.header.layout_digest(), usual.header.layout_digest());
    EXPECT_EQ(BytesByKey(*ReadAll(plain.bytes)), BytesByKey(SmallModel()));
    EXPECT_EQ(PullVersion(server, request).bytes, plain.bytes);
  }
}

TEST(Pull, APlainDictIsRefusedWhereThereIsNoneAndChoosesAFormatThatHasOne) {
  TestServer server;
  for (const Format pushed : kFileFormats) {
    ManifestPush push("m", SmallModel());
    push.manifest.format = pushed;
    ASSERT_THAT(push.Run(server).status, IsOk());
    v1::PullRequest request = RequestOf("m");
    request.set_plain_dict(true);
    const PullAnswer answer = PullVersion(server, request);
    ASSERT_THAT(answer.status, IsOk());
    EXPECT_EQ(answer.header.format(), FormatName(HasPlainDict(pushed) ? pushed : Format::kPyTorch));
    for (const char* format : {"torchsharp", "safetensors", "tensors"}) {
      request.set_format(format);
      EXPECT_THAT(PullVersion(server, request).status,
                  Fails(kInvalid, Reason::kMalformed, "a plain dict was asked for, which"));
    }
  }
}

TEST(Pull, TheDefaultIsTheFormatOfThePushIfItCanBeWritten) {
  const struct {
    Format pushed;
    DType dtype;
    std::string want;
  } kRows[] = {
      {Format::kTorchSharp, DType::kFloat32, "torchsharp"},
      {Format::kPyTorch, DType::kFloat32, "pytorch"},
      {Format::kSafetensors, DType::kFloat32, "safetensors"},
      {Format::kTensors, DType::kFloat32, "safetensors"},
      {Format::kTorchScript, DType::kFloat32, "safetensors"},
      {Format::kUnknown, DType::kFloat32, "safetensors"},
      {Format::kTorchSharp, DType::kFloat8E5m2, "safetensors"},
      {Format::kPyTorch, DType::kFloat8E5m2, "pytorch"},
      {Format::kPyTorchLegacy, DType::kFloat32, "pytorch-legacy"},
      {Format::kPyTorchLegacy, DType::kFloat8E5m2, "safetensors"},
      {Format::kPyTorchTar, DType::kFloat32, "safetensors"},
  };
  for (const auto& row : kRows) {
    TestServer server;
    ManifestPush push("m", {MakeTensor("w", row.dtype, {3})});
    push.manifest.format = row.pushed;
    ASSERT_THAT(push.Run(server).status, IsOk());
    const PullAnswer answer = PullVersion(server, RequestOf("m"));
    ASSERT_THAT(answer.status, IsOk());
    EXPECT_EQ(answer.header.format(), row.want) << FormatName(row.pushed);
  }
}

TEST(Pull, AppliesItsRules) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  for (const Format format : kFileFormats) {
    v1::PullRequest request = RequestOf("m", std::string(FormatName(format)));
    request.mutable_rules()->set_select("fc");
    request.mutable_rules()->add_rename("weight=w");
    const auto read = ReadAll(PullVersion(server, request).bytes);
    ASSERT_THAT(read, IsOk());
    const std::vector<Tensor> tensors = SmallModel();
    EXPECT_EQ(BytesByKey(*read), (std::map<std::string, std::string>{{"w", tensors[0].bytes},
                                                                     {"bias", tensors[1].bytes}}));
  }
}

TEST(Pull, FindsTheVersionByEveryKindOfReference) {
  TestServer server;
  const v1::Version first = MustPush(server, "m", SmallModel(1), "prod");
  MustPush(server, "m", SmallModel(2));
  const std::string hex = Digest::FromBytes(first.digest())->Hex();
  const struct {
    std::string reference;
    uint64_t version;
  } kRows[] = {{"m", 2},        {"m:1", 1},    {"m:latest", 2},
               {"m@latest", 2}, {"m@prod", 1}, {"m@sha256:" + hex, 1}};
  for (const auto& row : kRows) {
    const PullAnswer answer = PullVersion(server, RequestOf(row.reference));
    ASSERT_THAT(answer.status, IsOk());
    EXPECT_EQ(answer.header.version().version(), row.version) << row.reference;
  }
}

TEST(Pull, SaysWhatIsWrongWithARequest) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  v1::PullRequest rules = RequestOf("m");
  rules.mutable_rules()->add_rename("(=x");
  v1::PullRequest select = RequestOf("m");
  select.mutable_rules()->set_select("decoder");
  v1::PullRequest collide = RequestOf("m");
  collide.mutable_rules()->add_rename(".*=x");
  const struct {
    v1::PullRequest request;
    absl::StatusCode code;
    std::string part;
  } kRows[] = {
      {RequestOf("n"), kNoSuch, "n"},
      {RequestOf("m:2"), kNoSuch, "m:2"},
      {RequestOf("m:0"), kInvalid, "0"},
      {RequestOf("m@prod"), kNoSuch, "m@prod"},
      {RequestOf("m@sha256:" + std::string(64, '0')), kNoSuch, "sha256"},
      {RequestOf(""), kInvalid, ""},
      {RequestOf("M"), kInvalid, ""},
      {RequestOf("m", "gguf"), kInvalid, "pull: format is \"gguf\", want one of"},
      {RequestOf("m", "torchscript"), absl::StatusCode::kUnimplemented, "cannot be written"},
      {rules, kInvalid, "rename"},
      {select, kNoSuch, "decoder"},
      {collide, kInvalid, "\"x\""},
  };
  for (const auto& row : kRows) {
    const PullAnswer answer = PullVersion(server, row.request);
    EXPECT_THAT(answer.status, IsError(row.code, row.part)) << row.request.ShortDebugString();
    EXPECT_THAT(answer.bytes, IsEmpty());
  }
  EXPECT_THAT(Exchange(server, "Pull", {}).status, IsError(kInvalid, "the stream ended"));
}

TEST(Pull, NoMessageReaches4MiB) {
  TestServer server;
  std::vector<Tensor> tensors = BigModel();
  for (int i = 0; i < 2000; ++i) {
    tensors.push_back(MakeTensor(absl::StrCat(std::string(2000, 'k'), i), DType::kUint8,
                                 {static_cast<uint64_t>(i)}));
  }
  MustPush(server, "m", tensors);
  for (const char* format : {"torchsharp", "pytorch", "safetensors", "tensors"}) {
    v1::PullRequest request = RequestOf("m", format);
    request.set_with_manifest(true);
    const PullAnswer answer = PullVersion(server, request);
    ASSERT_THAT(answer.status, IsOk());
    EXPECT_LT(answer.frame_bytes_max, 4u << 20);
    EXPECT_EQ(answer.crcs_wrong, 0u);
    for (const DataFrame& data : answer.data) EXPECT_LE(data.payload_bytes(), 3u << 20);
    ASSERT_TRUE(answer.manifest.has_value());
    EXPECT_TRUE(answer.manifest->entries == ManifestOf(tensors).entries);
  }
}

TEST(Pull, ACallerWhoLeavesEndsTheCall) {
  TestServer server;
  // More than waits in the transport's buffers.
  MustPush(server, "m", {MakeTensor("w", DType::kUint8, {32 * kBlockBytes})});
  const auto call = server.Start("Pull");
  ASSERT_THAT(call->Write(EncodeMessage(RequestOf("m", "tensors"))), IsOk());
  ASSERT_THAT(call->Read(), IsOk());
  call->Cancel();
  EXPECT_THAT(call->Finish(), IsError(absl::StatusCode::kCancelled, ""));
}

}  // namespace
}  // namespace ballast

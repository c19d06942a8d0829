#include <atomic>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/crc32.h"
#include "storage/base/digest.h"
#include "storage/base/status.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kBig = 7 << 20;

class PullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path =
        input_.Write("in", SafetensorsFile({NoiseTensor("a", kBig, 1), NoiseTensor("b", 33, 2)}));
    ASSERT_TRUE(client_->PushFile(path, "team/net", {}).ok());
  }

  std::string Pulled(Client* client, const PullOptions& options = {}) {
    std::string out;
    StringSink sink(&out);
    const auto result = client->PullToSink("team/net", &sink, options);
    EXPECT_TRUE(result.ok()) << result.status();
    return out;
  }

  TestFolder input_, folder_;
  Registry registry_;
  std::unique_ptr<Client> client_ = registry_.NewClient();
};

// `bytes` with other content and the same CRC-32: the generator polynomial added at an
// offset, lowest bit first.
std::string WithSameCrc(std::string bytes, size_t offset) {
  const uint64_t pattern = 1 | uint64_t{0xEDB88320} << 1;
  for (int i = 0; i < 5; ++i) {
    bytes[offset + i] = static_cast<char>(bytes[offset + i] ^ (pattern >> (8 * i) & 0xFF));
  }
  return bytes;
}

TEST_F(PullTest, WritesEveryFormatAndAllHoldTheSame) {
  const Digest want = client_->GetVersion("team/net")->digest;
  for (const Format format :
       {Format::kSafetensors, Format::kTorchSharp, Format::kPyTorch, Format::kPyTorchLegacy}) {
    PullOptions options;
    options.format = format;
    options.verify_sha256 = true;
    const std::string path = folder_.Path(std::string(FormatName(format)));
    const auto pulled = client_->PullFile("team/net:1", path, options);
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_EQ(pulled->format, format);
    EXPECT_EQ(pulled->bytes, ReadFileBytes(path).size());
    EXPECT_EQ(client_->PushFile(path, "again", {})->digest, want);
  }
}

TEST_F(PullTest, APlainDictResumesAsOne) {
  PullOptions options;
  options.plain_dict = true;
  const std::string whole = Pulled(client_.get(), options);
  EXPECT_EQ(whole.substr(0, 4), "PK\3\4") << "safetensors was pushed, which has no dict";
  EXPECT_THAT(whole, HasSubstr(std::string("\x80\x02}q\0", 5)));
  for (const int at : {3, 5}) {
    std::atomic<int> frames = 0;
    const std::unique_ptr<Client> client = registry_.NewClient(
        [&](const std::string& method) { return method == "Pull" && ++frames == at; });
    EXPECT_TRUE(Pulled(client.get(), options) == whole) << at;
  }
  std::map<std::string, std::string> memory;
  const auto pulled = client_->PullTensors(
      "team/net", options, [&](const TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
        memory[spec.key].resize(CheckedTensorBytes(spec));
        return absl::MakeSpan(memory[spec.key]);
      });
  EXPECT_TRUE(pulled.ok()) << pulled.status();
}

TEST_F(PullTest, ResumesWhereItWasCut) {
  const std::string whole = Pulled(client_.get());
  for (int at = 1; at <= 8; ++at) {
    std::atomic<int> frames = 0;
    const std::unique_ptr<Client> client = registry_.NewClient(
        [&](const std::string& method) { return method == "Pull" && ++frames == at; });
    EXPECT_TRUE(Pulled(client.get()) == whole) << at;
  }
}

TEST_F(PullTest, RetryForBoundsTheTrying) {
  PullOptions options;
  options.control.retry_for = absl::ZeroDuration();
  std::atomic<int> frames = 0;
  const std::unique_ptr<Client> client = registry_.NewClient(
      [&](const std::string& method) { return method == "Pull" && ++frames == 5; });
  const auto pulled = client->PullFile("team/net", folder_.Path("out"), options);
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kUnavailable) << pulled.status();
  EXPECT_THAT(folder_.Names(), IsEmpty());
  frames = 0;
  options.control.retry_for = absl::Hours(1);
  const auto patient = client->PullFile("team/net", folder_.Path("out"), options);
  ASSERT_TRUE(patient.ok()) << patient.status();
  EXPECT_EQ(patient->retries, 1u);
}

TEST_F(PullTest, ACutEveryFewFramesStillEnds) {
  std::atomic<int> frames = 0;
  const std::unique_ptr<Client> client = registry_.NewClient(
      [&](const std::string& method) { return method == "Pull" && ++frames % 5 == 0; });
  EXPECT_TRUE(Pulled(client.get()) == Pulled(client_.get()));
}

TEST_F(PullTest, StaysWithTheVersionItBeganWith) {
  const std::string first = Pulled(client_.get());
  bool pushed = false;
  PullOptions options;
  options.control.progress = [&](const Progress&) {
    if (!std::exchange(pushed, true)) {
      const std::string path = input_.Write("2", SafetensorsFile({NoiseTensor("a", kBig, 9)}));
      EXPECT_TRUE(registry_.NewClient()->PushFile(path, "team/net", {}).ok());
    }
    return true;
  };
  std::atomic<int> frames = 0;
  const std::unique_ptr<Client> client = registry_.NewClient(
      [&](const std::string& method) { return method == "Pull" && ++frames == 5; });
  EXPECT_TRUE(Pulled(client.get(), options) == first);
  EXPECT_EQ(client_->GetVersion("team/net")->version, 2u);
}

TEST_F(PullTest, RefusesBytesThatFailTheirCrc) {
  std::string block = Noise(kBig, 1).substr(kBlockBytes, kBlockBytes);
  const Digest digest = Sha256Of(block);
  block[100] ^= 1;
  registry_.engine()->blobs()->Corrupt(digest, block);
  const auto pulled = client_->PullFile("team/net", folder_.Path("out"), {});
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kDataLoss) << pulled.status();
  EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(PullTest, VerifyFindsWhatTheCrcDoesNot) {
  const std::string block = Noise(kBig, 1).substr(kBlockBytes, kBlockBytes);
  const std::string rotten = WithSameCrc(block, 100);
  ASSERT_TRUE(rotten != block);
  ASSERT_EQ(Crc32(rotten), Crc32(block));
  registry_.engine()->blobs()->Corrupt(Sha256Of(block), rotten);
  PullOptions options;
  ASSERT_TRUE(client_->PullFile("team/net", folder_.Path("unverified"), options).ok());
  options.verify_sha256 = true;
  const auto pulled = client_->PullFile("team/net", folder_.Path("verified"), options);
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kDataLoss) << pulled.status();
  EXPECT_THAT(std::string(pulled.status().message()), HasSubstr("\"a\""));
  EXPECT_THAT(folder_.Names(), ElementsAre("unverified"));
}

TEST_F(PullTest, LeavesNoFileWhenCancelled) {
  PullOptions options;
  options.control.progress = [](const Progress&) { return false; };
  const auto pulled = client_->PullFile("team/net", folder_.Path("out"), options);
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(PullTest, AnExistingFileStaysUnlessAskedTo) {
  const std::string path = folder_.Write("out", "mine");
  PullOptions options;
  const auto pulled = client_->PullFile("team/net", path, options);
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReadFileBytes(path), "mine");
  options.overwrite = true;
  const auto forced = client_->PullFile("team/net", path, options);
  EXPECT_TRUE(forced.ok()) << forced.status();
  EXPECT_EQ(ReadFileBytes(path).size(), forced->bytes);
}

TEST_F(PullTest, ASchemaIsCheckedBeforeAnyPayloadMoves) {
  Report report;
  PullOptions options;
  options.schema.json = R"({"ballast_schema":1,"entries":[{"key":"a","shape":[1]}]})";
  options.refusal = &report;
  const std::unique_ptr<Client> client = registry_.NewClient([](const std::string& method) {
    EXPECT_NE(method, "Pull");
    return false;
  });
  const auto pulled = client->PullFile("team/net", folder_.Path("out"), options);
  EXPECT_EQ(GetReason(pulled.status()), Reason::kSchemaMismatch) << pulled.status();
  EXPECT_EQ(report.shape_mismatches.size(), 1u);
  EXPECT_EQ(report.unexpected.size(), 1u);
  EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(PullTest, ASchemaThatFitsLetsThePullPass) {
  PullOptions options;
  options.schema.json = R"({"ballast_schema":1,"entries":[{"key":"a","shape":["n"]}]})";
  options.strict = false;
  EXPECT_TRUE(client_->PullFile("team/net", folder_.Path("out"), options).ok());
}

TEST_F(PullTest, FillsTheCallersMemory) {
  std::map<std::string, std::string> memory;
  const auto allocate = [&](const TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
    std::string& bytes = memory[spec.key];
    bytes.resize(CheckedTensorBytes(spec));
    return absl::MakeSpan(bytes.data(), bytes.size());
  };
  for (const int cut_at : {0, 4, 6}) {
    memory.clear();
    std::atomic<int> frames = 0;
    const std::unique_ptr<Client> client = registry_.NewClient(
        [&](const std::string& method) { return method == "Pull" && ++frames == cut_at; });
    const auto pulled = client->PullTensors("team/net", {}, allocate);
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_TRUE(memory["a"] == Noise(kBig, 1));
    EXPECT_EQ(memory["b"], Noise(33, 2));
  }
}

TEST_F(PullTest, MemoryOfAnotherSizeIsRefused) {
  std::string memory(5, '\0');
  const auto pulled = client_->PullTensors(
      "team/net", {}, [&](const TensorSpec&) -> absl::StatusOr<absl::Span<char>> {
        return absl::MakeSpan(memory.data(), memory.size());
      });
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(pulled.status().message()), HasSubstr("gave 5 bytes"));
}

TEST_F(PullTest, RulesChooseWhatIsPulled) {
  PullOptions options;
  options.rules.include = {"b"};
  options.rules.rename = {"b=c"};
  std::string out;
  StringSink sink(&out);
  const auto pulled = client_->PullToSink("team/net", &sink, options);
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->entries, 1u);
  EXPECT_THAT(out, HasSubstr("\"c\""));
  EXPECT_NE(out.find(Noise(33, 2)), std::string::npos);
}

TEST_F(PullTest, RefusesRulesThatLeaveNothing) {
  PullOptions options;
  options.rules.include = {"zzz*"};
  const auto pulled = client_->PullFile("team/net", folder_.Path("out"), options);
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(pulled.status().message()), HasSubstr("no key matches \"zzz*\""));
  EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(PullTest, WhatIsNotThereIsNamed) {
  for (const std::string reference : {"absent", "team/net:9", "team/net@no"}) {
    const auto pulled = client_->PullFile(reference, folder_.Path("out"), {});
    EXPECT_EQ(pulled.status().code(), absl::StatusCode::kNotFound) << pulled.status();
  }
  EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(PullTest, AFailingSinkEndsThePullWithItsError) {
  struct FullSink : ByteSink {
    absl::Status Write(absl::string_view) override {
      return absl::UnavailableError("the pipe is broken");
    }
  } sink;
  const auto pulled = client_->PullToSink("team/net", &sink, {});
  EXPECT_EQ(pulled.status().message(), "the pipe is broken");
}

}  // namespace
}  // namespace ballast

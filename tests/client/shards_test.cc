// Folders of shards, pushed and pulled.
#include <ballast/local.h>

#include <atomic>
#include <filesystem>
#include <map>

#include "client/cli/flags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/folder.h"
#include "storage/base/status.h"
#include "storage/formats/weights_file.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kShardBytes = 2 << 20;

// The files of a folder by name.
std::map<std::string, std::string> FilesOf(const std::string& path) {
  std::map<std::string, std::string> files;
  const auto entries = ListFolder(path, Limits());
  if (!entries.ok()) return files;
  for (const FolderEntry& entry : *entries) {
    files[entry.name] = ReadFileBytes(path + "/" + entry.name);
  }
  return files;
}

class ShardsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = input_.Write(
        "in", SafetensorsFile({NoiseTensor("a", 1'500'000, 1), NoiseTensor("large", 5 << 20, 2),
                               NoiseTensor("b", 1'100'000, 3), NoiseTensor("empty", 0, 4),
                               NoiseTensor("[c]*?", 77, 5)}));
    const auto pushed = client_->PushFile(path, "team/net", {});
    ASSERT_TRUE(pushed.ok()) << pushed.status();
    digest_ = pushed->digest;
  }

  absl::StatusOr<PullShardsResult> Pull(const std::string& name, const PullOptions& options = {},
                                        Client* client = nullptr) {
    return (client == nullptr ? client_.get() : client)
        ->PullShards("team/net", folder_.Path(name), kShardBytes, options);
  }

  TestFolder input_, folder_;
  Registry registry_;
  std::unique_ptr<Client> client_ = registry_.NewClient();
  Digest digest_;
};

TEST_F(ShardsTest, AVersionGoesOutAsShardsAndComesBackAsItself) {
  for (const Format format : {Format::kSafetensors, Format::kPyTorch}) {
    PullOptions options;
    options.format = format;
    options.verify_sha256 = true;
    const std::string name(FormatName(format));
    const auto pulled = Pull(name, options);
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_EQ(pulled->pulled.format, format);
    EXPECT_EQ(pulled->pulled.entries, 5u);
    EXPECT_EQ(pulled->files.size(), 4u);  // large, a, b with the rest, index
    uint64_t bytes = 0;
    for (const auto& [file, text] : FilesOf(folder_.Path(name))) bytes += text.size();
    EXPECT_EQ(pulled->pulled.bytes, bytes);
    const auto pushed = client_->PushFile(folder_.Path(name), "again", {});
    ASSERT_TRUE(pushed.ok()) << pushed.status();
    EXPECT_EQ(pushed->digest, digest_);
    EXPECT_EQ(pushed->bytes_new, 0u);
    EXPECT_EQ(pushed->bytes_sent, 0u);
    EXPECT_EQ(client_->GetVersion("again")->format, format);
  }
  EXPECT_THAT(folder_.Names(), ElementsAre("pytorch", "safetensors"));
}

TEST_F(ShardsTest, ThePushedFormatIsTheDefaultIfItHasShards) {
  EXPECT_EQ(Pull("out")->pulled.format, Format::kSafetensors);
  ConvertOptions to;
  for (const auto& [format, want] : {std::pair(Format::kPyTorch, Format::kPyTorch),
                                     std::pair(Format::kTorchSharp, Format::kSafetensors)}) {
    to.to = format;
    to.overwrite = true;
    ASSERT_TRUE(ConvertFile(input_.Path("in"), input_.Path("x"), to, Limits()).ok());
    ASSERT_TRUE(client_->PushFile(input_.Path("x"), "team/net", {}).ok());
    EXPECT_EQ(Pull(std::string(FormatName(format)))->pulled.format, want);
  }
}

TEST_F(ShardsTest, APullThatIsCutGoesOnAndGivesTheSameFiles) {
  ASSERT_TRUE(Pull("whole").ok());
  const auto want = FilesOf(folder_.Path("whole"));
  for (int at = 1; at <= 8; ++at) {
    std::atomic<int> frames = 0;
    const std::unique_ptr<Client> client = registry_.NewClient(
        [&](const std::string& method) { return method == "Pull" && ++frames == at; });
    const std::string name = std::to_string(at);
    const auto pulled = Pull(name, {}, client.get());
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_TRUE(FilesOf(folder_.Path(name)) == want) << at;
  }
}

TEST_F(ShardsTest, APullThatFailsLeavesNoFolder) {
  PullOptions cancelled;
  uint64_t reports = 0;
  cancelled.control.progress = [&](const Progress&) { return ++reports < 4; };
  EXPECT_EQ(Pull("out", cancelled).status().code(), absl::StatusCode::kCancelled);
  std::string block = Noise(5 << 20, 2).substr(0, kBlockBytes);
  const Digest digest = Sha256Of(block);
  block[5] ^= 1;
  registry_.engine()->blobs()->Corrupt(digest, block);
  EXPECT_EQ(Pull("out").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(ShardsTest, RulesNameTheEntriesAndSchemasTheKeys) {
  PullOptions options;
  options.rules.include = {"a", "b", "empty"};
  options.schema.json = R"({"ballast_schema":1,"entries":[{"key":"a","shape":[-1]},
      {"key":"b","shape":[-1]}]})";
  Report report;
  options.refusal = &report;
  EXPECT_EQ(GetReason(Pull("out", options).status()), Reason::kSchemaMismatch);
  EXPECT_FALSE(report.ok);
  options.rules.exclude = {"e*"};
  const auto pulled = Pull("out", options);
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->pulled.entries, 2u);
}

TEST_F(ShardsTest, WhatCannotBeInShardsIsRefusedBeforeAnythingIsWritten) {
  PullOptions options;
  options.format = Format::kTorchSharp;
  const auto dat = Pull("out", options);
  EXPECT_EQ(dat.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(dat.status().message()), HasSubstr("want safetensors or pytorch"));
  EXPECT_EQ(client_->PullShards("team/net", folder_.Path("out"), 0, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client_->PullShards("absent", folder_.Path("out"), 1, {}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(ShardsTest, AnEmptyVersionIsOneFile) {
  const std::string path = input_.Write("none", SafetensorsFile({}));
  ASSERT_TRUE(client_->PushFile(path, "team/none", {}).ok());
  const auto pulled = client_->PullShards("team/none", folder_.Path("out"), 1, {});
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_THAT(pulled->files, ElementsAre("model.safetensors"));
}

TEST_F(ShardsTest, AFolderIsRefusedAsAWhole) {
  ASSERT_TRUE(Pull("out").ok());
  std::filesystem::remove(folder_.Path("out/model-00002-of-00003.safetensors"));
  const auto pushed = client_->PushFile(folder_.Path("out"), "team/bad", {});
  EXPECT_EQ(GetReason(pushed.status()), Reason::kMalformed);
  EXPECT_THAT(std::string(pushed.status().message()),
              HasSubstr("missing: model-00002-of-00003.safetensors"));
  EXPECT_EQ(client_->GetModel("team/bad").status().code(), absl::StatusCode::kNotFound);
}

TEST(ShardBytes, AreHuggingFacesUnitsAndBinaryOnes) {
  const struct {
    const char* text;
    uint64_t bytes;  // 0: refused
  } cases[] = {
      {"5GB", 5'000'000'000},
      {"500MB", 500'000'000},
      {"1kb", 1000},
      {"2TB", 2'000'000'000'000},
      {"1KiB", 1024},
      {"1.5MiB", 3 << 19},
      {"4GiB", 4ull << 30},
      {"1TiB", 1ull << 40},
      {"12345", 12345},
      {"7 MB", 7'000'000},
      {"0", 0},
      {"0.0001", 0},
      {"", 0},
      {"GB", 0},
      {"-1GB", 0},
      {"1e3", 0},
      {"5XB", 0},
      {"inf", 0},
      {"nan", 0},
      {"99999999999TB", 0},
  };
  for (const auto& c : cases) {
    const auto bytes = cli::ShardBytes(c.text);
    EXPECT_EQ(bytes.ok() ? *bytes : 0, c.bytes) << c.text << ": " << bytes.status();
  }
}

}  // namespace
}  // namespace ballast

// Pulls that use what the caller has.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/digest.h"
#include "storage/base/status.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kBig = (4 << 20) + 77;
constexpr uint64_t kBlock = kBlockBytes;

// Tensors by key.
struct Weights {
  std::map<std::string, std::string> tensors;
  std::map<std::string, std::string> tied;  // a key to the key whose memory it has

  std::vector<TensorView> Views() const {
    std::vector<TensorView> views;
    for (const auto& [key, bytes] : tensors) {
      views.push_back({key, DType::kUint8, {bytes.size()}, {bytes.data(), bytes.size()}});
    }
    for (const auto& [key, other] : tied) {
      const std::string& bytes = tensors.at(other);
      views.push_back({key, DType::kUint8, {bytes.size()}, {bytes.data(), bytes.size()}});
    }
    return views;
  }
};

void Flip(const std::string& path, uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(byte);
}

class DeltaPullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    first_.tensors = {{"a", Noise(kBig, 1)},
                      {"b", Noise(33, 2)},
                      {"c", Noise(3 << 19, 3)},
                      {"empty", ""},
                      {"w1", Noise(100'000, 4)}};
    first_.tied = {{"w2", "w1"}};
    second_ = first_;
    second_.tensors["a"].replace(2 * kBlock, kBlock, Noise(kBlock, 5));
    second_.tensors["b"] = Noise(33, 6);
    Push(first_);
    Push(second_);
  }

  void Push(const Weights& weights) {
    const std::vector<TensorView> views = weights.Views();
    const auto pushed = client_->PushTensors(views, "team/net", {});
    ASSERT_TRUE(pushed.ok()) << pushed.status();
  }
  // Pulls the whole version to a file of this name.
  std::string Whole(const std::string& reference, const std::string& name,
                    PullOptions options = {}) {
    options.overwrite = true;
    const auto pulled = client_->PullFile(reference, folder_.Path(name), options);
    EXPECT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_EQ(pulled.ok() ? pulled->bytes_reused : 0, 0u);
    return folder_.Path(name);
  }
  PullOptions Having(const std::string& path) {
    PullOptions options;
    options.have_file = path;
    options.overwrite = true;
    return options;
  }
  absl::StatusOr<PullResult> Delta(const PullOptions& options, Client* client = nullptr) {
    return (client == nullptr ? client_.get() : client)
        ->PullFile("team/net:2", folder_.Path("out"), options);
  }
  bool IsSecond() { return ReadFileBytes(folder_.Path("out")) == want_; }
  // The store cannot give these bytes any more.
  void Spoil(const std::string& block) {
    std::string bad = block;
    bad[0] ^= 1;
    registry_.engine()->blobs()->Corrupt(Sha256Of(block), bad);
  }
  void SpoilUnchanged() {
    for (const uint64_t at : {0, 1, 3}) Spoil(first_.tensors["a"].substr(at * kBlock, kBlock));
    Spoil(first_.tensors["c"].substr(0, kBlock));
    Spoil(first_.tensors["w1"]);
  }

  TestFolder folder_;
  Registry registry_;
  std::unique_ptr<Client> client_ = registry_.NewClient();
  Weights first_, second_;
  std::string want_;
};

class DeltaFileTest : public DeltaPullTest {
 protected:
  void SetUp() override {
    DeltaPullTest::SetUp();
    have_ = Whole("team/net:1", "have");
    want_ = ReadFileBytes(Whole("team/net:2", "want"));
    std::filesystem::remove(folder_.Path("want"));
  }
  std::string have_;
};

TEST_F(DeltaFileTest, OnlyBlocksThatChangedTravel) {
  SpoilUnchanged();
  PullOptions options = Having(have_);
  options.verify_sha256 = true;
  const auto pulled = Delta(options);
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(IsSecond());
  EXPECT_EQ(pulled->bytes_received, kBlock + 33);
  EXPECT_EQ(pulled->bytes_reused, kBig - kBlock + (3 << 19) + 100'000);
  EXPECT_EQ(pulled->bytes, want_.size());
  EXPECT_EQ(pulled->reference, "team/net:2");
  EXPECT_EQ(pulled->entries, 6u);
}

TEST_F(DeltaFileTest, WritesTheBytesOfAWholePullWhateverIsHadAndAskedFor) {
  const Format formats[] = {Format::kUnknown, Format::kSafetensors, Format::kTorchSharp,
                            Format::kPyTorch, Format::kPyTorchLegacy};
  std::vector<PullOptions> asked(4);
  asked[1].rules.include = {"w*", "b", "empty"};
  asked[1].rules.rename = {"w(.)=layer.\\1"};
  asked[2].rules.exclude = {"w1"};
  asked[3].plain_dict = true;
  for (const Format had :
       {Format::kSafetensors, Format::kTorchSharp, Format::kPyTorch, Format::kPyTorchLegacy}) {
    PullOptions first;
    first.format = had;
    const std::string have = Whole("team/net:1", "had", first);
    for (const Format format : formats) {
      for (size_t i = 0; i < asked.size(); ++i) {
        PullOptions options = asked[i];
        options.format = format;
        options.overwrite = true;
        const std::string whole = folder_.Path("whole");
        const auto want = client_->PullFile("team/net:2", whole, options);
        options.have_file = have;
        const auto pulled = Delta(options);
        const std::string what = absl::StrCat(FormatName(had), " ", FormatName(format), " ", i);
        ASSERT_EQ(pulled.status(), want.status()) << what;
        if (!want.ok()) continue;
        EXPECT_TRUE(ReadFileBytes(folder_.Path("out")) == ReadFileBytes(whole)) << what;
        EXPECT_EQ(pulled->format, want->format) << what;
        EXPECT_EQ(pulled->entries, want->entries) << what;
        EXPECT_EQ(pulled->bytes, want->bytes) << what;
        EXPECT_EQ(pulled->warnings, want->warnings) << what;
        EXPECT_GT(pulled->bytes_reused, 0u) << what;
      }
    }
  }
}

TEST_F(DeltaFileTest, AFolderOfShardsIsHadToo) {
  const std::string shards = folder_.Path("shards");
  ASSERT_TRUE(client_->PullShards("team/net:1", shards, 2 << 20, {}).ok());
  SpoilUnchanged();
  const auto pulled = Delta(Having(shards));
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(IsSecond());
}

TEST_F(DeltaFileTest, UpdatesTheFileInPlace) {
  PullOptions options = Having(have_);
  options.overwrite = false;
  const std::string before = ReadFileBytes(have_);
  EXPECT_EQ(client_->PullFile("team/net:2", have_, options).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(ReadFileBytes(have_) == before);
  SpoilUnchanged();
  const auto pulled = client_->PullFile("team/net", have_, Having(have_));
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(ReadFileBytes(have_) == want_);
  const auto again = client_->PullFile("team/net", have_, Having(have_));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->bytes_received, 0u);
  EXPECT_TRUE(ReadFileBytes(have_) == want_);
  EXPECT_THAT(folder_.Names(), ElementsAre("have"));
}

TEST_F(DeltaFileTest, WhatIsDamagedInTheFileComes) {
  Flip(have_, std::filesystem::file_size(have_) - 1);  // of the last tensor, w2
  const auto one_copy = Delta(Having(have_));
  ASSERT_TRUE(one_copy.ok()) << one_copy.status();
  EXPECT_TRUE(IsSecond());
  const uint64_t a = ReadFileBytes(have_).find(first_.tensors["a"]);
  Flip(have_, a + 3 * kBlock + 5);
  const auto pulled = Delta(Having(have_));
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->bytes_received, one_copy->bytes_received + kBlock);
  EXPECT_TRUE(IsSecond());
}

TEST_F(DeltaFileTest, AFileThatChangesAfterItWasHashedIsFoundOut) {
  for (const bool cut : {false, true}) {
    Whole("team/net:1", "have");
    const uint64_t a = ReadFileBytes(have_).find(first_.tensors["a"]);
    PullOptions options = Having(have_);
    options.control.progress = [&](const Progress& progress) {
      if (progress.phase != Progress::Phase::kHash || progress.done_bytes < progress.total_bytes) {
        return true;
      }
      if (cut) std::filesystem::resize_file(have_, a + kBlock + 5);
      Flip(have_, a + 5);
      return true;
    };
    const auto pulled = Delta(options);
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_TRUE(IsSecond()) << cut;
    EXPECT_GE(pulled->bytes_received, 2 * kBlock + 33) << cut;
    EXPECT_EQ(pulled->bytes_reused == 0, cut);
  }
}

TEST_F(DeltaFileTest, AFileThatIsNotThereIsAnErrorThatNamesIt) {
  const auto absent = Delta(Having(folder_.Path("absent")));
  EXPECT_EQ(absent.status().code(), absl::StatusCode::kNotFound) << absent.status();
  EXPECT_THAT(std::string(absent.status().message()),
              HasSubstr("reading the weights that are here: " + folder_.Path("absent")));
  EXPECT_THAT(folder_.Names(), ElementsAre("have"));
}

TEST_F(DeltaFileTest, AFileThatIsOfNoUseIsWarnedOfAndEverythingComes) {
  const auto comes_with_warning = [&](const std::string& have) {
    const auto pulled = Delta(Having(have));
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_EQ(pulled->bytes_reused, 0u);
    ASSERT_FALSE(pulled->warnings.empty());
    EXPECT_THAT(pulled->warnings.back(),
                HasSubstr("the weights that are here are not used: " + have));
    EXPECT_TRUE(IsSecond());
  };
  comes_with_warning(folder_.Write("bad", "\x80\x02nothing"));
  PullOptions pth;
  pth.format = Format::kPyTorch;
  const std::string zip = Whole("team/net:1", "zip", pth);
  Flip(zip, ReadFileBytes(zip).find(first_.tensors["a"]) + 5);
  comes_with_warning(zip);
  std::filesystem::resize_file(zip, std::filesystem::file_size(zip) / 2);
  comes_with_warning(zip);
}

TEST_F(DeltaFileTest, ACutAtAnyFrameIsSurvived) {
  int at = 0;
  for (bool was_cut = true; was_cut; ++at) {
    std::atomic<int> frames = 0;
    const std::unique_ptr<Client> client =
        registry_.NewClient([&](const std::string&) { return ++frames == at + 1; });
    const auto pulled = Delta(Having(have_), client.get());
    ASSERT_TRUE(pulled.ok()) << at << ": " << pulled.status();
    EXPECT_TRUE(IsSecond()) << at;
    EXPECT_EQ(pulled->bytes_received, kBlock + 33) << at;
    was_cut = frames > at;
  }
  EXPECT_GT(at, 8);
}

TEST_F(DeltaFileTest, RetryForBoundsTheTrying) {
  PullOptions options = Having(have_);
  options.control.retry_for = absl::ZeroDuration();
  std::atomic<int> frames = 0;
  const std::unique_ptr<Client> client = registry_.NewClient(
      [&](const std::string& method) { return method == "PullBlocks" && ++frames == 2; });
  EXPECT_EQ(Delta(options, client.get()).status().code(), absl::StatusCode::kUnavailable);
  frames = 0;
  options.control.retry_for = absl::Hours(1);
  const auto patient = Delta(options, client.get());
  ASSERT_TRUE(patient.ok()) << patient.status();
  EXPECT_EQ(patient->retries, 1u);
}

TEST_F(DeltaFileTest, AVersionThatGoesMeanwhileIsNotFound) {
  std::atomic<bool> deleted = false;
  const std::unique_ptr<Client> client = registry_.NewClient([&](const std::string& method) {
    if (method == "PullBlocks" && !deleted.exchange(true)) {
      EXPECT_TRUE(registry_.NewClient()->DeleteVersion("team/net", 2).ok());
    }
    return false;
  });
  const auto pulled = Delta(Having(have_), client.get());
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kNotFound) << pulled.status();
  EXPECT_THAT(folder_.Names(), ElementsAre("have"));
}

TEST_F(DeltaFileTest, DamageInTheStoreIsDataLossAndLeavesNoFile) {
  Spoil(second_.tensors["a"].substr(2 * kBlock, kBlock));
  EXPECT_EQ(Delta(Having(have_)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(folder_.Names(), ElementsAre("have"));
}

TEST_F(DeltaFileTest, AFileOfOtherContentIsOfNoUse) {
  const std::string other = folder_.Write("other", SafetensorsFile({NoiseTensor("a", kBig, 100)}));
  const auto pulled = Delta(Having(other));
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(IsSecond());
  EXPECT_EQ(pulled->bytes_reused, 0u);
  EXPECT_EQ(pulled->bytes_received, kBig + 33 + (3 << 19) + 100'000) << "tied tensors once";
}

TEST_F(DeltaFileTest, ABlockThatOccursOftenTravelsOnce) {
  std::string repeated;
  for (int i = 0; i < 4; ++i) repeated += Noise(kBlock, 9);
  second_.tensors["a"] = repeated;
  Push(second_);
  want_ = ReadFileBytes(Whole("team/net:3", "want"));
  const auto pulled = client_->PullFile("team/net:3", folder_.Path("out"), Having(have_));
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(IsSecond());
  EXPECT_EQ(pulled->bytes_received, kBlock + 33);
}

TEST_F(DeltaFileTest, EmptyStateDictsAreFilesToo) {
  const std::string none = folder_.Write("none", SafetensorsFile({}));
  ASSERT_TRUE(client_->PushFile(none, "team/none", {}).ok());
  const auto emptied = client_->PullFile("team/none", folder_.Path("out"), Having(have_));
  ASSERT_TRUE(emptied.ok()) << emptied.status();
  EXPECT_EQ(ReadFileBytes(folder_.Path("out")), ReadFileBytes(Whole("team/none", "whole")));
  EXPECT_EQ(emptied->bytes_received + emptied->bytes_reused, 0u);
  const auto filled = Delta(Having(none));
  ASSERT_TRUE(filled.ok()) << filled.status();
  EXPECT_TRUE(IsSecond());
}

TEST_F(DeltaFileTest, CancelledInAnyPhaseItLeavesNoFile) {
  for (const auto phase : {Progress::Phase::kHash, Progress::Phase::kReceive}) {
    PullOptions options = Having(have_);
    options.control.progress = [&](const Progress& progress) {
      if (progress.phase == Progress::Phase::kReceive) {
        EXPECT_EQ(progress.total_bytes, kBig + 33 + (3 << 19) + 100'000);
      }
      return progress.phase != phase;
    };
    EXPECT_EQ(Delta(options).status().code(), absl::StatusCode::kCancelled);
  }
  EXPECT_THAT(folder_.Names(), ElementsAre("have"));
}

TEST_F(DeltaFileTest, ASchemaIsCheckedFirst) {
  Report report;
  PullOptions options = Having(folder_.Path("absent"));
  options.schema.json = R"({"ballast_schema":1,"entries":[{"key":"a","shape":[1]}]})";
  options.refusal = &report;
  EXPECT_EQ(GetReason(Delta(options).status()), Reason::kSchemaMismatch);
  EXPECT_FALSE(report.ok);
}

TEST_F(DeltaFileTest, WhereItIsOfNoUseItIsRefused) {
  std::string out;
  StringSink sink(&out);
  PullOptions version;
  version.have_version = "team/net:1";
  EXPECT_EQ(Delta(version).status().code(), absl::StatusCode::kInvalidArgument);
  const PullOptions file = Having(have_);
  EXPECT_EQ(client_->PullToSink("team/net", &sink, file).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client_->PullShards("team/net", folder_.Path("s"), 1, file).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client_->PullTensors("team/net", file, nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(folder_.Names(), ElementsAre("have"));
}

// Memory that holds version 1.
class DeltaMemoryTest : public DeltaPullTest {
 protected:
  void SetUp() override {
    DeltaPullTest::SetUp();
    memory_ = Contents(first_);
    options_.have_version = "team/net:1";
  }
  static std::map<std::string, std::string> Contents(const Weights& weights) {
    std::map<std::string, std::string> all;
    for (const TensorView& view : weights.Views()) {
      all[view.key] = std::string(view.bytes.data(), view.bytes.size());
    }
    return all;
  }
  absl::StatusOr<PullResult> Pull(const std::string& reference = "team/net:2",
                                  Client* client = nullptr) {
    return (client == nullptr ? client_.get() : client)
        ->PullTensors(reference, options_,
                      [&](const TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
                        std::string& bytes = memory_[spec.key];
                        bytes.resize(CheckedTensorBytes(spec));
                        return absl::MakeSpan(bytes.data(), bytes.size());
                      });
  }

  std::map<std::string, std::string> memory_;
  PullOptions options_;
};

TEST_F(DeltaMemoryTest, OnlyBlocksThatDifferTravel) {
  SpoilUnchanged();
  const auto pulled = Pull();
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(memory_ == Contents(second_));
  EXPECT_EQ(pulled->bytes_received, kBlock + 33);
  EXPECT_EQ(pulled->bytes_reused, kBig - kBlock + (3 << 19) + 100'000);
  EXPECT_EQ(pulled->format, Format::kTensors);
  EXPECT_THAT(pulled->warnings, IsEmpty());
  PullOptions whole;
  const auto plain = client_->PullTensors(
      "team/net:1", whole, [&](const TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
        return absl::MakeSpan(memory_[spec.key].data(), memory_[spec.key].size());
      });
  EXPECT_EQ(plain.status().code(), absl::StatusCode::kDataLoss) << "the store was spoiled";
}

TEST_F(DeltaMemoryTest, TheAnswerIsThatOfAWholePull) {
  options_.rules.exclude = {"c"};
  options_.rules.rename = {"a=renamed"};
  memory_["renamed"] = memory_["a"];
  const auto pulled = Pull();
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(memory_["renamed"] == second_.tensors["a"]);
  EXPECT_EQ(pulled->bytes_received, kBlock + 33);
  options_.have_version.clear();
  const auto whole = Pull();
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(pulled->bytes, whole->bytes);
  EXPECT_EQ(pulled->entries, whole->entries);
  EXPECT_EQ(pulled->digest, whole->digest);
  EXPECT_EQ(pulled->reference, whole->reference);
  EXPECT_EQ(whole->bytes_received, whole->bytes);
  EXPECT_EQ(whole->bytes_reused, 0u);
}

TEST_F(DeltaMemoryTest, MemoryThatIsNotWhatItShouldBeIsWrittenAnew) {
  memory_["a"][5] ^= 1;
  memory_["c"].clear();
  const auto pulled = Pull();
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(memory_ == Contents(second_));
  EXPECT_EQ(pulled->bytes_received, 2 * kBlock + 33 + (3 << 19));
}

TEST_F(DeltaMemoryTest, TensorsThatCameOrTookAnotherShapeAreWritten) {
  second_.tensors["c"] += "more";
  second_.tensors["new"] = Noise(5000, 7);
  second_.tensors["copy"] = first_.tensors["w1"];
  Push(second_);
  Spoil(first_.tensors["w1"]);
  const auto pulled = Pull("team/net:3");
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(memory_ == Contents(second_)) << "the copy is taken from w1, which is there";
  EXPECT_EQ(pulled->bytes_received, kBlock + 33 + (3 << 19) + 4 + 5000);
}

TEST_F(DeltaMemoryTest, WithoutTheOldVersionEverythingComes) {
  ASSERT_TRUE(client_->DeleteVersion("team/net", 1).ok());
  const auto pulled = Pull();
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(memory_ == Contents(second_));
  EXPECT_EQ(pulled->bytes_reused, 0u);
  EXPECT_THAT(pulled->warnings, ElementsAre(HasSubstr("team/net:1 is gone")));
}

TEST_F(DeltaMemoryTest, WhatMayMeanAnotherVersionByNowIsRefused) {
  for (const std::string reference : {"team/net", "team/net@prod", "team/net:latest", "A:1"}) {
    options_.have_version = reference;
    EXPECT_EQ(Pull().status().code(), absl::StatusCode::kInvalidArgument) << reference;
  }
  options_.have_version = "team/net@sha256:" + client_->GetVersion("team/net:1")->digest.Hex();
  const auto pulled = Pull();
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->bytes_received, kBlock + 33);
}

TEST_F(DeltaMemoryTest, ACutAtAnyFrameIsSurvived) {
  bool was_cut = true;
  for (int at = 1; was_cut; ++at) {
    memory_ = Contents(first_);
    std::atomic<int> frames = 0;
    const std::unique_ptr<Client> client =
        registry_.NewClient([&](const std::string&) { return ++frames == at; });
    const auto pulled = Pull("team/net:2", client.get());
    ASSERT_TRUE(pulled.ok()) << at << ": " << pulled.status();
    EXPECT_TRUE(memory_ == Contents(second_)) << at;
    was_cut = frames >= at;
  }
}

TEST_F(DeltaMemoryTest, AfterAFailureTheSameCallMakesItWhole) {
  int reports = 0;
  options_.control.progress = [&](const Progress& progress) {
    return progress.done_bytes < progress.total_bytes || ++reports > 1;
  };
  EXPECT_EQ(Pull().status().code(), absl::StatusCode::kCancelled);
  const auto pulled = Pull();
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(memory_ == Contents(second_));
}

}  // namespace
}  // namespace ballast

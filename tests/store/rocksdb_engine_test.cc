// What only the embedded engine has: a folder, a lock, block files, damage.
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Files in db/ with this ending and at least this size.
std::vector<std::string> DbFiles(const std::string& dir, const std::string& ending,
                                 uint64_t size_min) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(dir + "/db")) {
    if (absl::EndsWith(entry.path().string(), ending) && entry.file_size() >= size_min) {
      files.push_back(entry.path().string());
    }
  }
  return files;
}

class RocksEngineTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<RocksEngine>> Open() {
    return RocksEngine::Open({data_, SmallLimits()});
  }
  static absl::Status Put(BlobStore* blobs, const std::vector<TestBlock>& blocks, Epoch epoch) {
    ASSIGN_OR_RETURN(const auto batch, blobs->NewBatch(epoch));
    for (const TestBlock& block : blocks) {
      RETURN_IF_ERROR(batch->Add(block.digest, block.crc32, block.bytes).status());
    }
    return batch->Flush();
  }
  // The folder as a process leaves it that had no time to close.
  void EndAsIfKilled() { ASSERT_TRUE(fs::remove(data_ + "/SEAL")); }
  static std::vector<TestBlock> BigBlocks(uint64_t seed, int count) {
    std::vector<TestBlock> blocks;
    for (int i = 0; i < count; ++i) blocks.push_back(MakeBlock(seed + i, 1'000'000));
    return blocks;
  }

  const TempDir dir_;
  const std::string data_ = dir_.path() + "/data";
};

TEST_F(RocksEngineTest, MakesTheFolderAndItsFormat) {
  ASSERT_THAT(Open(), IsOk());
  EXPECT_EQ(ReadFile(data_ + "/FORMAT"), "1\n");
  ASSERT_THAT(Open(), IsOk());
}

TEST_F(RocksEngineTest, MakesTheFoldersAboveIt) {
  EXPECT_THAT(RocksEngine::Open({data_ + "/a/b", SmallLimits()}), IsOk());
}

TEST_F(RocksEngineTest, RefusesANewerFormatAndSaysBothNumbers) {
  ASSERT_THAT(Open(), IsOk());
  WriteFile(data_ + "/FORMAT", "2\n");
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kFailedPrecondition,
                              "format is 2, want at most 1: use a newer ballastd"));
  WriteFile(data_ + "/FORMAT", "x");
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, "format is \"x\", want a number"));
}

TEST_F(RocksEngineTest, RefusesAFolderThatIsNotOurs) {
  fs::create_directory(data_);
  WriteFile(data_ + "/thesis.txt", "do not touch");
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kFailedPrecondition, "want an empty folder"));
  EXPECT_EQ(std::distance(fs::directory_iterator(data_), fs::directory_iterator()), 1);
  fs::remove(data_ + "/thesis.txt");
  fs::create_directory(data_ + "/db");
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kFailedPrecondition, "want an empty folder"));
}

TEST_F(RocksEngineTest, CheckSaysWhatOpenWouldAndChangesNothing) {
  const auto check = [&] { return RocksEngine::Check(data_); };
  EXPECT_THAT(check(), IsOk()) << "a folder that is not there can be made";
  EXPECT_FALSE(fs::exists(data_));
  WriteFile(data_, "");
  EXPECT_THAT(check(), IsError(absl::StatusCode::kFailedPrecondition, "is not a folder"));
  fs::remove(data_);
  fs::create_directory(data_);
  EXPECT_THAT(check(), IsOk());
  WriteFile(data_ + "/thesis.txt", "do not touch");
  EXPECT_THAT(check(), IsError(absl::StatusCode::kFailedPrecondition, "want an empty folder"));
  fs::remove(data_ + "/thesis.txt");
  EXPECT_TRUE(fs::is_empty(data_));
  {
    const auto open = Open();
    EXPECT_THAT(check(), IsOk()) << "in use";
  }
  EXPECT_THAT(check(), IsOk());
  WriteFile(data_ + "/FORMAT", "999\n");
  EXPECT_THAT(check(),
              IsError(absl::StatusCode::kFailedPrecondition, "format is 999, want at most"));
  WriteFile(data_ + "/FORMAT", "1\n");
  fs::remove(data_ + "/db/CURRENT");
  EXPECT_THAT(check(), IsError(absl::StatusCode::kDataLoss, "db/CURRENT is missing"));
}

TEST_F(RocksEngineTest, TakesTheRootOfAFreshFileSystem) {
  fs::create_directories(data_ + "/lost+found");
  EXPECT_THAT(Open(), IsOk());
}

TEST_F(RocksEngineTest, TakesAFolderWhoseMakingWasCutShort) {
  fs::create_directories(data_ + "/db");
  WriteFile(data_ + "/LOCK", "");
  WriteFile(data_ + "/.ballast-tmp-AAAAAA", "");
  ASSERT_THAT(Open(), IsOk());
  EXPECT_TRUE(fs::exists(data_ + "/FORMAT"));
}

TEST_F(RocksEngineTest, RefusesASecondUser) {
  const auto first = Open();
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(Open(),
              IsError(absl::StatusCode::kFailedPrecondition, "is in use by another process"));
}

TEST_F(RocksEngineTest, RefusesAFileInPlaceOfTheFolder) {
  WriteFile(data_, "");
  EXPECT_FALSE(Open().ok());
}

TEST_F(RocksEngineTest, EmptiesTmpAtOpen) {
  ASSERT_THAT(Open(), IsOk());
  WriteFile(data_ + "/tmp/7.sst", "half a file");
  ASSERT_THAT(Open(), IsOk());
  EXPECT_TRUE(fs::is_empty(data_ + "/tmp"));
}

TEST_F(RocksEngineTest, ADatabaseThatIsGoneIsNotMadeAnew) {
  ASSERT_THAT(Open(), IsOk());
  EndAsIfKilled();
  fs::remove(data_ + "/db/CURRENT");
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, "opening"));
}

TEST_F(RocksEngineTest, KeepsEverythingOverReopening) {
  const auto big = BigBlocks(1, 9);
  const TestBlock small = MakeBlock(50, 300);
  {
    const auto engine = *Open();
    ASSERT_THAT(Put(engine->blobs(), big, 3), IsOk());
    ASSERT_THAT(Put(engine->blobs(), {small}, 4), IsOk());
    ASSERT_THAT(engine->records()->Commit("r", {}, {{"k", "v"}}), IsOk());
  }
  const auto engine = *Open();
  for (const TestBlock& block : big)
    EXPECT_EQ(engine->blobs()->Get(block.digest)->bytes, block.bytes);
  EXPECT_EQ((*engine->blobs()->Touch({small.digest}, 0))[0]->epoch, 4u);
  EXPECT_EQ((*engine->records()->Read("r", {"k"}))[0], "v");
}

TEST_F(RocksEngineTest, GathersTinyPushesWithoutFilesOfTheirOwn) {
  const auto engine = *Open();
  const size_t before = DbFiles(data_, ".sst", 0).size();
  for (uint64_t i = 0; i < 50; ++i)
    ASSERT_THAT(Put(engine->blobs(), {MakeBlock(i, 1000)}, 1), IsOk());
  EXPECT_EQ(DbFiles(data_, ".sst", 0).size(), before);
}

TEST_F(RocksEngineTest, FinishesAFileAtItsSizeAndCountsItAsDurable) {
  const auto engine = *Open();
  const auto batch = *engine->blobs()->NewBatch(1);
  const auto blocks = BigBlocks(1, 8);
  for (const TestBlock& block : blocks)
    ASSERT_THAT(batch->Add(block.digest, block.crc32, block.bytes), IsOk());
  // Files of 3 blocks: the first was waited for when the second was full.
  EXPECT_GE(batch->durable_bytes(), 3'000'000u);
  EXPECT_THAT(engine->blobs()->Get(blocks[0].digest), IsOk());
  EXPECT_THAT(engine->blobs()->Get(blocks[7].digest), IsError(absl::StatusCode::kNotFound, ""));
  ASSERT_THAT(batch->Flush(), IsOk());
  EXPECT_EQ(batch->durable_bytes(), 8'000'000u);
}

TEST_F(RocksEngineTest, DropsAFileWhenItsLastBlockGoes) {
  const auto engine = *Open();
  const auto blocks = BigBlocks(1, 3);
  ASSERT_THAT(Put(engine->blobs(), blocks, 1), IsOk());
  ASSERT_EQ(DbFiles(data_, ".sst", 1'000'000).size(), 1u);
  ASSERT_EQ(
      *engine->blobs()->RemoveIfOlder({blocks[0].digest, blocks[1].digest, blocks[2].digest}, 2),
      3u);
  EXPECT_EQ(DbFiles(data_, ".sst", 1'000'000).size(), 0u);
}

TEST_F(RocksEngineTest, RewritesAFileWhenLessThanHalfOfItIsAlive) {
  const auto blocks = BigBlocks(1, 3);
  {
    const auto engine = *Open();
    ASSERT_THAT(Put(engine->blobs(), blocks, 1), IsOk());
    ASSERT_EQ(*engine->blobs()->RemoveIfOlder({blocks[0].digest}, 2), 1u);
    ASSERT_THAT(engine->blobs()->ReturnSpace(), IsOk());
    EXPECT_EQ(DbFiles(data_, ".sst", 2'500'000).size(), 1u);
    ASSERT_EQ(*engine->blobs()->RemoveIfOlder({blocks[2].digest}, 2), 1u);
    ASSERT_THAT(engine->blobs()->ReturnSpace(), IsOk());
    EXPECT_EQ(DbFiles(data_, ".sst", 2'500'000).size(), 0u);
    EXPECT_EQ(DbFiles(data_, ".sst", 1'000'000).size(), 1u);
    EXPECT_EQ(engine->blobs()->Get(blocks[1].digest)->bytes, blocks[1].bytes);
  }
  const auto engine = *Open();
  EXPECT_EQ(engine->blobs()->Get(blocks[1].digest)->bytes, blocks[1].bytes);
  EXPECT_EQ((*engine->blobs()->Touch({blocks[1].digest}, 0))[0]->epoch, 1u);
}

// All files of the folder together.
uint64_t FolderBytes(const std::string& dir) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  return bytes;
}

TEST_F(RocksEngineTest, TheSpaceOfWhatIsRemovedReturnsToTheDisk) {
  const auto engine = *Open();
  const uint64_t empty = FolderBytes(data_);
  const auto big = BigBlocks(1, 40);
  std::vector<TestBlock> small;
  for (uint64_t i = 0; i < 3000; ++i) small.push_back(MakeBlock(10'000 + i, 4000));
  ASSERT_THAT(Put(engine->blobs(), big, 1), IsOk());
  // Below a block file each: through the log.
  for (size_t i = 0; i < small.size(); i += 200) {
    ASSERT_THAT(Put(engine->blobs(), {small.begin() + i, small.begin() + i + 200}, 1), IsOk());
  }
  constexpr uint64_t kStored = 40 * 1'000'000 + 3000 * 4000;
  EXPECT_GT(FolderBytes(data_), empty + kStored);
  const auto remove = [&](const std::function<bool(size_t)>& chosen) {
    std::vector<Digest> digests;
    for (size_t i = 0; i < big.size(); ++i) {
      if (chosen(i)) digests.push_back(big[i].digest);
    }
    for (size_t i = 0; i < small.size(); ++i) {
      if (chosen(i)) digests.push_back(small[i].digest);
    }
    EXPECT_EQ(*engine->blobs()->RemoveIfOlder(digests, 2), digests.size());
    EXPECT_THAT(engine->blobs()->ReturnSpace(), IsOk());
  };
  // Three of four, of every file some.
  remove([](size_t i) { return i % 4 != 0; });
  EXPECT_LT(FolderBytes(data_), empty + kStored / 4 * 11 / 10 + (1u << 20));
  for (size_t i = 0; i < big.size(); i += 4) {
    EXPECT_EQ(engine->blobs()->Get(big[i].digest)->bytes, big[i].bytes);
  }
  for (size_t i = 0; i < small.size(); i += 4) {
    EXPECT_EQ(engine->blobs()->Get(small[i].digest)->bytes, small[i].bytes);
  }
  remove([](size_t i) { return i % 4 == 0; });
  EXPECT_LT(FolderBytes(data_), empty + (1u << 20));
}

TEST_F(RocksEngineTest, ACopyThatLostARaceIsDropped) {
  const auto engine = *Open();
  const auto blocks = BigBlocks(1, 2);
  const auto first = *engine->blobs()->NewBatch(1);
  const auto second = *engine->blobs()->NewBatch(2);
  for (const TestBlock& block : blocks) {
    EXPECT_TRUE(*first->Add(block.digest, block.crc32, block.bytes));
    EXPECT_TRUE(*second->Add(block.digest, block.crc32, block.bytes));
  }
  ASSERT_THAT(first->Flush(), IsOk());
  ASSERT_THAT(second->Flush(), IsOk());
  EXPECT_EQ(DbFiles(data_, ".sst", 1'000'000).size(), 1u);
  EXPECT_EQ((*engine->blobs()->Touch({blocks[0].digest}, 0))[0]->epoch, 2u);
}

TEST_F(RocksEngineTest, ADroppedBatchLeavesNoUnfinishedFile) {
  const auto engine = *Open();
  {
    const auto batch = *engine->blobs()->NewBatch(1);
    for (const TestBlock& block : BigBlocks(1, 2))
      ASSERT_THAT(batch->Add(block.digest, block.crc32, block.bytes), IsOk());
    EXPECT_FALSE(fs::is_empty(data_ + "/tmp"));
  }
  EXPECT_TRUE(fs::is_empty(data_ + "/tmp"));
}

TEST_F(RocksEngineTest, AFlippedByteInABlockFileIsDataLossThatNamesTheBlock) {
  const auto blocks = BigBlocks(1, 2);
  ASSERT_THAT(Put((*Open())->blobs(), blocks, 1), IsOk());
  const auto files = DbFiles(data_, ".sst", 1'000'000);
  ASSERT_EQ(files.size(), 1u);
  std::string bytes = ReadFile(files[0]);
  bytes[500'000] ^= 1;  // in the first block
  WriteFile(files[0], bytes);
  const auto engine = *Open();
  EXPECT_THAT(engine->blobs()->Get(blocks[0].digest),
              IsError(absl::StatusCode::kDataLoss, blocks[0].digest.Hex()));
  EXPECT_EQ(engine->blobs()->Get(blocks[1].digest)->bytes, blocks[1].bytes);
}

TEST_F(RocksEngineTest, ATruncatedOrMissingBlockFileIsDataLossAtOpen) {
  ASSERT_THAT(Put((*Open())->blobs(), BigBlocks(1, 2), 1), IsOk());
  const auto files = DbFiles(data_, ".sst", 1'000'000);
  ASSERT_EQ(files.size(), 1u);
  EndAsIfKilled();
  fs::resize_file(files[0], 700'000);
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, "opening"));
  fs::remove(files[0]);
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, "opening"));
}

TEST_F(RocksEngineTest, AFlippedByteInTheLogIsDataLossAtOpen) {
  ASSERT_THAT(Open(), IsOk());
  {
    const auto engine = *Open();
    for (int i = 0; i < 20; ++i) {
      ASSERT_THAT(
          engine->records()->Commit("r", {}, {{absl::StrCat("k", i), std::string(500, 'x')}}),
          IsOk());
    }
  }
  const auto logs = DbFiles(data_, ".log", 5'000);
  ASSERT_EQ(logs.size(), 1u);
  std::string bytes = ReadFile(logs[0]);
  bytes[3'000] ^= 1;
  WriteFile(logs[0], bytes);
  EndAsIfKilled();
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, "opening"));
}

TEST_F(RocksEngineTest, AnUnfinishedRecordAtTheEndOfTheLogIsForgotten) {
  ASSERT_THAT((*Open())->records()->Commit("r", {}, {{"k", "v"}}), IsOk());
  ASSERT_THAT((*Open())->records()->Commit("r", {}, {{"k", std::string(500, 'x')}}), IsOk());
  const auto logs = DbFiles(data_, ".log", 500);
  ASSERT_EQ(logs.size(), 1u);
  EndAsIfKilled();
  fs::resize_file(logs[0], fs::file_size(logs[0]) - 100);
  EXPECT_EQ((*(*Open())->records()->Read("r", {"k"}))[0], "v");
}

TEST_F(RocksEngineTest, ALogThatIsGoneIsDataLossAlsoAfterACrash) {
  ASSERT_THAT((*Open())->records()->Commit("r", {}, {{"k", "v"}}), IsOk());
  EndAsIfKilled();
  for (const std::string& log : DbFiles(data_, ".log", 0)) fs::remove(log);
  EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, "holds no log"));
}

TEST_F(RocksEngineTest, AfterAnOrderlyEndNoFileMayHaveLostItsEnd) {
  ASSERT_THAT(Put((*Open())->blobs(), BigBlocks(1, 2), 1), IsOk());
  ASSERT_THAT((*Open())->records()->Commit("r", {}, {{"k", "v"}}), IsOk());
  ASSERT_TRUE(fs::exists(data_ + "/SEAL"));
  std::vector<std::string> files = DbFiles(data_, ".sst", 0);
  for (const std::string& log : DbFiles(data_, ".log", 1)) files.push_back(log);
  for (const auto& entry : fs::directory_iterator(data_ + "/db")) {
    const std::string name = entry.path().filename().string();
    if (name == "CURRENT" || name.rfind("MANIFEST-", 0) == 0) files.push_back(entry.path());
  }
  ASSERT_GE(files.size(), 4u);
  for (const std::string& file : files) {
    const std::string bytes = ReadFile(file);
    for (const size_t left : {bytes.size() - 1, bytes.size() / 2, size_t{0}}) {
      WriteFile(file, bytes.substr(0, left));
      EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, fs::path(file).filename().string()));
    }
    fs::remove(file);
    EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, "is gone since the database was"));
    WriteFile(file, bytes);
  }
  const auto engine = Open();
  ASSERT_THAT(engine, IsOk()) << "nothing was changed by looking";
  EXPECT_FALSE(fs::exists(data_ + "/SEAL")) << "files change from now on";
  EXPECT_EQ((*(*engine)->records()->Read("r", {"k"}))[0], "v");
}

TEST_F(RocksEngineTest, ADamagedSealIsDataLoss) {
  ASSERT_THAT(Open(), IsOk());
  for (const char* text : {"x", "1 - ../FORMAT\n", "1 - a/b.sst\n", "-1 - 000001.log\n"}) {
    WriteFile(data_ + "/SEAL", text);
    EXPECT_THAT(Open(), IsError(absl::StatusCode::kDataLoss, "")) << text;
  }
}

TEST_F(RocksEngineTest, ChunksOutliveTheEngine) {
  const auto blocks = BigBlocks(1, 2);
  Chunk chunk;
  {
    const auto engine = *Open();
    ASSERT_THAT(Put(engine->blobs(), blocks, 1), IsOk());
    chunk = *engine->blobs()->Get(blocks[0].digest);
  }
  EXPECT_EQ(chunk.bytes, blocks[0].bytes);
}

}  // namespace
}  // namespace ballast

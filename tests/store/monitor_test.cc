// What the embedded engine says of itself.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

// Some blocks that fill files of their own, and some that go through the log.
std::vector<TestBlock> SomeBlocks(uint64_t seed) {
  std::vector<TestBlock> blocks;
  for (uint64_t i = 0; i < 6; ++i) blocks.push_back(MakeBlock(seed + i, 1u << 20));
  return blocks;
}

uint64_t BytesOf(const std::vector<TestBlock>& blocks) {
  uint64_t bytes = 0;
  for (const TestBlock& block : blocks) bytes += block.bytes.size();
  return bytes;
}

void Add(RocksEngine* engine, const std::vector<TestBlock>& blocks, Epoch epoch) {
  auto batch = engine->blobs()->NewBatch(epoch);
  ASSERT_THAT(batch, IsOk());
  for (const TestBlock& block : blocks) {
    ASSERT_THAT((*batch)->Add(block.digest, block.crc32, block.bytes), IsOk());
  }
  ASSERT_THAT((*batch)->Flush(), IsOk());
}

std::vector<Digest> DigestsOf(const std::vector<TestBlock>& blocks) {
  std::vector<Digest> digests;
  for (const TestBlock& block : blocks) digests.push_back(block.digest);
  return digests;
}

BlockTotals KeptBy(RocksEngine* engine) {
  const auto usage = engine->monitor()->Usage();
  EXPECT_THAT(usage, IsOk());
  return usage.ok() ? usage->blocks : BlockTotals{};
}

TEST(Monitor, KeepsCountOfBlocksInFilesAndInTheLog) {
  const TempDir dir;
  const auto engine = OpenRocks(dir.path());
  EXPECT_EQ(KeptBy(engine.get()), BlockTotals());
  const std::vector<TestBlock> big = SomeBlocks(1);
  Add(engine.get(), big, 1);
  EXPECT_EQ(KeptBy(engine.get()), (BlockTotals{6, BytesOf(big)}));
  const std::vector<TestBlock> small = {MakeBlock(100, 10), MakeBlock(101, 1000)};
  Add(engine.get(), small, 1);
  EXPECT_EQ(KeptBy(engine.get()), (BlockTotals{8, BytesOf(big) + 1010}));
  Add(engine.get(), small, 2);
  EXPECT_EQ(KeptBy(engine.get()), (BlockTotals{8, BytesOf(big) + 1010})) << "known ones again";
}

TEST(Monitor, TheCountSurvivesRemovalAndReopening) {
  const TempDir dir;
  const std::vector<TestBlock> big = SomeBlocks(1);
  const std::vector<TestBlock> small = {MakeBlock(100, 10), MakeBlock(101, 1000)};
  {
    const auto engine = OpenRocks(dir.path());
    Add(engine.get(), big, 1);
    Add(engine.get(), small, 1);
    const std::vector<Digest> some = {big[0].digest, small[0].digest};
    ASSERT_THAT(engine->blobs()->RemoveIfOlder(some, 2), IsOk());
    EXPECT_EQ(KeptBy(engine.get()), (BlockTotals{6, BytesOf(big) - (1u << 20) + 1000}));
  }
  const auto engine = OpenRocks(dir.path());
  EXPECT_EQ(KeptBy(engine.get()), (BlockTotals{6, BytesOf(big) - (1u << 20) + 1000}));
  ASSERT_THAT(engine->blobs()->RemoveIfOlder(DigestsOf(big), 2), IsOk());
  ASSERT_THAT(engine->blobs()->RemoveIfOlder(DigestsOf(small), 2), IsOk());
  EXPECT_EQ(KeptBy(engine.get()), BlockTotals());
}

TEST(Monitor, CountingOneByOneAgreesWithWhatIsKept) {
  const TempDir dir;
  const auto engine = OpenRocks(dir.path());
  std::vector<TestBlock> blocks = SomeBlocks(1);
  Add(engine.get(), blocks, 1);
  for (uint64_t round = 0; round < 20; ++round) {
    Add(engine.get(), {MakeBlock(200 + round, 100 + round)}, 1);
    const std::vector<Digest> one = {MakeBlock(200 + round / 2, 100 + round / 2).digest};
    ASSERT_THAT(engine->blobs()->RemoveIfOlder(one, 2), IsOk());
    const auto counted = engine->monitor()->CountBlocks();
    ASSERT_THAT(counted, IsOk());
    EXPECT_EQ(*counted, KeptBy(engine.get())) << round;
  }
}

TEST(Monitor, SaysHowMuchDiskThereIs) {
  const TempDir dir;
  const auto engine = OpenRocks(dir.path());
  Add(engine.get(), SomeBlocks(1), 1);
  const auto usage = engine->monitor()->Usage();
  ASSERT_THAT(usage, IsOk());
  EXPECT_GT(usage->disk_bytes, usage->disk_free_bytes);
  EXPECT_GT(usage->disk_free_bytes, 0u);
  EXPECT_GE(usage->files_bytes, 6u << 20);
  EXPECT_EQ(usage->background_errors, 0u);
}

TEST(Monitor, ABlockThatIsHeldIsPinned) {
  const TempDir dir;
  const auto engine = OpenRocks(dir.path());
  const std::vector<TestBlock> blocks = SomeBlocks(1);
  Add(engine.get(), blocks, 1);
  const auto held = engine->blobs()->Get(blocks[0].digest);
  ASSERT_THAT(held, IsOk());
  const auto usage = engine->monitor()->Usage();
  ASSERT_THAT(usage, IsOk());
  EXPECT_GE(usage->cache_pinned_bytes, 1u << 20);
  EXPECT_GE(usage->cache_bytes, usage->cache_pinned_bytes);
}

}  // namespace
}  // namespace ballast

// What every BlobStore keeps to.
#include <set>
#include <thread>

#include "storage/base/status.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

using ::testing::Eq;
using ::testing::UnorderedElementsAreArray;

class BlobContract : public ::testing::TestWithParam<std::string> {
 protected:
  BlobStore& blobs() { return *stores_->blobs(); }
  void Put(const std::vector<TestBlock>& blocks, Epoch epoch) {
    auto batch = blobs().NewBatch(epoch);
    ASSERT_THAT(batch, IsOk());
    for (const TestBlock& block : blocks) {
      ASSERT_THAT((*batch)->Add(block.digest, block.crc32, block.bytes), IsOk());
    }
    ASSERT_THAT((*batch)->Flush(), IsOk());
  }
  bool Has(const TestBlock& block) {
    const auto chunk = blobs().Get(block.digest);
    if (absl::IsNotFound(chunk.status())) return false;
    EXPECT_THAT(chunk, IsOk());
    return chunk.ok() && chunk->bytes == block.bytes;
  }
  std::optional<BlobInfo> Info(const TestBlock& block) {
    const auto infos = blobs().Touch({block.digest}, 0);
    EXPECT_THAT(infos, IsOk());
    return infos.ok() ? (*infos)[0] : std::nullopt;
  }
  std::vector<TestBlock> Blocks(uint64_t seed, size_t count, size_t size) {
    std::vector<TestBlock> blocks;
    for (size_t i = 0; i < count; ++i) blocks.push_back(MakeBlock(seed + i, size));
    return blocks;
  }

  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Engines, BlobContract, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(BlobContract, ReturnsTheBytesOfEverySize) {
  std::vector<TestBlock> blocks;
  for (const size_t size : {size_t{1}, size_t{2}, size_t{100}, size_t{65'535}, size_t{65'536},
                            size_t{500'000}, size_t{kBlockBytes - 1}, size_t{kBlockBytes}}) {
    for (uint64_t seed = 0; seed < 3; ++seed) blocks.push_back(MakeBlock(seed, size));
  }
  Put(blocks, 5);
  for (const TestBlock& block : blocks) {
    EXPECT_TRUE(Has(block)) << block.bytes.size();
    EXPECT_THAT(Info(block), Eq(BlobInfo{block.bytes.size(), block.crc32, 5}));
  }
}

TEST_P(BlobContract, ReturnsManyBlocksInTheOrderAsked) {
  // Two small containers, and a file with large neighbours.
  std::vector<TestBlock> blocks = Blocks(100, 40, 4096);
  Put(blocks, 1);
  for (const TestBlock& block : Blocks(200, 40, 1000)) blocks.push_back(block);
  Put({blocks.begin() + 40, blocks.end()}, 1);
  std::vector<TestBlock> mixed;
  for (uint64_t i = 0; i < 60; ++i)
    mixed.push_back(MakeBlock(300 + i, i % 9 == 4 ? 900'000 : 3000));
  Put(mixed, 1);
  blocks.insert(blocks.end(), mixed.begin(), mixed.end());

  std::vector<size_t> order;
  for (size_t i = 0; i < blocks.size(); ++i) order.push_back(i);
  for (size_t i = 0; i < blocks.size(); i += 3) order.push_back(blocks.size() - 1 - i);
  order.push_back(7);
  order.push_back(7);
  std::vector<Digest> digests;
  for (const size_t i : order) digests.push_back(blocks[i].digest);
  const auto chunks = blobs().GetMany(digests);
  ASSERT_THAT(chunks, IsOk());
  ASSERT_EQ(chunks->size(), order.size());
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ((*chunks)[i].bytes, blocks[order[i]].bytes);

  EXPECT_TRUE(blobs().GetMany({})->empty());
  digests.insert(digests.begin() + 5, MakeBlock(1, 10).digest);
  EXPECT_TRUE(absl::IsNotFound(blobs().GetMany(digests).status()));
}

TEST_P(BlobContract, NothingIsVisibleBeforeTheFlush) {
  const TestBlock block = MakeBlock(1, 100);
  auto batch = *blobs().NewBatch(1);
  EXPECT_TRUE(*batch->Add(block.digest, block.crc32, block.bytes));
  EXPECT_FALSE(Has(block));
  EXPECT_EQ(batch->durable_bytes(), 0u);
  ASSERT_THAT(batch->Flush(), IsOk());
  EXPECT_TRUE(Has(block));
  EXPECT_EQ(batch->durable_bytes(), 100u);
}

TEST_P(BlobContract, ADroppedSmallBatchLeavesNothing) {
  const TestBlock block = MakeBlock(1, 100);
  {
    auto batch = *blobs().NewBatch(1);
    ASSERT_THAT(batch->Add(block.digest, block.crc32, block.bytes), IsOk());
  }
  EXPECT_FALSE(Has(block));
}

TEST_P(BlobContract, WritesABlockOnce) {
  const TestBlock block = MakeBlock(1, 1000);
  auto first = *blobs().NewBatch(1);
  EXPECT_TRUE(*first->Add(block.digest, block.crc32, block.bytes));
  EXPECT_FALSE(*first->Add(block.digest, block.crc32, block.bytes));
  ASSERT_THAT(first->Flush(), IsOk());
  EXPECT_FALSE(*first->Add(block.digest, block.crc32, block.bytes));
  auto second = *blobs().NewBatch(2);
  EXPECT_FALSE(*second->Add(block.digest, block.crc32, block.bytes));
  ASSERT_THAT(second->Flush(), IsOk());
  EXPECT_EQ(Info(block)->epoch, 2u);
  EXPECT_EQ(second->durable_bytes(), 0u);
}

TEST_P(BlobContract, RefusesBlocksOutOfBounds) {
  auto batch = *blobs().NewBatch(1);
  const std::string huge(kBlockBytes + 1, 'x');
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(batch->Add(Sha256Of(""), 0, ""), IsError(code, "size is 0, want 1 to 1048576"));
  EXPECT_THAT(batch->Add(Sha256Of(huge), Crc32(huge), huge), IsError(code, "size is 1048577"));
}

TEST_P(BlobContract, UnknownBlockIsNotFoundByName) {
  const TestBlock block = MakeBlock(1, 10);
  EXPECT_THAT(blobs().Get(block.digest), IsError(absl::StatusCode::kNotFound, block.digest.Hex()));
  EXPECT_EQ(Info(block), std::nullopt);
}

TEST_P(BlobContract, ChunksStayPinnedWhenTheBlockIsRemoved) {
  const auto blocks = Blocks(1, 4, kBlockBytes);
  Put(blocks, 1);
  std::vector<Chunk> chunks;
  for (const TestBlock& block : blocks) chunks.push_back(*blobs().Get(block.digest));
  for (const TestBlock& block : blocks) {
    EXPECT_EQ(*blobs().RemoveIfOlder({block.digest}, 2), 1u);
  }
  Put(Blocks(100, 20, kBlockBytes), 1);
  for (size_t i = 0; i < blocks.size(); ++i) EXPECT_EQ(chunks[i].bytes, blocks[i].bytes);
}

TEST_P(BlobContract, TouchRaisesAndNeverLowers) {
  const TestBlock block = MakeBlock(1, 10);
  Put({block}, 5);
  EXPECT_EQ((*blobs().Touch({block.digest}, 3))[0]->epoch, 5u);
  EXPECT_EQ((*blobs().Touch({block.digest}, 9))[0]->epoch, 9u);
  EXPECT_EQ(Info(block)->epoch, 9u);
}

TEST_P(BlobContract, RemovesOnlyWhatIsOlder) {
  const auto old_blocks = Blocks(1, 3, 1000);
  const auto new_blocks = Blocks(50, 3, 1000);
  const TestBlock touched = MakeBlock(99, 1000);
  Put(old_blocks, 1);
  Put({touched}, 1);
  Put(new_blocks, 2);
  ASSERT_THAT(blobs().Touch({touched.digest}, 2), IsOk());
  std::vector<Digest> all = {touched.digest, MakeBlock(77, 3).digest};
  for (const TestBlock& block : old_blocks) all.push_back(block.digest);
  for (const TestBlock& block : new_blocks) all.push_back(block.digest);
  all.push_back(old_blocks[0].digest);
  EXPECT_EQ(*blobs().RemoveIfOlder(all, 2), 3u);
  for (const TestBlock& block : old_blocks) EXPECT_FALSE(Has(block));
  for (const TestBlock& block : new_blocks) EXPECT_TRUE(Has(block));
  EXPECT_TRUE(Has(touched));
}

TEST_P(BlobContract, ARemovedBlockCanComeBack) {
  const TestBlock small = MakeBlock(1, 1000);
  const auto big = Blocks(5, 3, kBlockBytes);
  for (Epoch epoch = 1; epoch < 4; ++epoch) {
    Put({small}, epoch);
    Put(big, epoch);
    EXPECT_TRUE(Has(small));
    EXPECT_TRUE(Has(big[1]));
    EXPECT_EQ(*blobs().RemoveIfOlder({small.digest, big[0].digest, big[1].digest, big[2].digest},
                                     epoch + 1),
              4u);
    EXPECT_FALSE(Has(small));
    EXPECT_FALSE(Has(big[1]));
  }
}

TEST_P(BlobContract, AnAddOfAKnownBlockProtectsItAtOnce) {
  const TestBlock block = MakeBlock(1, 1000);
  Put({block}, 1);
  auto batch = *blobs().NewBatch(2);
  EXPECT_FALSE(*batch->Add(block.digest, block.crc32, block.bytes));
  EXPECT_EQ(*blobs().RemoveIfOlder({block.digest}, 2), 0u);
  ASSERT_THAT(batch->Flush(), IsOk());
  EXPECT_TRUE(Has(block));
}

TEST_P(BlobContract, CheckFindsSoundBlocksSoundAndOthersMissing) {
  const TestBlock block = MakeBlock(1, 1000);
  const TestBlock big = MakeBlock(2, kBlockBytes);
  Put({block, big}, 1);
  for (const TestBlock& stored : {block, big}) {
    const auto check = blobs().Check(stored.digest);
    ASSERT_THAT(check, IsOk());
    EXPECT_EQ(check->state, BlobCheck::State::kSound);
    EXPECT_EQ(check->size_bytes, stored.bytes.size());
    EXPECT_EQ(check->problem, "");
  }
  EXPECT_EQ(blobs().Check(MakeBlock(3, 10).digest)->state, BlobCheck::State::kMissing);
}

// What is stored under a digest may be something else: no engine knows better than its caller.
TEST_P(BlobContract, ADamagedBlockIsNotThereUntilItIsAddedAgain) {
  for (const size_t size : {size_t{3000}, size_t{kBlockBytes}}) {
    const TestBlock good = MakeBlock(1, size);
    const TestBlock neighbour = MakeBlock(2, size);
    const TestBlock wrong{MakeBlock(3, size).bytes, good.digest, good.crc32};
    Put({wrong, neighbour}, 5);
    const auto check = blobs().Check(good.digest);
    ASSERT_THAT(check, IsOk());
    EXPECT_EQ(check->state, BlobCheck::State::kWrongBytes);
    EXPECT_NE(check->problem, "");

    EXPECT_EQ(Info(good), std::nullopt);
    EXPECT_TRUE(Has(neighbour));
    EXPECT_THAT(blobs().Get(good.digest), IsError(absl::StatusCode::kDataLoss, good.digest.Hex()));
    EXPECT_TRUE(absl::IsDataLoss(blobs().GetMany({neighbour.digest, good.digest}).status()));

    auto batch = *blobs().NewBatch(2);
    EXPECT_TRUE(*batch->Add(good.digest, good.crc32, good.bytes));
    EXPECT_FALSE(*batch->Add(good.digest, good.crc32, good.bytes));
    EXPECT_EQ(Info(good), std::nullopt) << "not before the flush";
    ASSERT_THAT(batch->Flush(), IsOk());
    EXPECT_THAT(Info(good), Eq(BlobInfo{size, good.crc32, 5})) << "an epoch is never lowered";
    EXPECT_TRUE(Has(good));
    const auto both = blobs().GetMany({neighbour.digest, good.digest});
    ASSERT_THAT(both, IsOk());
    EXPECT_EQ((*both)[1].bytes, good.bytes);
    EXPECT_EQ(blobs().Check(good.digest)->state, BlobCheck::State::kSound);
    EXPECT_EQ(*blobs().RemoveIfOlder({good.digest, neighbour.digest}, 6), 2u);
    EXPECT_FALSE(Has(good));
  }
}

TEST_P(BlobContract, ADamagedBlockCanBeRemoved) {
  const TestBlock good = MakeBlock(1, 3000);
  Put({{MakeBlock(3, 3000).bytes, good.digest, good.crc32}}, 5);
  EXPECT_EQ(blobs().Check(good.digest)->state, BlobCheck::State::kWrongBytes);
  EXPECT_EQ(*blobs().RemoveIfOlder({good.digest}, 5), 0u);
  EXPECT_EQ(*blobs().RemoveIfOlder({good.digest}, 6), 1u);
  EXPECT_EQ(blobs().Check(good.digest)->state, BlobCheck::State::kMissing);
  Put({good}, 7);
  EXPECT_TRUE(Has(good));
}

TEST_P(BlobContract, ScanFindsEveryBlockOnceInItsShard) {
  auto blocks = Blocks(1, 300, 64);
  const auto big = Blocks(1000, 3, kBlockBytes);
  blocks.insert(blocks.end(), big.begin(), big.end());
  Put(blocks, 1);
  std::vector<std::string> want, found;
  for (const TestBlock& block : blocks) want.push_back(block.digest.Hex());
  for (uint32_t shard = 0; shard < BlobStore::kShards; ++shard) {
    std::string cursor;
    do {
      const auto page = blobs().Scan(shard, &cursor);
      ASSERT_THAT(page, IsOk());
      for (const Digest& digest : *page) {
        EXPECT_EQ(digest.bytes[0] >> 4, static_cast<int>(shard));
        found.push_back(digest.Hex());
      }
    } while (!cursor.empty());
  }
  EXPECT_THAT(found, UnorderedElementsAreArray(want));
  std::string cursor;
  EXPECT_THAT(blobs().Scan(16, &cursor),
              IsError(absl::StatusCode::kInvalidArgument, "shard is 16"));
}

TEST_P(BlobContract, FindsLargeBlocksByTheirCrcWhileTheyAreThere) {
  auto blocks = Blocks(1, 3, kBlockBytes);
  blocks.push_back(MakeBlock(9, kCrcKnownBytes));
  const TestBlock small = MakeBlock(10, kCrcKnownBytes - 1);
  const TestBlock absent = MakeBlock(11, kBlockBytes);
  // Another block of the same CRC, as whoever wants to can make one.
  TestBlock twin = MakeBlock(12, kBlockBytes);
  twin.crc32 = blocks[0].crc32;
  Put(blocks, 1);
  Put({small, twin}, 1);
  const auto all = [](const Digest&) { return true; };
  const auto has = blobs().HasCrcs(
      {absent.crc32, blocks[0].crc32, blocks[3].crc32, small.crc32, blocks[0].crc32}, all);
  ASSERT_THAT(has, IsOk());
  EXPECT_THAT(*has, testing::ElementsAre(false, true, true, false, true));
  EXPECT_THAT(*blobs().HasCrcs({}, all), testing::IsEmpty());

  const auto only = [](const Digest& want) {
    return [want](const Digest& digest) { return digest == want; };
  };
  for (const Digest& digest : {blocks[0].digest, twin.digest}) {
    EXPECT_TRUE(blobs().HasCrcs({blocks[0].crc32}, only(digest))->at(0));
  }
  EXPECT_FALSE(blobs().HasCrcs({blocks[0].crc32}, only(blocks[1].digest))->at(0));
  EXPECT_EQ(*blobs().RemoveIfOlder({blocks[0].digest}, 2), 1u);
  EXPECT_FALSE(blobs().HasCrcs({blocks[0].crc32}, only(blocks[0].digest))->at(0));
  EXPECT_TRUE(blobs().HasCrcs({blocks[0].crc32}, all)->at(0));
}

TEST_P(BlobContract, RacingBatchesWithTheSameBlocksAllSucceed) {
  constexpr int kThreads = 4;
  const auto shared = Blocks(1, 6, kBlockBytes / 2);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::vector<TestBlock> blocks = shared;
      blocks.push_back(MakeBlock(100 + t, 1000));
      Put(blocks, 1 + t);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const TestBlock& block : shared) {
    EXPECT_TRUE(Has(block));
    EXPECT_EQ(Info(block)->epoch, static_cast<Epoch>(kThreads));
  }
  for (int t = 0; t < kThreads; ++t) EXPECT_TRUE(Has(MakeBlock(100 + t, 1000)));
}

}  // namespace
}  // namespace ballast

// What garbage collection relies on: epochs, intents and conditional removal keep
// every block of a published version, with pushes running.
#include <atomic>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/model_record.h"
#include "tests/store/mark_and_sweep.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

class Collection : public ::testing::TestWithParam<std::string> {
 protected:
  absl::StatusOr<uint64_t> Collect(bool careful = true) {
    return MarkAndSweep(catalog_.get(), stores_->blobs(), stores_->records(), careful);
  }
  absl::Status Check(const VersionInfo& version) {
    return CheckVersion(catalog_.get(), stores_->blobs(), version);
  }

  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
  const std::unique_ptr<Catalog> catalog_ =
      *Catalog::Open(stores_->blobs(), stores_->records(), Limits());
};
INSTANTIATE_TEST_SUITE_P(Engines, Collection, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

// Adds the block, then collects, then publishes.
absl::StatusOr<VersionInfo> PushAcross(Catalog* catalog, const TestBlock& block,
                                       const std::function<void()>& between) {
  ASSIGN_OR_RETURN(const auto push, catalog->BeginPush("m", ""));
  RETURN_IF_ERROR(push->Add(block.digest, block.crc32, block.bytes).status());
  between();
  return push->Publish(MakeManifest({block}), {});
}

TEST_P(Collection, RemovesWhatNoVersionUses) {
  const auto kept = *PushBlocks(catalog_.get(), "m", {MakeBlock(1, 100), MakeBlock(2, 900'000)});
  const auto dropped = *PushBlocks(catalog_.get(), "m", {MakeBlock(1, 100), MakeBlock(3, 900'000)});
  ASSERT_EQ(*stores_->records()->Commit(ModelRecord("m"), {},
                                        {{VersionKey(dropped.version), std::nullopt}}),
            CommitOutcome::kApplied);
  EXPECT_EQ(*Collect(), 2u);  // one tensor block, one manifest block
  EXPECT_THAT(Check(kept), IsOk());
  EXPECT_THAT(stores_->blobs()->Get(MakeBlock(3, 900'000).digest),
              IsError(absl::StatusCode::kNotFound, "no such block"));
}

TEST_P(Collection, FencesAPushThatBeganBefore) {
  EXPECT_THAT(
      PushAcross(catalog_.get(), MakeBlock(1, 100), [&] { EXPECT_THAT(Collect(), IsOk()); }),
      IsError(absl::StatusCode::kFailedPrecondition, "push again"));
}

TEST_P(Collection, WithoutFenceAndEpochAPublishedBlockIsLost) {
  const TestBlock block = MakeBlock(1, 100);
  {
    const auto dropped = *catalog_->BeginPush("m", "");
    ASSERT_THAT(dropped->Add(block.digest, block.crc32, block.bytes), IsOk());
    // Published nowhere, but its block is in the store.
    ASSERT_THAT(dropped->Publish(MakeManifest({}), {}), IsOk());
  }
  const auto version =
      PushAcross(catalog_.get(), block, [&] { EXPECT_EQ(*Collect(/*careful=*/false), 1u); });
  ASSERT_THAT(version, IsOk());
  EXPECT_THAT(Check(*version), IsError(absl::StatusCode::kNotFound, "no such block"));
}

TEST_P(Collection, LosesNothingOfAPublishedVersionWhilePushesRun) {
  constexpr int kPushers = 4;
  constexpr int kPushes = 25;
  std::atomic<int> running = kPushers;
  std::atomic<int> fenced = 0;
  std::vector<std::vector<VersionInfo>> published(kPushers);
  std::vector<std::thread> pushers;
  for (int p = 0; p < kPushers; ++p) {
    pushers.emplace_back([&, p] {
      std::mt19937 random(p);
      for (int i = 0; i < kPushes; ++i) {
        // From a small pool, so that pushes meet each other's blocks and the garbage.
        std::vector<TestBlock> blocks;
        for (int b = 0; b < 6; ++b) {
          const uint64_t seed = random() % 20;
          blocks.push_back(MakeBlock(seed, seed % 3 == 0 ? 700'000 : 300));
        }
        const auto push = catalog_->BeginPush(absl::StrCat("m", p % 2), "");
        ASSERT_THAT(push, IsOk());
        for (const TestBlock& block : blocks) {
          ASSERT_THAT((*push)->Add(block.digest, block.crc32, block.bytes), IsOk());
        }
        if (random() % 2 == 0) continue;  // dropped
        const auto version = (*push)->Publish(MakeManifest(blocks), {});
        if (absl::IsFailedPrecondition(version.status())) {
          ++fenced;
          continue;
        }
        ASSERT_THAT(version, IsOk());
        published[p].push_back(*version);
        // Unpublished again, every other time: its blocks become garbage.
        if (random() % 2 == 0) continue;
        ASSERT_THAT(stores_->records()->Commit(ModelRecord(version->model), {},
                                               {{VersionKey(version->version), std::nullopt}}),
                    IsOk());
        published[p].pop_back();
      }
      --running;
    });
  }
  uint64_t removed = 0;
  while (running > 0) {
    const auto collected = Collect();
    ASSERT_THAT(collected, IsOk());
    removed += *collected;
  }
  for (std::thread& pusher : pushers) pusher.join();
  removed += *Collect();
  EXPECT_GT(removed, 0u);
  for (const auto& versions : published) {
    for (const VersionInfo& version : versions) {
      EXPECT_THAT(Check(version), IsOk()) << version.model << ":" << version.version;
    }
  }
}

}  // namespace
}  // namespace ballast

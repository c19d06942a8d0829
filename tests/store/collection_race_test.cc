// Collections race pushes, deletions and undeletions of the same few blocks, and lose
// nothing of a version that can be pulled. The same races with one protection left out
// must lose blocks: else they would show nothing.
#include <atomic>
#include <cstdlib>
#include <deque>
#include <limits>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/collector.h"
#include "storage/store/model_record.h"
#include "tests/store/store_fixture.h"
#include "tests/support/forwarding_stores.h"

namespace ballast {
namespace {

// What is left out.
enum class Missing {
  kNothing,
  kEpochs,  // a collection removes every block that it has not marked
  kFence,   // it does not look at push intents, and pushes do not look at its epochs
};

class BlindBlobs : public ForwardingBlobs {
 public:
  using ForwardingBlobs::ForwardingBlobs;
  absl::StatusOr<uint64_t> RemoveIfOlder(absl::Span<const Digest> digests, Epoch) override {
    return ForwardingBlobs::RemoveIfOlder(digests, std::numeric_limits<Epoch>::max());
  }
  absl::StatusOr<std::vector<std::optional<BlobInfo>>> Touch(absl::Span<const Digest> digests,
                                                             Epoch epoch) override {
    ASSIGN_OR_RETURN(auto infos, ForwardingBlobs::Touch(digests, epoch));
    for (std::optional<BlobInfo>& info : infos) {
      if (info.has_value()) info->epoch = 0;
    }
    return infos;
  }
};

// Shows no push intents.
class HidingRecords : public ForwardingRecords {
 public:
  using ForwardingRecords::ForwardingRecords;
  absl::StatusOr<RecordPage> List(absl::string_view record, absl::string_view after,
                                  absl::string_view prefix, size_t limit) override {
    if (prefix == kIntentPrefix) return RecordPage();
    return ForwardingRecords::List(record, after, prefix, limit);
  }
};

// Always in the first epoch.
class StaleRecords : public ForwardingRecords {
 public:
  using ForwardingRecords::ForwardingRecords;
  absl::StatusOr<std::vector<std::optional<std::string>>> Read(
      absl::string_view record, absl::Span<const std::string> keys) override {
    if (record != kGcRecord) return ForwardingRecords::Read(record, keys);
    return std::vector<std::optional<std::string>>(keys.size());
  }
  absl::StatusOr<std::unique_ptr<RecordWatch>> Watch(absl::string_view,
                                                     std::function<void()>) override {
    return absl::UnavailableError("no watch");
  }
};

Limits RaceLimits(uint64_t lease_ms) {
  Limits limits;
  limits.undelete_window_ms = 0;
  limits.push_lease_ms = lease_ms;
  limits.gc_mark_bytes_max = 40 * 50;  // several passes
  return limits;
}

// A store with pushers and a collector, of which one thing may be missing.
class Arena {
 public:
  Arena(const std::string& engine, Missing missing)
      : stores_(OpenStores(engine)),
        blind_(stores_->blobs()),
        hiding_(stores_->records()),
        stale_(stores_->records()),
        catalog_(*Catalog::Open(
            stores_->blobs(),
            missing == Missing::kFence ? static_cast<RecordStore*>(&stale_) : stores_->records(),
            RaceLimits(60'000))),
        collector_blobs_(missing == Missing::kEpochs ? &blind_ : stores_->blobs()),
        collector_records_(missing == Missing::kFence ? static_cast<RecordStore*>(&hiding_)
                                                      : stores_->records()) {}

  Catalog* catalog() { return catalog_.get(); }
  BlobStore* blobs() { return stores_->blobs(); }
  absl::StatusOr<Collection> Collect(
      uint64_t lease_ms, std::function<absl::Status(const CollectProgress&)> progress = nullptr) {
    Collector collector(catalog_.get(), collector_blobs_, collector_records_, RaceLimits(lease_ms));
    return collector.Collect({false, std::move(progress)});
  }

 private:
  const std::unique_ptr<TestStores> stores_;
  BlindBlobs blind_;
  HidingRecords hiding_;
  StaleRecords stale_;
  const std::unique_ptr<Catalog> catalog_;
  BlobStore* const collector_blobs_;
  RecordStore* const collector_records_;
};

struct Tally {
  std::atomic<uint64_t> published = 0, fenced = 0, dropped = 0, deleted = 0, undeleted = 0;
  std::atomic<uint64_t> lost = 0;  // versions that lack a block
};

// One thread that pushes, checks, deletes and brings back versions of its own.
class Pusher {
 public:
  Pusher(Arena* arena, Tally* tally, uint64_t seed)
      : arena_(arena), tally_(tally), model_(absl::StrCat("m", seed % 3)), random_(seed) {}

  void Step() {
    std::vector<TestBlock> blocks;
    for (uint64_t n = 1 + random_() % 6; n > 0; --n) {
      const uint64_t seed = random_() % 60;
      blocks.push_back(MakeBlock(seed, 16 + seed));
    }
    const auto version = Push(blocks);
    if (!version.has_value()) return;
    ++tally_->published;
    Check(*version);
    own_.push_back(*version);
    if (own_.size() > 3) Unpublish();
  }

  void CheckAll() {
    for (const VersionInfo& version : own_) Check(version);
  }

 private:
  std::optional<VersionInfo> Push(const std::vector<TestBlock>& blocks) {
    const auto push = arena_->catalog()->BeginPush(model_, "");
    EXPECT_THAT(push, IsOk());
    if (!push.ok()) return std::nullopt;
    for (const TestBlock& block : blocks) {
      absl::Status added;
      if (random_() % 2 == 0) {
        const auto known = (*push)->Known({block.digest});
        added = known.status();
        if (known.ok() && (*known)[0].has_value()) continue;
      }
      if (added.ok()) added = (*push)->Add(block.digest, block.crc32, block.bytes).status();
      if (!added.ok()) return Fenced(added);
    }
    if (random_() % 8 == 0) {
      ++tally_->dropped;
      return std::nullopt;
    }
    const auto version = (*push)->Publish(MakeManifest(blocks), {});
    if (!version.ok()) return Fenced(version.status());
    return *version;
  }

  std::optional<VersionInfo> Fenced(const absl::Status& status) {
    EXPECT_THAT(status, IsError(absl::StatusCode::kUnavailable, "push again"));
    ++tally_->fenced;
    return std::nullopt;
  }

  void Check(const VersionInfo& version) {
    if (!CheckVersion(arena_->catalog(), arena_->blobs(), version).ok()) ++tally_->lost;
  }

  void Unpublish() {
    const VersionInfo oldest = own_.front();
    own_.pop_front();
    EXPECT_THAT(arena_->catalog()->DeleteVersions(model_, {oldest.version}, false, {}), IsOk());
    ++tally_->deleted;
    if (random_() % 4 != 0) return;
    const absl::Status back = arena_->catalog()->UndeleteVersion(model_, oldest.version, {});
    if (!back.ok()) {
      EXPECT_TRUE(absl::IsNotFound(back) || absl::IsUnavailable(back) || absl::IsDataLoss(back))
          << back;
      if (absl::IsDataLoss(back)) ++tally_->lost;
      return;
    }
    ++tally_->undeleted;
    Check(oldest);
    own_.push_back(oldest);
  }

  Arena* const arena_;
  Tally* const tally_;
  const std::string model_;
  std::mt19937_64 random_;
  std::deque<VersionInfo> own_;
};

// Until so many versions are published or (with something missing) one is lost.
void Race(Arena* arena, uint64_t versions, bool until_lost, Tally* tally) {
  constexpr int kPushers = 4;
  std::atomic<int> running = kPushers;
  std::vector<std::unique_ptr<Pusher>> pushers;
  std::vector<std::thread> threads;
  for (int p = 0; p < kPushers; ++p) {
    pushers.push_back(std::make_unique<Pusher>(arena, tally, p));
    threads.emplace_back([&, pusher = pushers.back().get()] {
      while (tally->published < versions && !(until_lost && tally->lost > 0)) pusher->Step();
      --running;
    });
  }
  uint64_t collections = 0, freed = 0, passes = 0;
  while (running > 0) {
    // Patient with pushes, and not, in turn.
    const auto collected = arena->Collect(collections % 2 == 0 ? 0 : 60'000);
    ++collections;
    if (until_lost && absl::IsDataLoss(collected.status())) ++tally->lost;
    if (!until_lost) {
      EXPECT_THAT(collected, IsOk());
    }
    if (!collected.ok()) continue;
    freed += collected->blocks_freed;
    passes += collected->passes;
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& pusher : pushers) pusher->CheckAll();
  std::printf(
      "%llu published, %llu fenced, %llu dropped, %llu deleted, %llu undeleted; "
      "%llu collections, %llu passes, %llu blocks freed; %llu versions LOST blocks\n",
      static_cast<unsigned long long>(tally->published),
      static_cast<unsigned long long>(tally->fenced),
      static_cast<unsigned long long>(tally->dropped),
      static_cast<unsigned long long>(tally->deleted),
      static_cast<unsigned long long>(tally->undeleted),
      static_cast<unsigned long long>(collections), static_cast<unsigned long long>(passes),
      static_cast<unsigned long long>(freed), static_cast<unsigned long long>(tally->lost));
}

uint64_t Versions(uint64_t quick) {
  const char* text = std::getenv("BALLAST_LONG");
  return text != nullptr && absl::string_view(text) == "1" ? 10'000 : quick;
}

class CollectionRace : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Engines, CollectionRace, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(CollectionRace, LosesNothingOfAPublishedVersion) {
  Arena arena(GetParam(), Missing::kNothing);
  Tally tally;
  const uint64_t versions = Versions(GetParam() == "memory" ? 2000 : 400);
  Race(&arena, versions, /*until_lost=*/false, &tally);
  EXPECT_GE(tally.published, versions);
  EXPECT_EQ(tally.lost, 0u);
  EXPECT_GT(tally.deleted, 0u);
  // Afterwards exactly what is in use is left.
  const auto last = arena.Collect(0);
  ASSERT_THAT(last, IsOk());
  uint64_t blocks = 0;
  for (uint32_t shard = 0; shard < BlobStore::kShards; ++shard) {
    std::string cursor;
    do {
      blocks += arena.blobs()->Scan(shard, &cursor)->size();
    } while (!cursor.empty());
  }
  EXPECT_EQ(blocks, last->blocks_live);
}

TEST_P(CollectionRace, WithoutEpochsItLosesBlocks) {
  Arena arena(GetParam(), Missing::kEpochs);
  Tally tally;
  Race(&arena, 100'000, /*until_lost=*/true, &tally);
  EXPECT_GT(tally.lost, 0u);
}

TEST_P(CollectionRace, WithoutFenceItLosesBlocks) {
  Arena arena(GetParam(), Missing::kFence);
  Tally tally;
  Race(&arena, 100'000, /*until_lost=*/true, &tally);
  EXPECT_GT(tally.lost, 0u);
}

// The same two ways to lose a block, step by step.
absl::Status PushWhileItSweeps(Arena* arena, const TestBlock& garbage) {
  std::unique_ptr<CatalogPush> push;
  RETURN_IF_ERROR(
      arena
          ->Collect(0,
                    [&](const CollectProgress& progress) {
                      const bool first = progress.phase == CollectProgress::Phase::kSweep && !push;
                      if (!first) return absl::OkStatus();
                      push = *arena->catalog()->BeginPush("m", "");
                      return push->Add(garbage.digest, garbage.crc32, garbage.bytes).status();
                    })
          .status());
  ASSIGN_OR_RETURN(const VersionInfo version, push->Publish(MakeManifest({garbage}), {}));
  return CheckVersion(arena->catalog(), arena->blobs(), version);
}

void MakeGarbage(Arena* arena, const TestBlock& block) {
  const auto push = *arena->catalog()->BeginPush("m", "");
  ASSERT_THAT(push->Add(block.digest, block.crc32, block.bytes), IsOk());
  ASSERT_THAT(push->Publish(MakeManifest({}), {}), IsOk());
}

TEST_P(CollectionRace, ABlockThatIsTakenUpAfterTheMarksIsKeptByItsEpochAlone) {
  const TestBlock block = MakeBlock(1, 100);
  for (const Missing missing : {Missing::kNothing, Missing::kEpochs}) {
    Arena arena(GetParam(), missing);
    MakeGarbage(&arena, block);
    const absl::Status pushed = PushWhileItSweeps(&arena, block);
    if (missing == Missing::kNothing) {
      EXPECT_THAT(pushed, IsOk());
    } else {
      EXPECT_THAT(pushed, IsError(absl::StatusCode::kNotFound, block.digest.Hex()));
    }
  }
}

TEST_P(CollectionRace, APushOfAnOldEpochIsStoppedByTheFenceAlone) {
  const TestBlock block = MakeBlock(1, 100);
  Arena arena(GetParam(), Missing::kFence);
  MakeGarbage(&arena, block);
  const auto push = *arena.catalog()->BeginPush("m", "");
  ASSERT_THAT(push->Add(block.digest, block.crc32, block.bytes), IsOk());
  ASSERT_THAT(arena.Collect(0), IsOk());
  const auto version = push->Publish(MakeManifest({block}), {});
  ASSERT_THAT(version, IsOk());
  EXPECT_THAT(CheckVersion(arena.catalog(), arena.blobs(), *version),
              IsError(absl::StatusCode::kNotFound, block.digest.Hex()));
}

}  // namespace
}  // namespace ballast

// Pushes that are left, by their client or with their server: what they stored waits for
// them, and not for ever.
#include <utility>

#include "storage/base/status.h"
#include "storage/store/collector.h"
#include "storage/store/epoch.h"
#include "storage/store/model_record.h"
#include "tests/store/store_fixture.h"
#include "tests/support/forwarding_stores.h"

namespace ballast {
namespace {

constexpr absl::Duration kLease = absl::Minutes(1);

class LeftPush : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Catalog> Server(EngineUse use = EngineUse::kSole) {
    return *Catalog::Open(
        stores_->blobs(), stores_->records(), limits_, [this] { return now_; }, use);
  }
  Collection Collect(Catalog* catalog) {
    Collector collector(catalog, stores_->blobs(), stores_->records(), limits_,
                        [this] { return now_; });
    const auto collected = collector.Collect({});
    EXPECT_THAT(collected, IsOk());
    return collected.value_or(Collection());
  }
  // Of all models' pushes.
  size_t Intents(const std::string& model = "m") {
    const auto page = stores_->records()->List(ModelRecord(model), "", kIntentPrefix, 100);
    return page.ok() ? page->items.size() : SIZE_MAX;
  }
  bool Has(const TestBlock& block) {
    return (*stores_->blobs()->Touch({block.digest}, 0))[0].has_value();
  }
  static absl::Status Add(CatalogPush* push, const TestBlock& block) {
    return push->Add(block.digest, block.crc32, block.bytes).status();
  }
  // A push that stored `blocks` and was left.
  void Leave(Catalog* catalog, const std::string& request, const std::vector<TestBlock>& blocks) {
    const auto push = *catalog->BeginPush("m", request);
    for (const TestBlock& block : blocks) ASSERT_THAT(Add(push.get(), block), IsOk());
    ASSERT_THAT(push->Leave(), IsOk());
  }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const Limits limits_;  // push_lease_ms: a minute
  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
  const TestBlock small_ = MakeBlock(1, 100), big_ = MakeBlock(2, 900'000),
                  last_ = MakeBlock(3, 70'000);
};
INSTANTIATE_TEST_SUITE_P(Engines, LeftPush, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(LeftPush, FindsItsBlocksWhenItComesBack) {
  const auto catalog = Server();
  Leave(catalog.get(), "r", {small_, big_});
  EXPECT_EQ(Intents(), 1u);
  EXPECT_EQ(Collect(catalog.get()).pushes_held, 1u);
  EXPECT_THAT(catalog->GetModel("m"), IsError(absl::StatusCode::kNotFound, "no such model"));
  const auto again = *catalog->BeginPush("m", "r");
  const auto known = again->Known({small_.digest, big_.digest, last_.digest});
  ASSERT_THAT(known, IsOk());
  EXPECT_TRUE((*known)[0].has_value() && (*known)[1].has_value());
  EXPECT_FALSE((*known)[2].has_value());
  ASSERT_THAT(Add(again.get(), last_), IsOk());
  const auto version = again->Publish(MakeManifest({small_, big_, last_}), {});
  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(Intents(), 0u) << "the one that was left goes with the version";
  const Collection collected = Collect(catalog.get());
  EXPECT_EQ(collected.pushes_held + collected.pushes_fenced + collected.blocks_freed, 0u);
  EXPECT_THAT(CheckVersion(catalog.get(), stores_->blobs(), *version), IsOk());
}

TEST_P(LeftPush, IsGarbageWhenItsLeaseIsOver) {
  const auto catalog = Server();
  Leave(catalog.get(), "r", {small_, big_});
  now_ += kLease - absl::Milliseconds(1);
  EXPECT_EQ(Collect(catalog.get()).blocks_freed, 0u);
  EXPECT_TRUE(Has(small_) && Has(big_));
  now_ += absl::Milliseconds(1);
  const Collection collected = Collect(catalog.get());
  EXPECT_EQ(collected.pushes_fenced, 1u);
  EXPECT_EQ(collected.pushes_held, 0u);
  EXPECT_EQ(collected.blocks_freed, 2u);
  EXPECT_FALSE(Has(small_) || Has(big_));
  EXPECT_EQ(Intents(), 0u);
}

TEST_P(LeftPush, KeepsOlderGarbageFromNobody) {
  const auto catalog = Server();
  const TestBlock before = MakeBlock(10, 500), after = MakeBlock(11, 500);
  const auto make_garbage = [&](const TestBlock& block) {
    const auto push = *catalog->BeginPush("other", "");
    ASSERT_THAT(Add(push.get(), block), IsOk());
    ASSERT_THAT(push->Publish(MakeManifest({}), {}), IsOk());
  };
  make_garbage(before);
  ASSERT_THAT(RaiseEpoch(stores_->records()), IsOk());
  Leave(catalog.get(), "r", {big_});
  ASSERT_THAT(RaiseEpoch(stores_->records()), IsOk());
  make_garbage(after);
  const Collection collected = Collect(catalog.get());
  EXPECT_EQ(collected.pushes_held, 1u);
  EXPECT_FALSE(Has(before));
  EXPECT_TRUE(Has(big_));
  EXPECT_TRUE(Has(after)) << "it may be as old as what is held";
  now_ += kLease;
  Collect(catalog.get());
  EXPECT_FALSE(Has(big_) || Has(after));
}

TEST_P(LeftPush, LeftAgainAndAgainIsOneIntent) {
  const auto catalog = Server();
  for (uint64_t i = 0; i < 5; ++i) {
    Leave(catalog.get(), "r", {small_, MakeBlock(20 + i, 300)});
    now_ += kLease / 2;
  }
  EXPECT_EQ(Intents(), 1u);
  EXPECT_EQ(Collect(catalog.get()).pushes_held, 1u) << "the lease begins with the last one";
  EXPECT_TRUE(Has(MakeBlock(20, 300)));
}

TEST_P(LeftPush, WithoutABlockLeavesNothing) {
  const auto catalog = Server();
  {
    const auto push = *catalog->BeginPush("m", "r");
    EXPECT_THAT(push->Leave(), IsOk());
  }
  EXPECT_EQ(Intents(), 0u);
}

TEST_P(LeftPush, PublishedBeforeLeavesNothing) {
  const auto catalog = Server();
  const auto push = *catalog->BeginPush("m", "r");
  ASSERT_THAT(Add(push.get(), small_), IsOk());
  ASSERT_THAT(push->Publish(MakeManifest({small_}), {}), IsOk());
  EXPECT_THAT(push->Leave(), IsOk());
  EXPECT_EQ(Intents(), 0u);
}

TEST_P(LeftPush, WhileACollectionWaitsForItIsHeldByIt) {
  const auto catalog = Server();
  const auto push = *catalog->BeginPush("m", "r");
  ASSERT_THAT(Add(push.get(), big_), IsOk());
  // Left right after this collection has listed the intents that it waits for.
  class LeavingRecords : public ForwardingRecords {
   public:
    LeavingRecords(RecordStore* base, CatalogPush* push) : ForwardingRecords(base), push_(push) {}
    absl::StatusOr<RecordPage> List(absl::string_view record, absl::string_view after,
                                    absl::string_view prefix, size_t limit) override {
      auto page = ForwardingRecords::List(record, after, prefix, limit);
      if (prefix == kIntentPrefix && push_ != nullptr && page.ok() && !page->items.empty()) {
        EXPECT_THAT(std::exchange(push_, nullptr)->Leave(), IsOk());
      }
      return page;
    }

   private:
    CatalogPush* push_;
  } leaving(stores_->records(), push.get());
  const auto collected = Collector(catalog.get(), stores_->blobs(), &leaving, limits_, [this] {
                           return now_;
                         }).Collect({});
  ASSERT_THAT(collected, IsOk());
  EXPECT_EQ(collected->pushes_fenced, 0u);
  EXPECT_EQ(collected->blocks_freed, 0u);
  EXPECT_TRUE(Has(big_));
}

TEST_P(LeftPush, FencedCannotBeLeft) {
  const auto catalog = Server();
  const auto push = *catalog->BeginPush("m", "r");
  ASSERT_THAT(Add(push.get(), small_), IsOk());
  const auto page = stores_->records()->List(ModelRecord("m"), "", kIntentPrefix, 10);
  ASSERT_EQ(page->items.size(), 1u);
  ASSERT_THAT(
      stores_->records()->Commit(ModelRecord("m"), {}, {{page->items[0].first, std::nullopt}}),
      IsOk());
  EXPECT_THAT(push->Leave(), IsError(absl::StatusCode::kUnavailable, "push again"));
  EXPECT_EQ(Intents(), 0u);
}

// The push of a server that was killed: an intent that nobody takes away.
TEST_P(LeftPush, OfADeadServerIsNotWaitedForAndHeldFromTheNextOnesStart) {
  const TestBlock block = MakeBlock(5, 1000);
  const auto killed = Server();
  const auto push = *killed->BeginPush("m", "r");
  ASSERT_THAT(Add(push.get(), block), IsOk());
  // Durable by a block file of its own or by others' syncs.
  ASSERT_THAT(push->Leave(), IsOk());
  ASSERT_THAT(stores_->records()->Commit(
                  ModelRecord("m"), {},
                  {{LeftIntentKey("r"), std::nullopt},
                   {IntentKey("dead"), EncodeIntent({1, now_, "of another server", {}})}}),
              IsOk());
  now_ += absl::Hours(5);
  const auto next = Server();
  Collection collected = Collect(next.get());
  EXPECT_EQ(collected.pushes_held, 1u);
  EXPECT_EQ(collected.blocks_freed, 0u);
  now_ += kLease;
  collected = Collect(next.get());
  EXPECT_EQ(collected.pushes_fenced, 1u);
  EXPECT_EQ(collected.blocks_freed, 1u);
  EXPECT_FALSE(Has(block));
}

TEST_P(LeftPush, OfAnotherServerMayBeUnderWayWhereTheEngineIsShared) {
  const auto one = Server(EngineUse::kShared), other = Server(EngineUse::kShared);
  const auto push = *one->BeginPush("m", "r");
  ASSERT_THAT(Add(push.get(), small_), IsOk());
  const auto page = stores_->records()->List(ModelRecord("m"), "", kIntentPrefix, 10);
  ASSERT_EQ(page->items.size(), 1u);
  const std::string intent = page->items[0].second;
  EXPECT_EQ(other->WhenLeft(page->items[0].first, intent), std::nullopt);
  EXPECT_EQ(Collect(other.get()).pushes_fenced, 0u) << "waits, and the push takes the epoch over";
  ASSERT_THAT(push->Publish(MakeManifest({small_}), {}), IsOk());
  // Intents as servers wrote them that had no names.
  EXPECT_EQ(other->WhenLeft("p/x", "3 17"), std::nullopt);
  EXPECT_EQ(Server()->WhenLeft("p/x", "3 17"), now_);
  EXPECT_EQ(other->WhenLeft("p/x", "3 17 server 42"), absl::FromUnixMicros(42));
  EXPECT_EQ(other->WhenLeft("p/x", "no intent at all, but words"), std::nullopt);
}

// A disk that is full when a push ends keeps its intent; the next collection, which is what
// makes room, must not wait for it.
TEST_P(LeftPush, ThatCouldNotTakeItsIntentAwayIsNotWaitedFor) {
  class Stubborn : public ForwardingRecords {
   public:
    using ForwardingRecords::ForwardingRecords;
    absl::StatusOr<CommitOutcome> Commit(absl::string_view record,
                                         absl::Span<const RecordCondition> conditions,
                                         absl::Span<const RecordEdit> edits) override {
      if (full) return absl::ResourceExhaustedError("the disk is full");
      return ForwardingRecords::Commit(record, conditions, edits);
    }
    bool full = false;
  } records(stores_->records());
  const auto catalog = *Catalog::Open(stores_->blobs(), &records, limits_, [this] { return now_; });
  {
    const auto push = *catalog->BeginPush("m", "r");
    ASSERT_THAT(Add(push.get(), small_), IsOk());
    records.full = true;
    EXPECT_THAT(push->Leave(), IsError(absl::StatusCode::kResourceExhausted, "full"));
  }
  records.full = false;
  EXPECT_EQ(Intents(), 1u);
  const Collection collected = Collect(catalog.get());
  EXPECT_EQ(collected.pushes_fenced, 1u);
  EXPECT_EQ(collected.blocks_freed, 1u);
}

// A clock that jumps shortens a lease; it neither prolongs one nor loses a version.
TEST_P(LeftPush, AClockThatJumpsEndsTheLease) {
  for (const absl::Duration jump : {absl::Hours(24 * 365), -absl::Hours(24 * 365)}) {
    const auto catalog = Server();
    Leave(catalog.get(), "r", {big_});
    now_ += jump;
    const Collection collected = Collect(catalog.get());
    EXPECT_EQ(collected.pushes_fenced, 1u);
    EXPECT_FALSE(Has(big_));
    const auto version = PushBlocks(catalog.get(), "m", {small_, big_}, absl::FormatDuration(jump));
    ASSERT_THAT(version, IsOk());
    now_ -= jump;
    Collect(catalog.get());
    EXPECT_THAT(CheckVersion(catalog.get(), stores_->blobs(), *version), IsOk());
    ASSERT_THAT(catalog->DeleteVersions("m", {version->version}, false, {}), IsOk());
    // Deleted at a time that is not yet: it can be brought back.
    ASSERT_THAT(catalog->UndeleteVersion("m", version->version, {}), IsOk());
    EXPECT_THAT(CheckVersion(catalog.get(), stores_->blobs(), *version), IsOk());
    ASSERT_THAT(catalog->DeleteVersions("m", {version->version}, false, {}), IsOk());
    now_ += absl::Hours(24 * 8);
    EXPECT_EQ(Collect(catalog.get()).versions_removed, 1u);
  }
}

}  // namespace
}  // namespace ballast

// Collections over both engines: what goes, what stays, what a dry run says, and how
// they get along with pushes.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/collector.h"
#include "storage/store/epoch.h"
#include "storage/store/model_record.h"
#include "tests/store/store_fixture.h"
#include "tests/support/forwarding_stores.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Lets a test hold up the Add of a block: a push that hangs.
class Gate {
 public:
  void Close() { Set(true); }
  void Open() { Set(false); }
  // Waits while the gate is closed.
  void Pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    waiting_ = false;
  }
  // Until somebody stands at the closed gate.
  void AwaitVisitor() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ && closed_; });
  }

 private:
  void Set(bool closed) {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = closed;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  bool waiting_ = false;
};

class GatedBlobs : public ForwardingBlobs {
 public:
  GatedBlobs(BlobStore* base, Gate* gate) : ForwardingBlobs(base), gate_(gate) {}
  absl::StatusOr<std::unique_ptr<BlobBatch>> NewBatch(Epoch epoch) override {
    ASSIGN_OR_RETURN(auto batch, ForwardingBlobs::NewBatch(epoch));
    return std::make_unique<GatedBatch>(std::move(batch), gate_);
  }

 private:
  class GatedBatch : public BlobBatch {
   public:
    GatedBatch(std::unique_ptr<BlobBatch> base, Gate* gate) : base_(std::move(base)), gate_(gate) {}
    absl::StatusOr<bool> Add(const Digest& digest, uint32_t crc32,
                             absl::string_view bytes) override {
      gate_->Pass();
      return base_->Add(digest, crc32, bytes);
    }
    absl::Status Flush() override { return base_->Flush(); }
    uint64_t durable_bytes() const override { return base_->durable_bytes(); }

   private:
    const std::unique_ptr<BlobBatch> base_;
    Gate* const gate_;
  };
  Gate* const gate_;
};

class Collecting : public ::testing::TestWithParam<std::string> {
 protected:
  static Limits TestLimits() {
    Limits limits;
    limits.undelete_window_ms = 1000;
    limits.request_memory_ms = 5000;
    return limits;
  }
  absl::StatusOr<Collection> CollectWith(const Limits& limits, const CollectOptions& options = {}) {
    Collector collector(catalog_.get(), stores_->blobs(), stores_->records(), limits,
                        [this] { return now_; });
    return collector.Collect(options);
  }
  Collection Collect(bool dry_run = false) {
    const auto collected = CollectWith(limits_, {dry_run, nullptr});
    EXPECT_THAT(collected, IsOk());
    return collected.value_or(Collection());
  }
  VersionInfo Push(const std::string& model, const std::vector<TestBlock>& blocks,
                   const CatalogPush::PublishOptions& options = {}) {
    const auto pushed = PushBlocks(catalog_.get(), model, blocks, "", options);
    EXPECT_THAT(pushed, IsOk());
    return pushed.value_or(VersionInfo());
  }
  void Delete(const VersionInfo& version) {
    EXPECT_THAT(catalog_->DeleteVersions(version.model, {version.version}, false, {}), IsOk());
  }
  absl::Status Check(const VersionInfo& version) {
    return CheckVersion(catalog_.get(), stores_->blobs(), version);
  }
  bool Has(const TestBlock& block) { return stores_->blobs()->Get(block.digest).ok(); }
  uint64_t BlockCount() {
    uint64_t count = 0;
    for (uint32_t shard = 0; shard < BlobStore::kShards; ++shard) {
      std::string cursor;
      do {
        count += stores_->blobs()->Scan(shard, &cursor)->size();
      } while (!cursor.empty());
    }
    return count;
  }
  void SetNow(absl::Duration later) { now_ += later; }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const Limits limits_ = TestLimits();
  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
  Gate gate_;
  GatedBlobs gated_{stores_->blobs(), &gate_};
  const std::unique_ptr<Catalog> catalog_ =
      *Catalog::Open(&gated_, stores_->records(), limits_, [this] { return now_; });
};
INSTANTIATE_TEST_SUITE_P(Engines, Collecting, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(Collecting, RemovesADeletedVersionWhenItsWindowIsOver) {
  const TestBlock shared = MakeBlock(1, 100), own = MakeBlock(3, 900'000);
  const VersionInfo kept = Push("m", {shared, MakeBlock(2, 900'000)});
  const VersionInfo dropped = Push("m", {shared, own});
  Delete(dropped);
  Collection collected = Collect();
  EXPECT_EQ(collected.blocks_freed, 0u);
  EXPECT_EQ(collected.versions_live, 1u);
  EXPECT_EQ(collected.versions_held, 1u);
  SetNow(absl::Milliseconds(999));
  EXPECT_EQ(Collect().versions_removed, 0u);
  EXPECT_TRUE(Has(own));
  SetNow(absl::Milliseconds(1));
  collected = Collect();
  EXPECT_EQ(collected.versions_removed, 1u);
  EXPECT_EQ(collected.blocks_freed, 2u);  // of the tensor and of the manifest
  EXPECT_EQ(collected.bytes_freed, 900'000 + EncodeManifest(MakeManifest({shared, own})).size());
  EXPECT_FALSE(Has(own));
  EXPECT_THAT(Check(kept), IsOk());
  EXPECT_THAT(catalog_->UndeleteVersion("m", dropped.version, {}),
              IsError(absl::StatusCode::kNotFound, "m:2: no such version"));
  EXPECT_EQ(Push("m", {own}).version, 3u);
  EXPECT_EQ(Collect().blocks_freed, 0u);
}

TEST_P(Collecting, AVersionThatWasBroughtBackStays) {
  const VersionInfo version = Push("m", {MakeBlock(1, 100), MakeBlock(2, 700'000)});
  Delete(version);
  SetNow(absl::Hours(1));
  ASSERT_THAT(catalog_->UndeleteVersion("m", 1, {}), IsOk()) << "nothing has collected it";
  const Collection collected = Collect();
  EXPECT_EQ(collected.versions_removed + collected.blocks_freed, 0u);
  EXPECT_THAT(Check(version), IsOk());
}

TEST_P(Collecting, RemovesWhatNoVersionEverUsed) {
  const VersionInfo kept = Push("m", {MakeBlock(1, 100)});
  {
    const auto push = *catalog_->BeginPush("n", "");
    for (const TestBlock& block : {MakeBlock(1, 100), MakeBlock(2, 100), MakeBlock(3, 800'000)}) {
      ASSERT_THAT(push->Add(block.digest, block.crc32, block.bytes), IsOk());
    }
    ASSERT_THAT(push->Publish(MakeManifest({MakeBlock(1, 100)}), {}), IsOk());
  }
  const uint64_t before = BlockCount();
  EXPECT_EQ(Collect().blocks_freed, 2u);
  EXPECT_EQ(BlockCount(), before - 2);
  EXPECT_THAT(Check(kept), IsOk());
}

TEST_P(Collecting, KeepsTheBoundSchemaAndNotTheOneBefore) {
  const std::string first = MakeBlock(1, kBlockBytes + 100).bytes;
  const std::string second = MakeBlock(2, kBlockBytes + 100).bytes;
  ASSERT_THAT(catalog_->BindSchema("m", first, ""), IsOk());
  ASSERT_THAT(catalog_->BindSchema("m", second, ""), IsOk());
  const Collection collected = Collect();
  EXPECT_EQ(collected.blocks_freed, 2u);
  EXPECT_EQ(collected.bytes_live, second.size());
  EXPECT_EQ(*catalog_->GetBoundSchema("m"), second);
  ASSERT_THAT(catalog_->UnbindSchema("m", ""), IsOk());
  EXPECT_EQ(Collect().blocks_freed, 2u);
  EXPECT_EQ(BlockCount(), 0u);
}

TEST_P(Collecting, FindsEverythingInLittleMemoryToo) {
  Limits little = limits_;
  little.gc_mark_bytes_max = 0;
  std::vector<VersionInfo> kept;
  uint64_t seed = 0;
  for (int v = 0; v < 12; ++v) {
    std::vector<TestBlock> blocks = {MakeBlock(0, 10)};
    for (int b = 0; b < 9; ++b) blocks.push_back(MakeBlock(++seed, 40));
    const VersionInfo version = Push(absl::StrCat("m", v % 3), blocks);
    if (v % 2 == 0) {
      kept.push_back(version);
    } else {
      Delete(version);
    }
  }
  SetNow(absl::Seconds(1));
  const auto dry = CollectWith(little, {true, nullptr});
  ASSERT_THAT(dry, IsOk());
  const auto collected = CollectWith(little);
  ASSERT_THAT(collected, IsOk());
  for (const Collection& c : {*dry, *collected}) {
    EXPECT_GT(c.passes, 3u);
    EXPECT_EQ(c.blocks_freed, 6u * 10);  // the shared one stays, six manifests go
    EXPECT_EQ(c.blocks_live, 6u * 10 + 1);
    EXPECT_EQ(c.versions_live, 6u);
  }
  EXPECT_EQ(collected->bytes_freed, dry->bytes_freed);
  EXPECT_EQ(BlockCount(), collected->blocks_live);
  for (const VersionInfo& version : kept) EXPECT_THAT(Check(version), IsOk());
}

TEST_P(Collecting, ADryRunChangesNothingAndSaysWhatEachDeletionFrees) {
  const TestBlock common = MakeBlock(1, 1000), first = MakeBlock(2, 200), second = MakeBlock(3, 30);
  const auto manifest_bytes = [](const std::vector<TestBlock>& blocks) {
    return EncodeManifest(MakeManifest(blocks)).size();
  };
  Push("m", {common, first});
  Push("m", {common, second});
  Push("m", {second, MakeBlock(4, 5)});
  Push("m", {MakeBlock(5, 7)});
  EXPECT_THAT(catalog_->DeleteVersions("m", {1}, false, {}), IsOk());
  SetNow(absl::Milliseconds(600));
  EXPECT_THAT(catalog_->DeleteVersions("m", {2}, false, {}), IsOk());
  SetNow(absl::Milliseconds(600));
  ASSERT_THAT(catalog_->SetRetention("m", Retention{1, 0, {}}, {}), IsOk());
  const uint64_t blocks = BlockCount();
  const Collection dry = Collect(/*dry_run=*/true);
  EXPECT_EQ(Collect(/*dry_run=*/true).bytes_freed, dry.bytes_freed);
  EXPECT_EQ(*CurrentEpoch(stores_->records()), 1u);
  EXPECT_EQ(BlockCount(), blocks);
  EXPECT_EQ(dry.versions_removed, 1u);
  EXPECT_EQ(dry.versions_deleted, 1u);
  EXPECT_EQ(dry.bytes_freed, 200 + manifest_bytes({common, first}));
  EXPECT_EQ(dry.bytes_held, 1000 + 30 + 5 + manifest_bytes({common, second}) +
                                manifest_bytes({second, MakeBlock(4, 5)}));
  ASSERT_EQ(dry.deletions.size(), 3u);
  const auto find = [&](uint64_t version) -> const DeletionUse& {
    for (const DeletionUse& use : dry.deletions) {
      if (use.version == version) return use;
    }
    ADD_FAILURE() << version;
    return dry.deletions[0];
  };
  EXPECT_EQ(find(1).why, DeletionUse::Why::kRemoved);
  EXPECT_EQ(find(1).exclusive_bytes, 200 + manifest_bytes({common, first}));
  EXPECT_EQ(find(2).why, DeletionUse::Why::kDeleted);
  EXPECT_EQ(find(2).exclusive_bytes, manifest_bytes({common, second})) << "the rest is shared";
  EXPECT_EQ(find(3).why, DeletionUse::Why::kRetention);
  EXPECT_EQ(find(3).exclusive_bytes, 5 + manifest_bytes({second, MakeBlock(4, 5)}));
  EXPECT_EQ(find(3).until, now_ + absl::Seconds(1));
  // And so it comes.
  const Collection done = Collect();
  EXPECT_EQ(done.bytes_freed, dry.bytes_freed);
  EXPECT_EQ(done.bytes_held, dry.bytes_held);
  EXPECT_EQ(done.versions_removed, 1u);
  EXPECT_EQ(done.versions_deleted, 1u);
  SetNow(absl::Seconds(2));
  EXPECT_EQ(Collect().bytes_freed, dry.bytes_held);
}

TEST_P(Collecting, ADryRunListsAtMostSoManyDeletions) {
  for (uint64_t i = 1; i <= 5; ++i) Push("m", {MakeBlock(i, 10)});
  ASSERT_THAT(catalog_->DeleteAllVersions("m", false, {}), IsOk());
  Limits limits = limits_;
  limits.report_items_max = 2;
  const auto dry = CollectWith(limits, {true, nullptr});
  ASSERT_THAT(dry, IsOk());
  EXPECT_EQ(dry->deletions.size(), 2u);
  EXPECT_EQ(dry->deletions_omitted, 3u);
  EXPECT_EQ(dry->blocks_held, 10u);
}

TEST_P(Collecting, RetentionDeletesWhatNoRuleKeepsSoThatItCanBeBroughtBack) {
  for (uint64_t i = 1; i <= 8; ++i) {
    CatalogPush::PublishOptions options;
    if (i == 2) options.labels = {{"release", "1.0"}};
    if (i == 3) options.alias = "prod";
    Push("m", {MakeBlock(i, 10)}, options);
    Push("n", {MakeBlock(i, 10)});
  }
  ASSERT_THAT(catalog_->SetRetention("m", Retention{2, 0, {{"release", std::nullopt}}}, {}),
              IsOk());
  EXPECT_EQ(Collect().versions_deleted, 4u);
  std::vector<uint64_t> live, deleted;
  const auto listed = catalog_->ListVersions("m", 0, "");
  ASSERT_THAT(listed, IsOk());
  for (const auto& version : listed->versions) {
    live.push_back(version.version);
  }
  const auto removed = catalog_->ListVersions("m", 0, "", VersionSet::kDeleted);
  ASSERT_THAT(removed, IsOk());
  for (const auto& version : removed->versions) {
    deleted.push_back(version.version);
    EXPECT_EQ(version.deletion->principal, "retention");
  }
  EXPECT_THAT(live, ElementsAre(8, 7, 3, 2));
  EXPECT_THAT(deleted, ElementsAre(6, 5, 4, 1));
  EXPECT_EQ(catalog_->GetModel("n")->versions, 8u);
  ASSERT_THAT(catalog_->UndeleteVersion("m", 5, {}), IsOk());
  ASSERT_THAT(catalog_->SetAlias("m", "kept", 5, {}, {}), IsOk());
  SetNow(absl::Seconds(1));
  EXPECT_EQ(Collect().versions_removed, 3u);
  EXPECT_EQ(catalog_->GetModel("m")->versions, 5u);
}

TEST_P(Collecting, RetentionByAgeNeverTakesTheLatest) {
  Push("m", {MakeBlock(1, 10)});
  SetNow(absl::Hours(1));
  Push("m", {MakeBlock(2, 10)});
  ASSERT_THAT(catalog_->SetRetention("m", Retention{0, 1000, {}}, {}), IsOk());
  SetNow(absl::Hours(1));
  EXPECT_EQ(Collect().versions_deleted, 1u);
  EXPECT_EQ(catalog_->GetModel("m")->latest, 2u);
  EXPECT_EQ(Collect().versions_deleted, 0u);
}

TEST_P(Collecting, RetentionOfMoreVersionsThanOneCommitTakes) {
  for (int i = 0; i < 600; ++i) Push("m", {MakeBlock(1, 10)});
  ASSERT_THAT(catalog_->SetRetention("m", Retention{10, 0, {}}, {}), IsOk());
  EXPECT_EQ(Collect().versions_deleted, 590u);
  EXPECT_EQ(catalog_->GetModel("m")->versions, 10u);
  SetNow(absl::Seconds(1));
  EXPECT_EQ(Collect().versions_removed, 590u);
}

TEST_P(Collecting, ForgetsRequestAnswersThatAreOldEnough) {
  const auto push = [&](const std::string& id) {
    return PushBlocks(catalog_.get(), "m", {MakeBlock(1, 10)}, id);
  };
  EXPECT_EQ(push("old")->version, 1u);
  SetNow(absl::Seconds(5));
  EXPECT_EQ(push("new")->version, 2u);
  EXPECT_EQ(Collect().answers_forgotten, 0u);
  EXPECT_EQ(push("old")->version, 1u);
  SetNow(absl::Milliseconds(1));
  EXPECT_EQ(Collect().answers_forgotten, 1u);
  EXPECT_EQ(push("new")->version, 2u);
  EXPECT_EQ(push("old")->version, 3u);
}

TEST_P(Collecting, ForgetsAliasMovesBeyondALoweredLimit) {
  Push("m", {MakeBlock(1, 10)});
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(catalog_->SetAlias("m", absl::StrCat("a", i), 1, {}, {}), IsOk());
  }
  Limits limits = limits_;
  limits.alias_history_max = 4;
  ASSERT_THAT(CollectWith(limits), IsOk());
  EXPECT_EQ(catalog_->ListAliasHistory("m", "", 0, "")->moves.size(), 4u);
  EXPECT_EQ(catalog_->ListAliasHistory("m", "", 0, "")->moves[3].alias, "a5");
}

TEST_P(Collecting, ALivePushTakesTheNewEpochOverAndLosesNothing) {
  const TestBlock known = MakeBlock(1, 100), early = MakeBlock(2, 700'000);
  const TestBlock tiny = MakeBlock(3, 50), late = MakeBlock(4, 60);
  const VersionInfo gone = Push("m", {known});
  const auto push = *catalog_->BeginPush("m", "");
  EXPECT_NE((*push->Known({known.digest}))[0], std::nullopt);
  for (const TestBlock& block : {early, tiny}) {
    ASSERT_THAT(push->Add(block.digest, block.crc32, block.bytes), IsOk());
  }
  Delete(gone);
  SetNow(absl::Seconds(1));
  EXPECT_EQ(Collect().pushes_fenced, 0u);  // waits for it, and not in vain
  EXPECT_EQ(Collect().pushes_fenced, 0u);
  ASSERT_THAT(push->Add(late.digest, late.crc32, late.bytes), IsOk());
  EXPECT_EQ(Collect().pushes_fenced, 0u);
  const auto version = push->Publish(MakeManifest({known, early, tiny, late}), {});
  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(version->bytes_new, 700'110u);
  EXPECT_GE(push->durable_bytes(), 700'110u);
  EXPECT_THAT(Check(*version), IsOk());
  EXPECT_EQ(Collect().blocks_freed, 0u);
  EXPECT_THAT(Check(*version), IsOk());
}

TEST_P(Collecting, APushThatHangsIsFencedAndSaysPushAgain) {
  const TestBlock first = MakeBlock(1, 100), second = MakeBlock(2, 100);
  const auto push = *catalog_->BeginPush("m", "");
  ASSERT_THAT(push->Add(first.digest, first.crc32, first.bytes), IsOk());
  gate_.Close();
  std::thread pusher([&] { push->Add(second.digest, second.crc32, second.bytes).IgnoreError(); });
  gate_.AwaitVisitor();
  Limits impatient = limits_;
  impatient.push_lease_ms = 0;
  const auto collected = CollectWith(impatient);
  gate_.Open();
  pusher.join();
  ASSERT_THAT(collected, IsOk());
  EXPECT_EQ(collected->pushes_fenced, 1u);
  const auto code = absl::StatusCode::kUnavailable;
  EXPECT_THAT(push->Publish(MakeManifest({first, second}), {}), IsError(code, "push again"));
  EXPECT_THAT(push->Add(first.digest, first.crc32, first.bytes), IsError(code, "push again"));
  EXPECT_THAT(push->Known({first.digest}), IsError(code, "push again"));
  EXPECT_THAT(catalog_->GetModel("m"), IsError(absl::StatusCode::kNotFound, "no such model"));
  EXPECT_THAT(PushBlocks(catalog_.get(), "m", {first, second}), IsOk());
}

TEST_P(Collecting, AnIntentThatNobodyHoldsIsRemovedAfterTheLease) {
  const std::string key = IntentKey("of a server that was killed");
  Push("m", {MakeBlock(1, 10)});
  ASSERT_EQ(
      *stores_->records()->Commit(ModelRecord("m"), {}, {{key, EncodeIntent({1, now_, "", {}})}}),
      CommitOutcome::kApplied);
  EXPECT_EQ(Collect(/*dry_run=*/true).pushes_fenced, 1u);
  Limits limits = limits_;
  limits.push_lease_ms = 20;
  EXPECT_EQ(CollectWith(limits)->pushes_fenced, 1u);
  EXPECT_EQ((*stores_->records()->Read(ModelRecord("m"), {key}))[0], std::nullopt);
}

TEST_P(Collecting, OneCollectionRunsAtATime) {
  Collector collector(catalog_.get(), stores_->blobs(), stores_->records(), limits_);
  Push("m", {MakeBlock(1, 10)});
  int asked = 0;
  CollectOptions options;
  options.progress = [&](const CollectProgress&) {
    std::thread([&] {
      const auto second = collector.Collect({});
      EXPECT_THAT(second, IsError(absl::StatusCode::kAborted, "gc: a collection is running"));
      EXPECT_EQ(GetReason(second.status()), Reason::kConflict);
    }).join();
    ++asked;
    return absl::OkStatus();
  };
  EXPECT_THAT(collector.Collect(options), IsOk());
  EXPECT_GT(asked, 3);
  EXPECT_THAT(collector.Collect({}), IsOk());
}

TEST_P(Collecting, StopsWhereItIsToldTo) {
  for (uint64_t i = 0; i < 20; ++i) Push("m", {MakeBlock(i, 10)});
  ASSERT_THAT(catalog_->DeleteAllVersions("m", false, {}), IsOk());
  const VersionInfo kept = Push("m", {MakeBlock(3, 10)});
  SetNow(absl::Seconds(1));
  for (int calls = 0;; ++calls) {
    int left = calls;
    CollectOptions options;
    options.progress = [&](const CollectProgress&) {
      return left-- > 0 ? absl::OkStatus() : absl::CancelledError("enough");
    };
    const auto collected = CollectWith(limits_, options);
    EXPECT_THAT(Check(kept), IsOk());
    if (collected.ok()) break;
    EXPECT_THAT(collected, IsError(absl::StatusCode::kCancelled, "enough"));
  }
  EXPECT_EQ(BlockCount(), 2u);
}

TEST_P(Collecting, ADamagedManifestEndsTheCollectionBeforeAnythingIsRemoved) {
  const VersionInfo version = Push("m", {MakeBlock(1, 10)});
  const TestBlock other = MakeBlock(2, 10);
  Push("n", {other});
  ASSERT_THAT(catalog_->DeleteAllVersions("n", false, {}), IsOk());
  SetNow(absl::Seconds(1));
  const Digest manifest = Sha256Of(EncodeManifest(*catalog_->GetManifest(version)));
  ASSERT_EQ(*stores_->blobs()->RemoveIfOlder({manifest}, 100), 1u);
  EXPECT_THAT(CollectWith(limits_), IsError(absl::StatusCode::kDataLoss, "m:1: manifest: block"));
  EXPECT_TRUE(Has(other));
  EXPECT_TRUE(Has(MakeBlock(1, 10)));
}

TEST_P(Collecting, AnUndeletionOfAVersionWithoutItsBlocksIsDataLoss) {
  const TestBlock block = MakeBlock(1, 10);
  Delete(Push("m", {block}));
  ASSERT_EQ(*stores_->blobs()->RemoveIfOlder({block.digest}, 100), 1u);
  EXPECT_THAT(catalog_->UndeleteVersion("m", 1, {}),
              IsError(absl::StatusCode::kDataLoss, "m:1: a block of it is missing"));
}

}  // namespace
}  // namespace ballast

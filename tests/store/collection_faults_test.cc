// Collections and deletions over an engine that stops at any point, or loses answers.
#include <atomic>
#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/collector.h"
#include "storage/store/model_record.h"
#include "tests/store/store_fixture.h"
#include "tests/support/forwarding_stores.h"
#include "tests/support/memory_engine.h"

namespace ballast {
namespace {

using ::testing::ElementsAreArray;

// Lets so many changes pass; from then on the process is as good as dead.
class Fuse {
 public:
  explicit Fuse(int changes) : left_(changes) {}
  absl::Status Change() {
    if (left_ > 0) {
      --left_;
      return absl::OkStatus();
    }
    blown_ = true;
    return absl::UnavailableError("stopped");
  }
  bool blown() const { return blown_; }

 private:
  std::atomic<int> left_;
  std::atomic<bool> blown_ = false;
};

class StoppingBlobs : public ForwardingBlobs {
 public:
  StoppingBlobs(BlobStore* base, Fuse* fuse) : ForwardingBlobs(base), fuse_(fuse) {}
  absl::StatusOr<std::vector<std::optional<BlobInfo>>> Touch(absl::Span<const Digest> digests,
                                                             Epoch epoch) override {
    if (epoch > 0) RETURN_IF_ERROR(fuse_->Change());
    return ForwardingBlobs::Touch(digests, epoch);
  }
  absl::StatusOr<uint64_t> RemoveIfOlder(absl::Span<const Digest> digests, Epoch epoch) override {
    RETURN_IF_ERROR(fuse_->Change());
    return ForwardingBlobs::RemoveIfOlder(digests, epoch);
  }
  absl::Status ReturnSpace() override {
    RETURN_IF_ERROR(fuse_->Change());
    return ForwardingBlobs::ReturnSpace();
  }

 private:
  Fuse* const fuse_;
};

class StoppingRecords : public ForwardingRecords {
 public:
  StoppingRecords(RecordStore* base, Fuse* fuse) : ForwardingRecords(base), fuse_(fuse) {}
  absl::StatusOr<CommitOutcome> Commit(absl::string_view record,
                                       absl::Span<const RecordCondition> conditions,
                                       absl::Span<const RecordEdit> edits) override {
    RETURN_IF_ERROR(fuse_->Change());
    return ForwardingRecords::Commit(record, conditions, edits);
  }

 private:
  Fuse* const fuse_;
};

// Versions of every kind, and garbage. Window 1 s; "now" is at 10 s.
class Scene {
 public:
  explicit Scene(const std::string& engine) : stores_(OpenStores(engine)) {
    limits_.undelete_window_ms = 1000;
    limits_.push_lease_ms = 0;
    limits_.gc_mark_bytes_max = 0;  // many passes, so many steps
    const auto catalog = Open(stores_->blobs(), stores_->records());
    const TestBlock shared = MakeBlock(0, 30);
    for (uint64_t i = 1; i <= 12; ++i) {
      CatalogPush::PublishOptions options;
      if (i == 2) options.alias = "prod";
      const auto version =
          PushBlocks(catalog.get(), "m", {shared, MakeBlock(i, 10 + i)}, "", options);
      EXPECT_THAT(version, IsOk());
      versions_[i] = *version;
    }
    // 4 to 6 are over, 7 and 8 can be brought back, 1 and 3 are taken by retention.
    EXPECT_THAT(catalog->DeleteVersions("m", {4, 5, 6}, false, {}), IsOk());
    now_ = absl::FromUnixSeconds(10);
    EXPECT_THAT(catalog->DeleteVersions("m", {7, 8}, false, {}), IsOk());
    EXPECT_THAT(catalog->SetRetention("m", Retention{4, 0, {}}, {}), IsOk());
    EXPECT_THAT(catalog->BindSchema("n", MakeBlock(50, 100).bytes, ""), IsOk());
    const auto push = *catalog->BeginPush("dropped", "");
    for (uint64_t i = 100; i < 120; ++i) {
      const TestBlock block = MakeBlock(i, 40);
      EXPECT_THAT(push->Add(block.digest, block.crc32, block.bytes), IsOk());
    }
    EXPECT_THAT(push->Publish(MakeManifest({}), {}), IsOk());
    EXPECT_THAT(stores_->records()->Commit(ModelRecord("m"), {},
                                           {{IntentKey("dead"), EncodeIntent({1, now_, "", {}})}}),
                IsOk());
  }

  std::unique_ptr<Catalog> Open(BlobStore* blobs, RecordStore* records) {
    return *Catalog::Open(blobs, records, limits_, [this] { return now_; });
  }
  absl::StatusOr<Collection> Collect(BlobStore* blobs, RecordStore* records) {
    const auto catalog = Open(blobs, records);
    return Collector(catalog.get(), blobs, records, limits_, [this] { return now_; }).Collect({});
  }
  TestStores* stores() { return stores_.get(); }

  // Whatever can be seen is whole, and what had to stay is there.
  void CheckWhole() {
    const auto catalog = Open(stores_->blobs(), stores_->records());
    std::set<uint64_t> live, deleted;
    const auto listed = catalog->ListVersions("m", 0, "");
    ASSERT_THAT(listed, IsOk());
    for (const VersionInfo& version : listed->versions) {
      live.insert(version.version);
      EXPECT_THAT(CheckVersion(catalog.get(), stores_->blobs(), version), IsOk());
    }
    const auto removed = catalog->ListVersions("m", 0, "", VersionSet::kDeleted);
    ASSERT_THAT(removed, IsOk());
    for (const VersionInfo& version : removed->versions) {
      deleted.insert(version.version);
      EXPECT_EQ(version.digest, versions_.at(version.version).digest);
    }
    EXPECT_EQ(catalog->GetModel("m")->versions, live.size());
    for (const uint64_t version : {2, 9, 10, 11, 12}) EXPECT_EQ(live.count(version), 1u) << version;
    for (const uint64_t version : {7, 8}) EXPECT_EQ(deleted.count(version), 1u) << version;
    for (const uint64_t version : {1, 3})
      EXPECT_EQ(live.count(version) + deleted.count(version), 1u);
    EXPECT_EQ(catalog->GetBoundSchema("n").value_or(""), MakeBlock(50, 100).bytes);
  }

  // Everything that is deleted can be brought back, whole.
  void CheckUndeletions() {
    const auto catalog = Open(stores_->blobs(), stores_->records());
    const auto removed = catalog->ListVersions("m", 0, "", VersionSet::kDeleted);
    ASSERT_THAT(removed, IsOk());
    for (const VersionInfo& version : removed->versions) {
      ASSERT_THAT(catalog->UndeleteVersion("m", version.version, {}), IsOk());
      EXPECT_THAT(CheckVersion(catalog.get(), stores_->blobs(), version), IsOk());
    }
  }

  // After a whole collection nothing is left but what is in use.
  void CheckCollected() {
    const auto collected = Collect(stores_->blobs(), stores_->records());
    ASSERT_THAT(collected, IsOk());
    EXPECT_EQ(collected->versions_live, 6u);  // with that of "dropped"
    EXPECT_EQ(collected->versions_held, 4u);
    uint64_t blocks = 0;
    for (uint32_t shard = 0; shard < BlobStore::kShards; ++shard) {
      std::string cursor;
      do {
        blocks += stores_->blobs()->Scan(shard, &cursor)->size();
      } while (!cursor.empty());
    }
    // Of nine versions of m a block and a manifest each, the shared block, an empty
    // manifest, a schema.
    EXPECT_EQ(blocks, 9u * 2 + 3);
    EXPECT_EQ(collected->blocks_live + collected->blocks_held, blocks);
    const auto intents = stores_->records()->List(ModelRecord("m"), "", kIntentPrefix, 10);
    EXPECT_TRUE(intents->items.empty());
  }

 private:
  Limits limits_;
  absl::Time now_ = absl::FromUnixSeconds(1);
  const std::unique_ptr<TestStores> stores_;
  std::map<uint64_t, VersionInfo> versions_;
};

class CollectionSteps : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Engines, CollectionSteps, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(CollectionSteps, StoppedBetweenAnyTwoItLeavesOldOrNew) {
  int steps = 0;
  for (;; ++steps) {
    SCOPED_TRACE(steps);
    Scene scene(GetParam());
    Fuse fuse(steps);
    StoppingBlobs blobs(scene.stores()->blobs(), &fuse);
    StoppingRecords records(scene.stores()->records(), &fuse);
    const auto collected = scene.Collect(&blobs, &records);
    EXPECT_EQ(collected.ok(), !fuse.blown());
    scene.CheckWhole();
    if (steps % 2 == 0) {
      scene.CheckCollected();
      scene.CheckWhole();
    }
    scene.CheckUndeletions();
    if (::testing::Test::HasFailure() || !fuse.blown()) break;
  }
  EXPECT_GT(steps, 10);
}

TEST_P(CollectionSteps, AnUndeletionThatIsStoppedLeavesOldOrNew) {
  for (int steps = 0;; ++steps) {
    SCOPED_TRACE(steps);
    Scene scene(GetParam());
    Fuse fuse(steps);
    StoppingBlobs blobs(scene.stores()->blobs(), &fuse);
    StoppingRecords records(scene.stores()->records(), &fuse);
    const absl::Status undeleted = scene.Open(&blobs, &records)->UndeleteVersion("m", 4, {});
    ASSERT_THAT(scene.Collect(scene.stores()->blobs(), scene.stores()->records()), IsOk());
    const auto catalog = scene.Open(scene.stores()->blobs(), scene.stores()->records());
    const auto version = catalog->GetVersion(*ParseReference("m:4"));
    if (undeleted.ok()) {
      // The retention rules of the scene have taken it again.
      EXPECT_THAT(version, IsError(absl::StatusCode::kNotFound, "m:4: the version is deleted"));
      EXPECT_THAT(catalog->UndeleteVersion("m", 4, {}), IsOk());
      EXPECT_THAT(CheckVersion(catalog.get(), scene.stores()->blobs(),
                               *catalog->GetVersion(*ParseReference("m:4"))),
                  IsOk());
    } else {
      EXPECT_THAT(version, IsError(absl::StatusCode::kNotFound, "m:4: no such version"));
    }
    if (::testing::Test::HasFailure() || !fuse.blown()) break;
  }
}

TEST_P(CollectionSteps, APushThatIsLeftAndComesBackIsStoppedAnywhere) {
  const TestBlock first = MakeBlock(200, 50), second = MakeBlock(201, 60);
  int steps = 0;
  for (;; ++steps) {
    SCOPED_TRACE(steps);
    Scene scene(GetParam());
    Fuse fuse(steps);
    StoppingBlobs blobs(scene.stores()->blobs(), &fuse);
    StoppingRecords records(scene.stores()->records(), &fuse);
    const auto stopping = scene.Open(&blobs, &records);
    const auto pushed = [&]() -> absl::StatusOr<VersionInfo> {
      {
        ASSIGN_OR_RETURN(const auto push, stopping->BeginPush("left", "r"));
        RETURN_IF_ERROR(push->Add(first.digest, first.crc32, first.bytes).status());
        RETURN_IF_ERROR(push->Leave());
      }
      ASSIGN_OR_RETURN(const auto push, stopping->BeginPush("left", "r"));
      ASSIGN_OR_RETURN(const auto known, push->Known({first.digest, second.digest}));
      EXPECT_TRUE(known[0].has_value() && !known[1].has_value());
      RETURN_IF_ERROR(push->Add(second.digest, second.crc32, second.bytes).status());
      return push->Publish(MakeManifest({first, second}), {});
    }();
    EXPECT_EQ(pushed.ok(), !fuse.blown());
    ASSERT_THAT(scene.Collect(scene.stores()->blobs(), scene.stores()->records()), IsOk());
    scene.CheckWhole();
    const auto catalog = scene.Open(scene.stores()->blobs(), scene.stores()->records());
    const auto version = catalog->GetVersion(*ParseReference("left"));
    EXPECT_EQ(version.ok(), pushed.ok());
    if (version.ok()) {
      EXPECT_THAT(CheckVersion(catalog.get(), scene.stores()->blobs(), *version), IsOk());
    }
    EXPECT_EQ((*scene.stores()->blobs()->Touch({first.digest}, 0))[0].has_value(), pushed.ok());
    const auto intents =
        scene.stores()->records()->List(ModelRecord("left"), "", kIntentPrefix, 10);
    EXPECT_TRUE(intents->items.empty());
    if (::testing::Test::HasFailure() || !fuse.blown()) break;
  }
  EXPECT_GT(steps, 4);
}

// --- lost answers -------------------------------------------------------------------

const Faults kUnsure = {.unknown_applied = 0.1,
                        .unknown_lost = 0.1,
                        .unknown_late = 0.1,
                        .unavailable = 0.02,
                        .short_page = 0.3,
                        .lost_notification = 1};  // all of it in one thread

// Mutations with request ids, tried until they answer something else than "try again",
// and collections between them. What should be there is kept beside.
class RandomWalk {
 public:
  explicit RandomWalk(uint64_t seed) : random_(seed), engine_({}, seed) {
    limits_.undelete_window_ms = 1'000'000;
    catalog_ = *Catalog::Open(engine_.blobs(), engine_.records(), limits_);
    limits_.push_lease_ms = 0;  // no push is under way when a collection begins
    engine_.SetFaults(kUnsure);
  }

  void Step() {
    const std::string id = absl::StrCat("request ", ++steps_);
    const uint64_t version = versions_.empty() ? 0 : 1 + random_() % versions_.size();
    switch (random_() % 6) {
      case 0:
      case 1:
        return Push(id);
      case 2:
        return version == 0 ? Push(id) : Delete(version, id);
      case 3:
        return version == 0 ? Push(id) : Undelete(version, id);
      case 4:
        return version == 0 ? Push(id) : SetAlias(version, id);
      default:
        return Collect();
    }
  }

  void Check() {
    engine_.SetFaults({});
    engine_.records()->ApplyLate();
    std::vector<uint64_t> live, deleted;
    for (uint64_t version = versions_.size(); version > 0; --version) {
      (versions_[version - 1] ? live : deleted).push_back(version);
    }
    EXPECT_THAT(Numbers(VersionSet::kLive), ElementsAreArray(live));
    EXPECT_THAT(Numbers(VersionSet::kDeleted), ElementsAreArray(deleted));
    if (!versions_.empty()) {
      EXPECT_EQ(catalog_->GetModel("m")->versions, live.size());
      EXPECT_EQ(catalog_->GetModel("m")->aliases.count("prod"), alias_ == 0 ? 0u : 1u);
      EXPECT_EQ(catalog_->ListAliasHistory("m", "", 0, "")->moves.size(), moves_);
    }
    EXPECT_THAT(Collector(catalog_.get(), engine_.blobs(), engine_.records(), limits_).Collect({}),
                IsOk());
    for (const uint64_t version : deleted) {
      EXPECT_THAT(catalog_->UndeleteVersion("m", version, {}), IsOk());
    }
    for (uint64_t version = 1; version <= versions_.size(); ++version) {
      const auto info = catalog_->GetVersion(*ParseReference(absl::StrCat("m:", version)));
      ASSERT_THAT(info, IsOk());
      EXPECT_THAT(CheckVersion(catalog_.get(), engine_.blobs(), *info), IsOk());
    }
  }
  uint64_t collections() const { return collections_; }

 private:
  template <typename F>
  auto Insist(F call) {
    auto result = call();
    while (absl::IsUnavailable(GetStatus(result))) result = call();
    return result;
  }
  std::vector<uint64_t> Numbers(VersionSet which) {
    std::vector<uint64_t> numbers;
    const auto page = catalog_->ListVersions("m", 0, "", which);
    if (!page.ok()) return numbers;
    for (const VersionInfo& version : page->versions) numbers.push_back(version.version);
    return numbers;
  }
  void Push(const std::string& id) {
    const uint64_t seed = random_() % 8;
    const auto version = Insist([&] {
      return PushBlocks(catalog_.get(), "m", {MakeBlock(seed, 20), MakeBlock(9, 9)}, id);
    });
    ASSERT_THAT(version, IsOk());
    versions_.push_back(true);
    EXPECT_EQ(version->version, versions_.size());
  }
  void Delete(uint64_t version, const std::string& id) {
    const auto deleted = Insist([&] {
      return catalog_->DeleteVersions("m", {version}, false, {id, ""});
    });
    if (!versions_[version - 1]) {
      EXPECT_THAT(deleted, IsError(absl::StatusCode::kNotFound, "is deleted"));
    } else if (alias_ == version) {
      EXPECT_THAT(deleted, IsError(absl::StatusCode::kFailedPrecondition, "alias prod"));
    } else {
      ASSERT_THAT(deleted, IsOk());
      versions_[version - 1] = false;
    }
  }
  void Undelete(uint64_t version, const std::string& id) {
    const absl::Status undeleted = Insist([&] {
      return catalog_->UndeleteVersion("m", version, {id, ""});
    });
    if (versions_[version - 1]) {
      EXPECT_THAT(undeleted, IsError(absl::StatusCode::kFailedPrecondition, "is not deleted"));
    } else {
      ASSERT_THAT(undeleted, IsOk());
      versions_[version - 1] = true;
    }
  }
  void SetAlias(uint64_t version, const std::string& id) {
    const auto before = Insist([&] {
      return catalog_->SetAlias("m", "prod", version, {}, {id, ""});
    });
    if (!versions_[version - 1]) {
      EXPECT_THAT(before, IsError(absl::StatusCode::kNotFound, "is deleted"));
      return;
    }
    ASSERT_THAT(before, IsOk());
    EXPECT_EQ(*before, alias_);
    alias_ = version;
    ++moves_;
  }
  void Collect() {
    const auto collected =
        Collector(catalog_.get(), engine_.blobs(), engine_.records(), limits_).Collect({});
    if (collected.ok()) {
      ++collections_;
    } else {
      EXPECT_THAT(collected, IsError(absl::StatusCode::kUnavailable, ""));
    }
  }

  std::mt19937_64 random_;
  MemoryEngine engine_;
  Limits limits_;
  std::unique_ptr<Catalog> catalog_;
  uint64_t steps_ = 0;
  std::vector<bool> versions_;  // live?
  uint64_t alias_ = 0;
  uint64_t moves_ = 0;
  uint64_t collections_ = 0;
};

TEST(CollectionFaults, LostAnswersNeitherLoseNorDoubleAnything) {
  uint64_t collections = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    RandomWalk walk(seed);
    for (int i = 0; i < 30; ++i) walk.Step();
    walk.Check();
    if (::testing::Test::HasFailure()) return;
    collections += walk.collections();
  }
  EXPECT_GT(collections, 100u);
}

}  // namespace
}  // namespace ballast

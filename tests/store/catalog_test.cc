// The catalog over both engines.
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "storage/base/status.h"
#include "storage/store/model_record.h"
#include "tests/store/store_fixture.h"
#include "tests/support/memory_engine.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

Limits TestLimits() {
  Limits limits;
  limits.aliases_max = 3;
  limits.page_entries_max = 50;
  return limits;
}

class CatalogTest : public ::testing::TestWithParam<std::string> {
 protected:
  CatalogTest()
      : catalog_(*Catalog::Open(stores_->blobs(), stores_->records(), TestLimits(),
                                [this] { return now_; })) {}

  absl::StatusOr<VersionInfo> PushOne(const std::string& model, uint64_t seed,
                                      const std::string& request_id = "",
                                      const CatalogPush::PublishOptions& options = {}) {
    return PushBlocks(catalog_.get(), model, {MakeBlock(seed, 100)}, request_id, options);
  }
  absl::StatusOr<VersionInfo> Get(const std::string& reference) {
    return catalog_->GetVersion(*ParseReference(reference));
  }
  size_t Intents(const std::string& model) {
    return stores_->records()->List(ModelRecord(model), "", kIntentPrefix, 100)->items.size();
  }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
  const std::unique_ptr<Catalog> catalog_;
};
INSTANTIATE_TEST_SUITE_P(Engines, CatalogTest, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(CatalogTest, APublishedVersionIsFoundWithAllItsFacts) {
  const std::vector<TestBlock> blocks = {MakeBlock(1, 100), MakeBlock(2, 5000)};
  const CatalogPush::PublishOptions options{"first", {{"run", "7"}}, "alice", 0, "prod"};
  const auto pushed = PushBlocks(catalog_.get(), "team/net", blocks, "req-1", options);
  ASSERT_THAT(pushed, IsOk());
  VersionInfo want;
  want.model = "team/net";
  want.version = 1;
  want.digest = VersionDigest(MakeManifest(blocks));
  want.format = Format::kTensors;
  want.entries = 2;
  want.payload_bytes = want.bytes_new = 5100;
  want.message = "first";
  want.labels = {{"run", "7"}};
  want.creator = "alice";
  want.created = now_;
  want.manifest_bytes = EncodeManifest(MakeManifest(blocks)).size();
  want.aliases = {"prod"};
  EXPECT_EQ(*pushed, want);
  for (const char* reference : {"team/net", "team/net:1", "team/net:latest", "team/net@prod"}) {
    EXPECT_EQ(*Get(reference), want) << reference;
  }
  EXPECT_EQ(*Get("team/net@sha256:" + want.digest.Hex()), want);
  EXPECT_EQ(*catalog_->GetManifest(want), MakeManifest(blocks));
  EXPECT_THAT(CheckVersion(catalog_.get(), stores_->blobs(), want), IsOk());
}

TEST_P(CatalogTest, AnEmptyStateDictIsAVersion) {
  const auto pushed = PushBlocks(catalog_.get(), "m", {});
  ASSERT_THAT(pushed, IsOk());
  EXPECT_EQ(pushed->payload_bytes, 0u);
  EXPECT_EQ(*catalog_->GetManifest(*pushed), MakeManifest({}));
}

TEST_P(CatalogTest, KnownContentMakesANewVersionWithoutNewBytes) {
  ASSERT_THAT(PushOne("m", 1), IsOk());
  const auto again = PushOne("m", 1);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->version, 2u);
  EXPECT_EQ(again->bytes_new, 0u);
}

TEST_P(CatalogTest, DigestMeansTheHighestVersionWithIt) {
  const Digest digest = PushOne("m", 1)->digest;
  ASSERT_THAT(PushOne("m", 2), IsOk());
  ASSERT_THAT(PushOne("m", 1), IsOk());
  ASSERT_THAT(PushOne("m", 3), IsOk());
  EXPECT_EQ(Get("m@sha256:" + digest.Hex())->version, 3u);
  EXPECT_EQ(Get("m")->version, 4u);
}

TEST_P(CatalogTest, LookupsSayWhatIsMissing) {
  const auto code = absl::StatusCode::kNotFound;
  EXPECT_THAT(Get("m"), IsError(code, "m: no such model"));
  EXPECT_THAT(catalog_->GetModel("m"), IsError(code, "m: no such model"));
  EXPECT_THAT(catalog_->ListVersions("m", 1, ""), IsError(code, "m: no such model"));
  EXPECT_THAT(catalog_->GetBoundSchema("m"), IsError(code, "m: no such model"));
  ASSERT_THAT(PushOne("m", 1), IsOk());
  EXPECT_THAT(Get("m:2"), IsError(code, "m:2: no such version"));
  EXPECT_THAT(Get("m:99999999999"), IsError(code, "m:99999999999: no such version"));
  EXPECT_THAT(Get("m@prod"), IsError(code, "m@prod: no such alias"));
  EXPECT_THAT(Get("m@sha256:" + std::string(64, 'a')), IsError(code, "no version has this digest"));
  EXPECT_THAT(catalog_->GetBoundSchema("m"), IsError(code, "m: no schema is bound"));
  VersionInfo gone;
  gone.model = "m";
  gone.version = 7;
  EXPECT_THAT(catalog_->GetManifest(gone), IsError(code, "m:7: no such version"));
}

TEST_P(CatalogTest, RefusesNamesOutOfTheRules) {
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(catalog_->BeginPush("Net", ""), IsError(code, "net"));
  EXPECT_THAT(catalog_->BeginPush("m", "a\nb"), IsError(code, "request id"));
  EXPECT_THAT(catalog_->BeginPush("m", std::string(65, 'x')), IsError(code, "request id"));
  EXPECT_THAT(catalog_->SetAlias("m", "latest", 1, {}, {}), IsError(code, "latest"));
  EXPECT_THAT(catalog_->ListModels("", 1, "NOT A NAME"), IsError(code, "page token"));
  ASSERT_THAT(PushOne("m", 1), IsOk());
  EXPECT_THAT(catalog_->ListVersions("m", 1, "x"), IsError(code, "page token"));
}

TEST_P(CatalogTest, TheSameRequestGetsTheFirstAnswer) {
  EXPECT_EQ(*catalog_->FindPush("m", "r1"), std::nullopt);
  const auto first = PushOne("m", 1, "r1");
  ASSERT_THAT(first, IsOk());
  const auto second = PushOne("m", 2, "r1");
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(*second, *first);
  EXPECT_EQ(**catalog_->FindPush("m", "r1"), *first);
  EXPECT_EQ(catalog_->GetModel("m")->latest, 1u);
  EXPECT_EQ(Intents("m"), 0u);
}

TEST_P(CatalogTest, ARequestIdServesOneOperation) {
  ASSERT_THAT(PushOne("m", 1, "r1"), IsOk());
  EXPECT_THAT(catalog_->SetAlias("m", "prod", 1, {}, {"r1"}),
              IsError(absl::StatusCode::kFailedPrecondition, "was used for another operation"));
}

TEST_P(CatalogTest, AnUnpublishedPushLeavesNoModel) {
  {
    const auto push = catalog_->BeginPush("m", "");
    ASSERT_THAT(push, IsOk());
    EXPECT_EQ(Intents("m"), 1u);
  }
  EXPECT_EQ(Intents("m"), 0u);
  EXPECT_THAT(catalog_->GetModel("m"), IsError(absl::StatusCode::kNotFound, "no such model"));
  EXPECT_THAT(catalog_->ListModels("", 10, "")->models, IsEmpty());
}

TEST_P(CatalogTest, RefusesAManifestWithABlockThatIsNotInThePush) {
  const TestBlock there = MakeBlock(1, 100), missing = MakeBlock(2, 100);
  const auto push = *catalog_->BeginPush("m", "");
  ASSERT_THAT(push->Add(there.digest, there.crc32, there.bytes), IsOk());
  EXPECT_THAT(push->Publish(MakeManifest({there, missing}), {}),
              IsError(absl::StatusCode::kFailedPrecondition, "key \"t1\": block 0"));
  EXPECT_THAT(Get("m"), IsError(absl::StatusCode::kNotFound, ""));
}

TEST_P(CatalogTest, RefusesABlockOfAnotherSizeOrCrc) {
  const TestBlock block = MakeBlock(1, 100);
  const auto push = *catalog_->BeginPush("m", "");
  ASSERT_THAT(push->Add(block.digest, block.crc32, block.bytes), IsOk());
  Manifest manifest = MakeManifest({block});
  manifest.entries[0].spec.shape = {99};
  EXPECT_THAT(push->Publish(manifest, {}),
              IsError(absl::StatusCode::kInvalidArgument, "size is 100 bytes, want 99"));
  manifest = MakeManifest({block});
  manifest.entries[0].blocks[0].crc32 ^= 1;
  EXPECT_THAT(push->Publish(manifest, {}), IsError(absl::StatusCode::kInvalidArgument, "CRC-32"));
  EXPECT_THAT(push->Publish(MakeManifest({block}), {}), IsOk());
}

TEST_P(CatalogTest, KnownAnswersForStoredAndOwnBlocks) {
  const TestBlock stored = MakeBlock(1, 100), own = MakeBlock(2, 100), none = MakeBlock(3, 100);
  ASSERT_THAT(PushBlocks(catalog_.get(), "m", {stored}), IsOk());
  const auto push = *catalog_->BeginPush("m", "");
  ASSERT_THAT(push->Add(own.digest, own.crc32, own.bytes), IsOk());
  const auto known = push->Known({stored.digest, own.digest, none.digest});
  ASSERT_THAT(known, IsOk());
  EXPECT_EQ((*known)[0]->crc32, stored.crc32);
  EXPECT_EQ((*known)[1]->size_bytes, 100u);
  EXPECT_EQ((*known)[2], std::nullopt);
  const auto version = push->Publish(MakeManifest({stored, own}), {});
  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(version->bytes_new, 100u);
}

TEST_P(CatalogTest, RefusesTooMuchTextAndAMissingParent) {
  CatalogPush::PublishOptions options;
  options.message = std::string(4000, 'x');
  options.labels = {{"name", std::string(93, 'x')}};
  EXPECT_THAT(PushOne("m", 1, "", options),
              IsError(absl::StatusCode::kResourceExhausted, "4097 bytes, want at most 4096"));
  options = {};
  options.parent = 3;
  EXPECT_THAT(PushOne("m", 1, "", options),
              IsError(absl::StatusCode::kNotFound, "m:3: no such version"));
}

TEST_P(CatalogTest, AFencedPushIsRefused) {
  const TestBlock block = MakeBlock(1, 100);
  const auto push = *catalog_->BeginPush("m", "");
  ASSERT_THAT(push->Add(block.digest, block.crc32, block.bytes), IsOk());
  const auto intents = stores_->records()->List(ModelRecord("m"), "", kIntentPrefix, 10);
  ASSERT_THAT(
      stores_->records()->Commit(ModelRecord("m"), {}, {{intents->items[0].first, std::nullopt}}),
      IsOk());
  EXPECT_THAT(push->Publish(MakeManifest({block}), {}),
              IsError(absl::StatusCode::kUnavailable, "fenced this push: push again"));
}

TEST_P(CatalogTest, APushUsesTheEpochOfItsBeginning) {
  ASSERT_THAT(stores_->records()->Commit(kGcRecord, {}, {{std::string(kEpochKey), "41"}}), IsOk());
  const TestBlock block = MakeBlock(1, 100);
  ASSERT_THAT(PushBlocks(catalog_.get(), "m", {block}), IsOk());
  EXPECT_EQ((*stores_->blobs()->Touch({block.digest}, 0))[0]->epoch, 41u);
}

TEST_P(CatalogTest, ListsVersionsNewestFirstInPages) {
  for (uint64_t i = 1; i <= 7; ++i) ASSERT_THAT(PushOne("m", i), IsOk());
  ASSERT_THAT(catalog_->SetAlias("m", "prod", 6, {}, {}), IsOk());
  std::vector<uint64_t> numbers;
  std::string token;
  do {
    const auto page = catalog_->ListVersions("m", 3, token);
    ASSERT_THAT(page, IsOk());
    for (const VersionInfo& version : page->versions) {
      numbers.push_back(version.version);
      EXPECT_EQ(version.aliases.size(), version.version == 6 ? 1u : 0u);
    }
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_THAT(numbers, ElementsAre(7, 6, 5, 4, 3, 2, 1));
}

TEST_P(CatalogTest, ListsModelsByNameInPages) {
  std::vector<std::string> want;
  for (int i = 0; i < 40; ++i) want.push_back(absl::StrCat("a", i, i % 2 ? "/x" : ""));
  for (const std::string& name : want) ASSERT_THAT(PushOne(name, 1), IsOk());
  ASSERT_THAT(PushOne("b", 1), IsOk());
  const auto dropped = *catalog_->BeginPush("a-never-published", "");
  std::sort(want.begin(), want.end());
  std::vector<std::string> names;
  std::string token;
  do {
    const auto page = catalog_->ListModels("a", 7, token);
    ASSERT_THAT(page, IsOk());
    for (const ModelInfo& model : page->models) names.push_back(model.model);
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_EQ(names, want);
  EXPECT_EQ(catalog_->ListModels("", 0, "")->models.size(), 41u);
}

TEST_P(CatalogTest, TellsAModelsState) {
  for (uint64_t i = 1; i <= 3; ++i) ASSERT_THAT(PushOne("m", i), IsOk());
  ASSERT_THAT(catalog_->SetAlias("m", "prod", 2, {}, {}), IsOk());
  ASSERT_THAT(catalog_->BindSchema("m", "{}", ""), IsOk());
  const auto model = catalog_->GetModel("m");
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->latest, 3u);
  EXPECT_EQ(model->versions, 3u);
  EXPECT_TRUE(model->has_schema);
  EXPECT_THAT(model->aliases, ElementsAre(Pair("prod", 2)));
}

TEST_P(CatalogTest, AliasesMoveOnlyFromWhereTheyAreExpected) {
  ASSERT_THAT(PushOne("m", 1), IsOk());
  ASSERT_THAT(PushOne("m", 2), IsOk());
  const auto conflict = absl::StatusCode::kAborted;
  EXPECT_THAT(catalog_->SetAlias("m", "prod", 1, 2, {}),
              IsError(conflict, "m@prod: alias is absent, want it at version 2"));
  EXPECT_EQ(*catalog_->SetAlias("m", "prod", 1, 0, {}), 0u);
  const auto taken = catalog_->SetAlias("m", "prod", 2, 0, {});
  EXPECT_THAT(taken, IsError(conflict, "alias is at version 1, want it absent"));
  EXPECT_EQ(GetReason(taken.status()), Reason::kConflict);
  EXPECT_EQ(*catalog_->SetAlias("m", "prod", 2, 1, {}), 1u);
  EXPECT_EQ(*catalog_->SetAlias("m", "prod", 1, std::nullopt, {}), 2u);
  EXPECT_EQ(Get("m@prod")->version, 1u);
  EXPECT_THAT(catalog_->SetAlias("m", "prod", 9, {}, {}),
              IsError(absl::StatusCode::kNotFound, "m:9: no such version"));
  EXPECT_THAT(catalog_->RemoveAlias("m", "prod", 2, {}), IsError(conflict, "at version 1"));
  EXPECT_THAT(catalog_->RemoveAlias("m", "prod", 1, {}), IsOk());
  EXPECT_THAT(catalog_->RemoveAlias("m", "prod", {}, {}),
              IsError(absl::StatusCode::kNotFound, "m@prod: no such alias"));
}

TEST_P(CatalogTest, ARepeatedAliasRequestGetsTheFirstAnswer) {
  ASSERT_THAT(PushOne("m", 1), IsOk());
  ASSERT_THAT(PushOne("m", 2), IsOk());
  ASSERT_THAT(catalog_->SetAlias("m", "prod", 1, {}, {}), IsOk());
  EXPECT_EQ(*catalog_->SetAlias("m", "prod", 2, 1, {"r"}), 1u);
  EXPECT_EQ(*catalog_->SetAlias("m", "prod", 2, 1, {"r"}), 1u);
  EXPECT_THAT(catalog_->RemoveAlias("m", "prod", {}, {"x"}), IsOk());
  EXPECT_THAT(catalog_->RemoveAlias("m", "prod", {}, {"x"}), IsOk());
}

TEST_P(CatalogTest, BoundsTheNumberOfAliases) {
  ASSERT_THAT(PushOne("m", 1), IsOk());
  for (const char* name : {"a", "b", "c"})
    ASSERT_THAT(catalog_->SetAlias("m", name, 1, {}, {}), IsOk());
  const auto code = absl::StatusCode::kResourceExhausted;
  EXPECT_THAT(catalog_->SetAlias("m", "d", 1, {}, {}), IsError(code, "3, want at most 3"));
  EXPECT_THAT(PushOne("m", 2, "", {"", {}, "", 0, "d"}), IsError(code, "aliases_max"));
  EXPECT_THAT(catalog_->SetAlias("m", "c", 1, {}, {}), IsOk());
  EXPECT_THAT(PushOne("m", 2, "", {"", {}, "", 0, "c"}), IsOk());
}

TEST_P(CatalogTest, BindsAndUnbindsASchemaOfAnySize) {
  const std::string schema = MakeBlock(1, 3 * kBlockBytes + 17).bytes;
  ASSERT_THAT(catalog_->BindSchema("m", schema, "r"), IsOk());
  ASSERT_THAT(catalog_->BindSchema("m", "other", "r"), IsOk());  // the first answer again
  EXPECT_EQ(*catalog_->GetBoundSchema("m"), schema);
  EXPECT_EQ(Intents("m"), 0u);
  EXPECT_THAT(Get("m"), IsError(absl::StatusCode::kNotFound, "the model has no versions"));
  ASSERT_THAT(catalog_->BindSchema("m", "small", ""), IsOk());
  EXPECT_EQ(*catalog_->GetBoundSchema("m"), "small");
  ASSERT_THAT(catalog_->UnbindSchema("m", ""), IsOk());
  EXPECT_THAT(catalog_->UnbindSchema("m", ""),
              IsError(absl::StatusCode::kNotFound, "no schema is bound"));
  EXPECT_THAT(catalog_->BindSchema("m", "", ""),
              IsError(absl::StatusCode::kInvalidArgument, "schema is empty"));
}

TEST_P(CatalogTest, ManifestsLargerThanABlockComeBackWhole) {
  std::vector<TestBlock> blocks;
  const TestBlock block = MakeBlock(1, 10);
  for (int i = 0; i < 30'000; ++i) blocks.push_back(block);
  ASSERT_GT(EncodeManifest(MakeManifest(blocks)).size(), kBlockBytes);
  const auto pushed = PushBlocks(catalog_.get(), "m", blocks);
  ASSERT_THAT(pushed, IsOk());
  EXPECT_EQ(*catalog_->GetManifest(*pushed), MakeManifest(blocks));
}

TEST_P(CatalogTest, ThreadsThatPublishToOneModelGetEachNumberOnce) {
  constexpr int kThreads = 8;
  constexpr int kEach = 12;
  std::vector<std::vector<VersionInfo>> made(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto info = PushOne("m", t * 1000 + i, "", {"", {}, absl::StrCat("t", t), 0, ""});
        ASSERT_THAT(info, IsOk());
        made[t].push_back(*info);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint64_t> numbers;
  for (const auto& infos : made) {
    for (const VersionInfo& info : infos) {
      EXPECT_TRUE(numbers.insert(info.version).second);
      EXPECT_EQ(*Get(absl::StrCat("m:", info.version)), info);
    }
  }
  EXPECT_EQ(numbers.size(), size_t{kThreads * kEach});
  EXPECT_EQ(*numbers.rbegin(), uint64_t{kThreads * kEach});
}

TEST_P(CatalogTest, RacingPushesWithOneRequestIdMakeOneVersion) {
  constexpr int kThreads = 6;
  std::vector<absl::StatusOr<VersionInfo>> made(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] { made[t] = PushOne("m", t, "same"); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& info : made) {
    ASSERT_THAT(info, IsOk());
    EXPECT_EQ(*info, *made[0]);
  }
  EXPECT_EQ(catalog_->GetModel("m")->versions, 1u);
}

TEST(CatalogDamage, AManifestBlockWithOtherBytesIsDataLoss) {
  MemoryEngine engine;
  const auto catalog = *Catalog::Open(engine.blobs(), engine.records(), TestLimits());
  const TestBlock block = MakeBlock(1, 100);
  const auto version = *PushBlocks(catalog.get(), "m", {block});
  const Digest digest = Sha256Of(EncodeManifest(MakeManifest({block})));
  engine.blobs()->Corrupt(digest, "something else");
  EXPECT_THAT(catalog->GetManifest(version),
              IsError(absl::StatusCode::kDataLoss, "fail their digest"));
  ASSERT_EQ(*engine.blobs()->RemoveIfOlder({digest}, 100), 1u);
  EXPECT_THAT(catalog->GetManifest(version),
              IsError(absl::StatusCode::kDataLoss, "m:1: manifest: block"));
}

TEST(CatalogDamage, DamagedRecordsAreDataLoss) {
  MemoryEngine engine;
  const auto catalog = *Catalog::Open(engine.blobs(), engine.records(), TestLimits());
  ASSERT_THAT(PushBlocks(catalog.get(), "m", {MakeBlock(1, 100)}), IsOk());
  const auto damage = [&](const std::string& key, const std::string& value) {
    ASSERT_THAT(engine.records()->Commit(ModelRecord("m"), {}, {{key, value}}), IsOk());
  };
  const auto code = absl::StatusCode::kDataLoss;
  const auto latest = *ParseReference("m");
  damage(VersionKey(1), "\x02");
  EXPECT_THAT(catalog->GetVersion(latest), IsError(code, "encoding is 2, want 1"));
  damage(VersionKey(1), "\x01 too short");
  EXPECT_THAT(catalog->GetVersion(latest), IsError(code, "m:1: version record"));
  damage(std::string(kHeadKey), "seven");
  EXPECT_THAT(catalog->GetModel("m"), IsError(code, "head \"seven\" is damaged"));
  damage(AliasKey("prod"), "x");
  EXPECT_THAT(catalog->GetVersion(*ParseReference("m@prod")), IsError(code, "alias \"x\""));
  damage(std::string(kSchemaKey), "\x05");
  EXPECT_THAT(catalog->GetBoundSchema("m"), IsError(code, "schema"));
}

}  // namespace
}  // namespace ballast

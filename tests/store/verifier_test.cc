// Verification: what is damaged is found, named with what it hits, and healed by a push.
#include "storage/store/verifier.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/collector.h"
#include "storage/store/model_record.h"
#include "storage/store/pacer.h"
#include "tests/store/store_fixture.h"
#include "tests/support/fake_monitor.h"
#include "tests/support/memory_engine.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct Outcome {
  absl::StatusOr<Verification> result = absl::UnknownError("not run");
  std::vector<Damage> damage;
};

class VerifierTest : public ::testing::TestWithParam<std::string> {
 protected:
  Outcome Verify(VerifyOptions options = {}, const Limits& limits = Limits()) {
    Outcome outcome;
    options.damage = [&](const Damage& damage) {
      outcome.damage.push_back(damage);
      return absl::OkStatus();
    };
    options.clock = {[this] { return now_; }, [this](absl::Duration time) { now_ += time; }};
    outcome.result =
        Verifier(stores_->blobs(), stores_->records(), &monitor_, limits).Verify(options);
    EXPECT_THAT(outcome.result, IsOk());
    return outcome;
  }
  VersionInfo Push(const std::string& model, const std::vector<TestBlock>& blocks) {
    const auto version = PushBlocks(catalog_.get(), model, blocks);
    EXPECT_THAT(version, IsOk());
    return version.ok() ? *version : VersionInfo();
  }
  // Stores other bytes under the block's digest, before anybody pushes it.
  void StoreWrong(const TestBlock& block) {
    auto batch = *stores_->blobs()->NewBatch(1);
    const TestBlock other = MakeBlock(block.bytes.size() + 999, block.bytes.size());
    ASSERT_THAT(batch->Add(block.digest, block.crc32, other.bytes), IsOk());
    ASSERT_THAT(batch->Flush(), IsOk());
  }

  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
  const std::unique_ptr<Catalog> catalog_ =
      *Catalog::Open(stores_->blobs(), stores_->records(), Limits());
  FakeMonitor monitor_;
  absl::Duration now_;
};
INSTANTIATE_TEST_SUITE_P(Engines, VerifierTest, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(VerifierTest, AnEmptyStoreIsSound) {
  const Outcome outcome = Verify();
  EXPECT_TRUE(outcome.result->sound());
  EXPECT_EQ(outcome.result->blocks, 0u);
}

TEST_P(VerifierTest, ReadsEveryBlockOnceHoweverManyVersionsUseIt) {
  const TestBlock shared = MakeBlock(1, kBlockBytes);
  Push("a", {shared, MakeBlock(2, 100)});
  Push("a", {shared, MakeBlock(3, 100)});
  Push("b", {shared});
  ASSERT_THAT(catalog_->DeleteVersions("a", {1}, false, {}), IsOk());
  ASSERT_THAT(catalog_->BindSchema("b", R"({"ballast_schema":1,"entries":[]})", ""), IsOk());
  const Outcome outcome = Verify();
  EXPECT_TRUE(outcome.result->sound());
  EXPECT_EQ(outcome.result->versions, 3u);
  EXPECT_EQ(outcome.result->blocks, 3u + 3u + 1u) << "tensors, manifests, the schema";
}

TEST_P(VerifierTest, ManyRangesFindTheSameAsOne) {
  std::vector<TestBlock> blocks;
  for (uint64_t i = 0; i < 200; ++i) blocks.push_back(MakeBlock(i, 50));
  StoreWrong(blocks[7]);
  StoreWrong(blocks[151]);
  Push("m", blocks);
  Limits limits;
  limits.gc_mark_bytes_max = 40 * 32;
  const Outcome ranges = Verify({}, limits);
  EXPECT_EQ(ranges.result->blocks, 201u);
  EXPECT_EQ(ranges.result->versions, 1u);
  EXPECT_EQ(ranges.result->damaged_blocks, 2u);
  EXPECT_EQ(ranges.result->damaged_versions, 1u);
  EXPECT_EQ(ranges.damage.size(), 2u);
}

TEST_P(VerifierTest, ADamagedBlockIsNamedWithAllThatItHits) {
  const TestBlock bad = MakeBlock(1, 5000);
  StoreWrong(bad);
  Push("a", {MakeBlock(2, 10), bad, bad});
  Push("a", {MakeBlock(3, 10)});
  Push("b/c", {bad});
  Push("b/c", {bad});
  ASSERT_THAT(catalog_->DeleteVersions("b/c", {2}, false, {}), IsOk());
  const Outcome outcome = Verify();
  ASSERT_EQ(outcome.damage.size(), 1u);
  EXPECT_EQ(outcome.damage[0].kind, Damage::Kind::kWrongBytes);
  EXPECT_EQ(outcome.damage[0].digest, bad.digest);
  EXPECT_THAT(outcome.damage[0].problem, HasSubstr("SHA-256"));
  EXPECT_THAT(
      outcome.damage[0].versions,
      UnorderedElementsAre("a:1 (t1 and 1 more times)", "b/c:1 (t0)", "b/c:2, deleted (t0)"));
  EXPECT_EQ(outcome.result->damaged_blocks, 1u);
  EXPECT_EQ(outcome.result->damaged_versions, 3u);
  EXPECT_FALSE(outcome.result->sound());
}

TEST_P(VerifierTest, OneVersionIsVerifiedByItself) {
  const TestBlock bad = MakeBlock(1, 5000);
  StoreWrong(bad);
  VerifyOptions options;
  options.only = Push("a", {MakeBlock(2, 10)});
  const VersionInfo damaged = Push("b", {bad});
  Push("c", {bad});
  EXPECT_TRUE(Verify(options).result->sound());
  options.only = damaged;
  const Outcome outcome = Verify(options);
  EXPECT_EQ(outcome.result->versions, 1u);
  ASSERT_EQ(outcome.damage.size(), 1u);
  EXPECT_THAT(outcome.damage[0].versions, UnorderedElementsAre("b:1 (t0)", "c:1 (t0)"));
}

TEST_P(VerifierTest, APushOfTheSameContentHealsAfterAVerification) {
  const TestBlock small = MakeBlock(1, 5000);
  const TestBlock big = MakeBlock(2, kBlockBytes);
  StoreWrong(small);
  StoreWrong(big);
  const VersionInfo version = Push("m", {small, big, MakeBlock(3, 100)});
  EXPECT_EQ(Verify().result->damaged_blocks, 2u);
  EXPECT_THAT(CheckVersion(catalog_.get(), stores_->blobs(), version),
              IsError(absl::StatusCode::kDataLoss, ""));
  const VersionInfo healing = Push("other", {small, big});
  EXPECT_EQ(healing.bytes_new, small.bytes.size() + big.bytes.size());
  EXPECT_THAT(CheckVersion(catalog_.get(), stores_->blobs(), version), IsOk());
  EXPECT_TRUE(Verify().result->sound());
}

TEST_P(VerifierTest, ADamagedManifestIsFoundAndHealed) {
  const VersionInfo version = Push("m", {MakeBlock(1, 100)});
  const std::string text = EncodeManifest(*catalog_->GetManifest(version));
  // The same again, with a manifest that is stored wrong from the beginning.
  ASSERT_THAT(stores_->blobs()->RemoveIfOlder({Sha256Of(text)}, 100), IsOk());
  StoreWrong({text, Sha256Of(text), Crc32(text)});
  const Outcome outcome = Verify();
  ASSERT_EQ(outcome.damage.size(), 1u);
  EXPECT_EQ(outcome.damage[0].digest, Sha256Of(text));
  EXPECT_THAT(outcome.damage[0].versions, ElementsAre("m:1 (manifest)"));
  EXPECT_EQ(outcome.result->damaged_versions, 1u);
  Push("m", {MakeBlock(1, 100)});
  EXPECT_TRUE(Verify().result->sound());
  EXPECT_THAT(CheckVersion(catalog_.get(), stores_->blobs(), version), IsOk());
}

TEST_P(VerifierTest, AMissingBlockIsDamageIfSomethingNeedsIt) {
  const TestBlock lost = MakeBlock(1, 100);
  Push("m", {lost});
  ASSERT_EQ(*stores_->blobs()->RemoveIfOlder({lost.digest}, 100), 1u);
  const Outcome outcome = Verify();
  ASSERT_EQ(outcome.damage.size(), 1u);
  EXPECT_EQ(outcome.damage[0].kind, Damage::Kind::kMissing);
  EXPECT_THAT(outcome.damage[0].versions, ElementsAre("m:1 (t0)"));
  Push("m", {lost});
  EXPECT_TRUE(Verify().result->sound());
}

TEST_P(VerifierTest, RecordsThatMakeNoSenseAreNamedAndTheRestIsVerified) {
  Push("a", {MakeBlock(1, 100)});
  Push("a", {MakeBlock(2, 100)});
  Push("z", {MakeBlock(3, 100)});
  const struct {
    std::string key;
    std::string value;
    std::string says;
  } rows[] = {
      {"v/9999999997", "nonsense", "key v/9999999997: "},
      {"x/9999999990", "nonsense", "key x/9999999990: "},
      {"head", "x", "key head: "},
      {"a/prod", "nonsense", "key a/prod: "},
      {"a/prod", "7 token", "key a/prod: names version 7, which is not there"},
      {"h/9999999998", "nonsense", "key h/9999999998: "},
      {"names", "x", "key names: "},
      {"retention", "x", "key retention: "},
      {"schema", "x", "key schema: "},
      {"r/id", "x", "key r/id: "},
  };
  for (const auto& row : rows) {
    const auto before = (*stores_->records()->Read("m/a", {row.key}))[0];
    ASSERT_THAT(stores_->records()->Commit("m/a", {}, {{row.key, row.value}}), IsOk());
    const Outcome outcome = Verify();
    ASSERT_EQ(outcome.damage.size(), 1u) << row.key;
    EXPECT_EQ(outcome.damage[0].kind, Damage::Kind::kRecord);
    EXPECT_THAT(outcome.damage[0].problem, HasSubstr(absl::StrCat("a: ", row.says)));
    EXPECT_FALSE(outcome.result->sound());
    EXPECT_EQ(outcome.result->versions, row.key == "v/9999999997" ? 2u : 3u);
    ASSERT_THAT(stores_->records()->Commit("m/a", {}, {{row.key, before}}), IsOk());
  }
  EXPECT_TRUE(Verify().result->sound());
}

TEST_P(VerifierTest, WhatTheEngineFindsInItsFilesIsToldFirst) {
  Push("a", {MakeBlock(1, 100)});
  monitor_.problems = {"file 12: rotten"};
  const Outcome outcome = Verify();
  ASSERT_EQ(outcome.damage.size(), 1u);
  EXPECT_EQ(outcome.damage[0].problem, "file 12: rotten");
  EXPECT_FALSE(outcome.result->sound());
  VerifyOptions one;
  one.only = *catalog_->GetVersion({.model = "a"});
  EXPECT_TRUE(Verify(one).result->sound()) << "the files are no part of one version";
}

TEST_P(VerifierTest, ReadsNoFasterThanItMay) {
  Push("m", {MakeBlock(1, kBlockBytes), MakeBlock(2, kBlockBytes), MakeBlock(3, kBlockBytes)});
  VerifyOptions options;
  options.bytes_per_second = 1u << 20;
  Verify(options);
  EXPECT_GE(now_, absl::Seconds(3));
  EXPECT_LE(now_, absl::Seconds(4));
}

TEST_P(VerifierTest, ProgressCanStopItAlsoWhileItWaits) {
  Push("m", {MakeBlock(1, kBlockBytes), MakeBlock(2, kBlockBytes)});
  VerifyOptions options;
  options.bytes_per_second = 1;
  options.damage = [](const Damage&) { return absl::OkStatus(); };
  options.clock = {[this] { return now_; }, [this](absl::Duration time) { now_ += time; }};
  int calls = 0;
  options.progress = [&](const VerifyProgressNow&) {
    return ++calls == 10 ? absl::CancelledError("gone") : absl::OkStatus();
  };
  Verifier verifier(stores_->blobs(), stores_->records(), &monitor_, Limits());
  EXPECT_THAT(verifier.Verify(options), IsError(absl::StatusCode::kCancelled, "gone"));
  EXPECT_LT(now_, absl::Minutes(1));
}

TEST_P(VerifierTest, OnlyOneRunsAtATime) {
  Push("m", {MakeBlock(1, 10)});
  Verifier verifier(stores_->blobs(), stores_->records(), &monitor_, Limits());
  VerifyOptions options;
  absl::Status second;
  options.progress = [&](const VerifyProgressNow&) {
    second.Update(verifier.Verify({}).status());
    return absl::OkStatus();
  };
  ASSERT_THAT(verifier.Verify(options), IsOk());
  EXPECT_THAT(second, IsError(absl::StatusCode::kUnavailable, "another verification runs"));
}

TEST_P(VerifierTest, DamagedGarbageIsCollected) {
  const TestBlock bad = MakeBlock(1, 5000);
  StoreWrong(bad);
  Push("m", {bad});
  EXPECT_EQ(Verify().result->damaged_blocks, 1u);
  ASSERT_THAT(catalog_->DeleteVersions("m", {1}, false, {}), IsOk());
  Limits limits;
  limits.undelete_window_ms = 0;
  Collector collector(catalog_.get(), stores_->blobs(), stores_->records(), limits);
  EXPECT_EQ(collector.Collect({})->blocks_freed, 2u);
  EXPECT_EQ(stores_->blobs()->Check(bad.digest)->state, BlobCheck::State::kMissing);
}

TEST(PacerTest, KeepsTheRateAndSavesNoMoreThanASecond) {
  absl::Duration now;
  Pacer pacer(100, {[&] { return now; }, [&](absl::Duration time) { now += time; }});
  EXPECT_EQ(pacer.Took(50), absl::Milliseconds(500));
  now += absl::Milliseconds(500);
  EXPECT_EQ(pacer.Took(100), absl::Seconds(1));
  now += absl::Hours(1);
  EXPECT_EQ(pacer.Took(100), absl::ZeroDuration());
  EXPECT_EQ(pacer.Took(100), absl::Seconds(1));
  Pacer unlimited(0, {[&] { return now; }, nullptr});
  EXPECT_EQ(unlimited.Took(1u << 30), absl::ZeroDuration());
}

}  // namespace
}  // namespace ballast

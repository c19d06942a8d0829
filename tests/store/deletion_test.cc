// Deleting and bringing back versions, the history of aliases, retention rules.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/model_record.h"
#include "storage/store/retention_rules.h"
#include "storage/store/version_use.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kNoSuch = absl::StatusCode::kNotFound;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Limits TestLimits() {
  Limits limits;
  limits.alias_history_max = 5;
  limits.retention_labels_max = 2;
  limits.undelete_window_ms = 1000;
  return limits;
}

class Deleting : public ::testing::TestWithParam<std::string> {
 protected:
  VersionInfo Push(const std::string& model, uint64_t seed, const std::string& alias = "",
                   const std::string& request_id = "") {
    const CatalogPush::PublishOptions options{"", {}, "pusher", 0, alias};
    const auto pushed =
        PushBlocks(catalog_.get(), model, {MakeBlock(seed, 100)}, request_id, options);
    EXPECT_THAT(pushed, IsOk());
    return pushed.value_or(VersionInfo());
  }
  absl::StatusOr<uint64_t> Delete(std::vector<uint64_t> versions, bool force = false,
                                  const std::string& request_id = "") {
    return catalog_->DeleteVersions("m", versions, force, {request_id, "alice"});
  }
  absl::StatusOr<VersionInfo> Get(const std::string& reference) {
    return catalog_->GetVersion(*ParseReference(reference));
  }
  std::vector<uint64_t> Numbers(VersionSet which, size_t page_size = 2) {
    std::vector<uint64_t> numbers;
    std::string token;
    do {
      const auto page = catalog_->ListVersions("m", page_size, token, which);
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) break;
      for (const VersionInfo& version : page->versions) numbers.push_back(version.version);
      token = page->next_page_token;
    } while (!token.empty());
    return numbers;
  }
  // "prod 1>2 by alice" …, newest first.
  std::vector<std::string> History(const std::string& alias = "", size_t page_size = 2) {
    std::vector<std::string> lines;
    std::string token;
    do {
      const auto page = catalog_->ListAliasHistory("m", alias, page_size, token);
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) break;
      EXPECT_LE(page->moves.size(), page_size);
      for (const AliasMove& move : page->moves) {
        EXPECT_EQ(move.time, now_);
        lines.push_back(
            absl::StrCat(move.alias, " ", move.from, ">", move.to, " by ", move.principal));
      }
      token = page->next_page_token;
    } while (!token.empty());
    return lines;
  }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
  const std::unique_ptr<Catalog> catalog_ =
      *Catalog::Open(stores_->blobs(), stores_->records(), TestLimits(), [this] { return now_; });
};
INSTANTIATE_TEST_SUITE_P(Engines, Deleting, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(Deleting, ADeletedVersionIsGoneFromEveryLookupButItsOwnListing) {
  for (uint64_t i = 1; i <= 3; ++i) Push("m", i);
  const VersionInfo third = *Get("m:3");
  EXPECT_EQ(*Delete({3}), 1u);
  EXPECT_THAT(Get("m:3"), IsError(kNoSuch, "m:3: the version is deleted"));
  EXPECT_THAT(Get("m@sha256:" + third.digest.Hex()),
              IsError(kNoSuch, "no version has this digest"));
  EXPECT_THAT(catalog_->GetManifest(third), IsError(kNoSuch, "m:3: the version is deleted"));
  EXPECT_THAT(catalog_->SetAlias("m", "prod", 3, {}, {}), IsError(kNoSuch, "is deleted"));
  EXPECT_EQ(Get("m")->version, 2u);
  EXPECT_THAT(Numbers(VersionSet::kLive), ElementsAre(2, 1));
  EXPECT_THAT(Numbers(VersionSet::kDeleted), ElementsAre(3));
  EXPECT_EQ(catalog_->GetModel("m")->versions, 2u);
  EXPECT_EQ(catalog_->GetModel("m")->latest, 2u);
  const auto page = catalog_->ListVersions("m", 10, "", VersionSet::kDeleted);
  VersionInfo want = third;
  want.deletion = Deletion{"alice", now_, now_ + absl::Seconds(1)};
  EXPECT_EQ(page->versions.at(0), want);
}

TEST_P(Deleting, ANumberIsNeverUsedAgain) {
  Push("m", 1);
  Push("m", 2);
  EXPECT_EQ(*Delete({2}), 1u);
  EXPECT_EQ(Push("m", 2).version, 3u);
  EXPECT_EQ(*Delete({1, 3}), 2u);
  EXPECT_EQ(Push("m", 1).version, 4u);
}

TEST_P(Deleting, SaysWhatItCannotDelete) {
  Push("m", 1);
  Push("m", 2);
  const struct {
    std::vector<uint64_t> versions;
    absl::StatusCode code;
    const char* message;
  } kRows[] = {
      {{3}, kNoSuch, "m:3: no such version"},
      {{1, 3}, kNoSuch, "m:3: no such version"},
      {{0}, kNoSuch, "m:0: no such version"},
      {{99'999'999'999}, kNoSuch, "m:99999999999: no such version"},
      {{}, kInvalid, "number of versions to delete is 0, want 1 to 256"},
      {std::vector<uint64_t>(257, 1), kInvalid, "is 257, want 1 to 256"},
  };
  for (const auto& row : kRows) {
    EXPECT_THAT(Delete(row.versions), IsError(row.code, row.message));
  }
  EXPECT_THAT(Numbers(VersionSet::kLive), ElementsAre(2, 1)) << "all or none";
  EXPECT_EQ(*Delete({1}), 1u);
  EXPECT_THAT(Delete({1}), IsError(kNoSuch, "m:1: the version is deleted"));
  EXPECT_THAT(catalog_->DeleteVersions("n", {1}, false, {}), IsError(kNoSuch, "n: no such model"));
  EXPECT_THAT(catalog_->DeleteVersions("N", {1}, false, {}), IsError(kInvalid, "n"));
}

TEST_P(Deleting, RefusesWhatAnAliasNamesUnlessForced) {
  Push("m", 1);
  Push("m", 2, "prod");
  EXPECT_THAT(
      Delete({1, 2}),
      IsError(kPrecondition, "m:2: the version has the alias prod, want it moved or removed"));
  EXPECT_THAT(Numbers(VersionSet::kLive), ElementsAre(2, 1));
  EXPECT_EQ(*Delete({1, 2}, /*force=*/true), 2u);
  EXPECT_THAT(Get("m@prod"), IsError(kNoSuch, "m@prod: no such alias"));
  EXPECT_THAT(History(), ElementsAre("prod 2>0 by alice", "prod 0>2 by pusher"));
}

TEST_P(Deleting, TheSameRequestGetsTheFirstAnswer) {
  for (uint64_t i = 1; i <= 3; ++i) Push("m", i);
  EXPECT_EQ(*Delete({1, 2}, false, "r"), 2u);
  EXPECT_EQ(*Delete({1, 2}, false, "r"), 2u);
  EXPECT_EQ(*Delete({3}, false, "r"), 2u) << "the id decides, as everywhere";
  EXPECT_THAT(Numbers(VersionSet::kLive), ElementsAre(3));
  EXPECT_THAT(catalog_->UndeleteVersion("m", 1, {"u", "bob"}), IsOk());
  EXPECT_THAT(catalog_->UndeleteVersion("m", 1, {"u", "bob"}), IsOk());
  EXPECT_THAT(catalog_->UndeleteVersion("m", 2, {"r", "bob"}),
              IsError(kPrecondition, "was used for another operation"));
}

TEST_P(Deleting, UndeletionBringsEverythingBackButAliases) {
  const VersionInfo first = Push("m", 1);
  const VersionInfo second = Push("m", 2, "prod");
  EXPECT_EQ(*Delete({1, 2}, /*force=*/true), 2u);
  EXPECT_THAT(Get("m"), IsError(kNoSuch, "m: the model has no versions"));
  ASSERT_THAT(catalog_->UndeleteVersion("m", 2, {"", "bob"}), IsOk());
  VersionInfo want = second;
  want.aliases = {};
  EXPECT_EQ(*Get("m"), want);
  EXPECT_EQ(*Get("m@sha256:" + second.digest.Hex()), want);
  EXPECT_EQ(catalog_->GetModel("m")->versions, 1u);
  EXPECT_THAT(CheckVersion(catalog_.get(), stores_->blobs(), want), IsOk());
  EXPECT_THAT(catalog_->UndeleteVersion("m", 2, {}),
              IsError(kPrecondition, "m:2: the version is not deleted"));
  EXPECT_THAT(catalog_->UndeleteVersion("m", 7, {}), IsError(kNoSuch, "m:7: no such version"));
  EXPECT_THAT(catalog_->UndeleteVersion("n", 1, {}), IsError(kNoSuch, "n: no such model"));
  ASSERT_THAT(catalog_->UndeleteVersion("m", 1, {}), IsOk());
  EXPECT_EQ(*Get("m:1"), first);
  EXPECT_THAT(stores_->records()->List(ModelRecord("m"), "", kIntentPrefix, 10)->items, IsEmpty());
}

TEST_P(Deleting, OfAllVersionsTakesThoseThatThereAre) {
  for (uint64_t i = 1; i <= 5; ++i) Push("m", i);
  EXPECT_EQ(*Delete({4}), 1u);
  ASSERT_THAT(catalog_->SetAlias("m", "prod", 2, {}, {}), IsOk());
  EXPECT_THAT(catalog_->DeleteAllVersions("m", false, {}),
              IsError(kPrecondition, "m:2: the version has the alias prod"));
  EXPECT_EQ(*catalog_->DeleteAllVersions("m", true, {"r", "alice"}), 4u);
  EXPECT_EQ(*catalog_->DeleteAllVersions("m", true, {"r", "alice"}), 4u);
  EXPECT_THAT(catalog_->DeleteAllVersions("m", true, {}), IsError(kNoSuch, "has no versions"));
  EXPECT_THAT(catalog_->DeleteAllVersions("n", true, {}), IsError(kNoSuch, "n: no such model"));
  EXPECT_THAT(Numbers(VersionSet::kLive), IsEmpty());
  EXPECT_THAT(Numbers(VersionSet::kDeleted), ElementsAre(5, 4, 3, 2, 1));
  EXPECT_EQ(Push("m", 1).version, 6u);
}

TEST_P(Deleting, OfMoreVersionsThanOneCommitTakes) {
  for (int i = 0; i < 300; ++i) Push("m", 1);
  EXPECT_EQ(*catalog_->DeleteAllVersions("m", false, {"r", "alice"}), 300u);
  EXPECT_EQ(*catalog_->DeleteAllVersions("m", false, {"r", "alice"}), 300u);
  EXPECT_THAT(Numbers(VersionSet::kLive), IsEmpty());
  EXPECT_EQ(Numbers(VersionSet::kDeleted, 50).size(), 300u);
}

TEST_P(Deleting, AModelWithoutLiveVersionsIsNotListed) {
  Push("m", 1);
  Push("n", 1);
  EXPECT_EQ(*Delete({1}), 1u);
  auto page = catalog_->ListModels("", 10, "");
  ASSERT_EQ(page->models.size(), 1u);
  EXPECT_EQ(page->models[0].model, "n");
  EXPECT_EQ(catalog_->GetModel("m")->versions, 0u);
  ASSERT_THAT(catalog_->BindSchema("m", "{}", ""), IsOk());
  page = catalog_->ListModels("", 10, "");
  EXPECT_EQ(page->models.size(), 2u);
}

TEST_P(Deleting, ARepeatedPushOfADeletedVersionSaysSo) {
  Push("m", 1, "", "once");
  EXPECT_EQ(*Delete({1}), 1u);
  EXPECT_THAT(catalog_->FindPush("m", "once"),
              IsError(kPrecondition, "made version 1, which is deleted; want a new request id"));
  EXPECT_THAT(PushBlocks(catalog_.get(), "m", {MakeBlock(2, 100)}, "once"),
              IsError(kPrecondition, "which is deleted"));
}

TEST_P(Deleting, ADeletedParentIsNone) {
  Push("m", 1);
  EXPECT_EQ(*Delete({1}), 1u);
  EXPECT_THAT(PushBlocks(catalog_.get(), "m", {MakeBlock(2, 100)}, "", {"", {}, "", 1, ""}),
              IsError(kNoSuch, "m:1: no such version, want one as the parent"));
}

TEST_P(Deleting, AliasHistorySaysWhoMovedWhatFromWhereToWhere) {
  Push("m", 1);
  Push("m", 2, "prod");
  ASSERT_THAT(catalog_->SetAlias("m", "prod", 1, {}, {"", "bob"}), IsOk());
  ASSERT_THAT(catalog_->SetAlias("m", "beta", 2, {}, {"", "bob"}), IsOk());
  ASSERT_THAT(catalog_->SetAlias("m", "prod", 2, {}, {"r", "eve"}), IsOk());
  ASSERT_THAT(catalog_->SetAlias("m", "prod", 2, {}, {"r", "eve"}), IsOk());
  EXPECT_THAT(catalog_->SetAlias("m", "prod", 1, 1, {"", "eve"}),
              IsError(absl::StatusCode::kAborted, ""));
  ASSERT_THAT(catalog_->RemoveAlias("m", "beta", {}, {"", "eve"}), IsOk());
  const std::vector<std::string> all = {"beta 2>0 by eve", "prod 1>2 by eve", "beta 0>2 by bob",
                                        "prod 2>1 by bob", "prod 0>2 by pusher"};
  for (size_t page_size = 1; page_size <= 6; ++page_size) EXPECT_EQ(History("", page_size), all);
  EXPECT_THAT(History("beta"), ElementsAre("beta 2>0 by eve", "beta 0>2 by bob"));
  EXPECT_THAT(History("prod", 1), ElementsAre(all[1], all[3], all[4]));
  EXPECT_THAT(catalog_->ListAliasHistory("m", "", 1, "x"), IsError(kInvalid, "page token"));
  EXPECT_THAT(catalog_->ListAliasHistory("m", "No Alias", 1, ""), IsError(kInvalid, "alias"));
  EXPECT_THAT(catalog_->ListAliasHistory("n", "", 1, ""), IsError(kNoSuch, "n: no such model"));
}

TEST_P(Deleting, AliasHistoryIsBounded) {
  Push("m", 1);
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(catalog_->SetAlias("m", absl::StrCat("a", i), 1, {}, {}), IsOk());
  }
  EXPECT_THAT(History(),
              ElementsAre("a8 0>1 by ", "a7 0>1 by ", "a6 0>1 by ", "a5 0>1 by ", "a4 0>1 by "));
}

TEST_P(Deleting, AliasesOfAStoreWithoutHistoryGoOn) {
  Push("m", 1, "prod");
  ASSERT_EQ(*stores_->records()->Commit(
                ModelRecord("m"), {},
                {{std::string(kNamesKey), std::nullopt}, {HistoryKey(1), std::nullopt}}),
            CommitOutcome::kApplied);
  EXPECT_THAT(History(), IsEmpty());
  EXPECT_THAT(Delete({1}), IsError(kPrecondition, "alias prod"));
  ASSERT_THAT(catalog_->SetAlias("m", "beta", 1, {}, {"", "bob"}), IsOk());
  EXPECT_THAT(History(), ElementsAre("beta 0>1 by bob"));
}

TEST_P(Deleting, RetentionIsSetReadAndLifted) {
  EXPECT_THAT(catalog_->SetRetention("m", Retention{3, 0, {}}, {}),
              IsError(kNoSuch, "no such model"));
  Push("m", 1);
  EXPECT_EQ(*catalog_->GetRetention("m"), std::nullopt);
  const Retention rules{3, 86'400'000, {{"release", std::nullopt}, {"stage", "prod"}}};
  ASSERT_THAT(catalog_->SetRetention("m", rules, {"r", "alice"}), IsOk());
  EXPECT_EQ(*catalog_->GetRetention("m"), rules);
  ASSERT_THAT(catalog_->SetRetention("m", std::nullopt, {}), IsOk());
  ASSERT_THAT(catalog_->SetRetention("m", std::nullopt, {}), IsOk());
  ASSERT_THAT(catalog_->SetRetention("m", rules, {"r", "alice"}), IsOk());
  EXPECT_EQ(*catalog_->GetRetention("m"), std::nullopt) << "the first answer again";
  EXPECT_THAT(catalog_->SetRetention("m", Retention{}, {}), IsError(kInvalid, "no rule"));
  EXPECT_THAT(catalog_->SetRetention("m", Retention{0, 0, {{"", std::nullopt}}}, {}),
              IsError(kInvalid, "a label has no name"));
  EXPECT_THAT(catalog_->SetRetention("m", Retention{0, 0, {{"a", {}}, {"b", {}}, {"c", {}}}}, {}),
              IsError(absl::StatusCode::kResourceExhausted, "3 label rules, want at most 2"));
  EXPECT_THAT(catalog_->SetRetention("m", Retention{0, 0, {{"a", std::string(4096, 'x')}}}, {}),
              IsError(absl::StatusCode::kResourceExhausted, "4097 bytes, want at most 4096"));
}

TEST_P(Deleting, ReservedNumbersAreNotUsed) {
  ASSERT_THAT(catalog_->ReserveNumbers("m", 7, {"r", "alice"}), IsOk());
  EXPECT_EQ(catalog_->GetModel("m")->numbers_used, 7u);
  EXPECT_EQ(catalog_->GetModel("m")->versions, 0u);
  Push("m", 1);
  EXPECT_EQ(catalog_->GetModel("m")->latest, 8u);
  ASSERT_THAT(catalog_->ReserveNumbers("m", 3, {}), IsOk()) << "used already";
  Push("m", 2);
  EXPECT_EQ(catalog_->GetModel("m")->latest, 9u);
  EXPECT_EQ(catalog_->GetModel("m")->versions, 2u);
  EXPECT_EQ(catalog_->GetModel("m")->numbers_used, 9u);
  EXPECT_THAT(catalog_->ReserveNumbers("m", 10'000'000'000, {}),
              IsError(kInvalid, "want at most 9999999999"));
  EXPECT_THAT(catalog_->ReserveNumbers("M", 1, {}), IsError(kInvalid, ""));
}

TEST_P(Deleting, ADamagedRecordOfANewKindIsDataLoss) {
  Push("m", 1);
  Push("m", 2);
  EXPECT_EQ(*Delete({1}), 1u);
  const auto damage = [&](const std::string& key, const std::string& value) {
    ASSERT_THAT(stores_->records()->Commit(ModelRecord("m"), {}, {{key, value}}), IsOk());
  };
  const auto code = absl::StatusCode::kDataLoss;
  damage(DeletedKey(1), "\x02");
  EXPECT_THAT(catalog_->ListVersions("m", 1, "", VersionSet::kDeleted), IsError(code, "deleted"));
  EXPECT_THAT(catalog_->UndeleteVersion("m", 1, {}), IsError(code, "deleted version"));
  damage(std::string(kRetentionKey), "\x02");
  EXPECT_THAT(catalog_->GetRetention("m"), IsError(code, "retention"));
  damage(HistoryKey(1), "\x80");
  EXPECT_THAT(catalog_->ListAliasHistory("m", "", 1, ""), IsError(code, "alias history"));
  damage(std::string(kNamesKey), "many");
  EXPECT_THAT(catalog_->SetAlias("m", "prod", 2, {}, {}), IsError(code, "names \"many\""));
}

TEST_P(Deleting, ExclusiveBytesAreThoseThatNoOtherVersionHas) {
  const TestBlock a = MakeBlock(1, 1000), b = MakeBlock(2, 500), c = MakeBlock(3, 70'000);
  const auto measure = [&](const VersionInfo& version) {
    return MeasureVersion(stores_->blobs(), stores_->records(), TestLimits(), version);
  };
  const auto manifest_bytes = [](const std::vector<TestBlock>& blocks) {
    return EncodeManifest(MakeManifest(blocks)).size();
  };
  const VersionInfo first = *PushBlocks(catalog_.get(), "m", {a, b, b});
  EXPECT_EQ(measure(first)->exclusive_bytes, 1500 + manifest_bytes({a, b, b}));
  EXPECT_EQ(measure(first)->shared_bytes, 0u);
  const VersionInfo second = *PushBlocks(catalog_.get(), "m", {b, c});
  EXPECT_EQ(measure(first)->exclusive_bytes, 1000 + manifest_bytes({a, b, b}));
  EXPECT_EQ(measure(first)->shared_bytes, 500u);
  ASSERT_THAT(PushBlocks(catalog_.get(), "other", {c, a}), IsOk());
  EXPECT_EQ(measure(second)->shared_bytes, 70'500u);
  EXPECT_EQ(*Delete({1}), 1u);
  EXPECT_EQ(measure(second)->shared_bytes, 70'500u) << "deleted versions count";
  EXPECT_THAT(measure(first), IsError(kNoSuch, "m:1: no such version"));
  Limits little = TestLimits();
  little.usage_manifest_bytes_max = 10;
  EXPECT_THAT(MeasureVersion(stores_->blobs(), stores_->records(), little, second),
              IsError(absl::StatusCode::kResourceExhausted, "(usage_manifest_bytes_max)"));
}

TEST(RetentionRules, KeepWhatAnyRuleNames) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  VersionInfo version;
  version.created = now - absl::Hours(10);
  version.labels = {{"stage", "prod"}, {"run", "7"}};
  constexpr uint64_t kHour = 3'600'000;
  const struct {
    Retention rules;
    uint64_t newer;
    bool kept;
  } kRows[] = {
      {{3, 0, {}}, 0, true},
      {{3, 0, {}}, 2, true},
      {{3, 0, {}}, 3, false},
      {{0, 11 * kHour, {}}, 5, true},
      {{0, 10 * kHour, {}}, 5, false},
      {{0, kHour, {}}, 0, true},  // the latest
      {{0, UINT64_MAX, {}}, 5, true},
      {{0, 0, {{"stage", std::nullopt}}}, 5, true},
      {{0, 0, {{"stage", "prod"}}}, 5, true},
      {{0, 0, {{"stage", "beta"}}}, 5, false},
      {{0, 0, {{"stage", ""}}}, 5, false},
      {{0, 0, {{"release", std::nullopt}}}, 5, false},
      {{1, kHour, {{"release", std::nullopt}, {"run", "7"}}}, 5, true},
      {{1, kHour, {{"release", std::nullopt}}}, 5, false},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(RetentionKeeps(row.rules, version, row.newer, now), row.kept)
        << row.rules.keep_last << " " << row.newer;
  }
}

}  // namespace
}  // namespace ballast

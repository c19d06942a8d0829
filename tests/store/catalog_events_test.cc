// What happened to a model, over both engines.
#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "storage/store/model_record.h"
#include "storage/store/version_record.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Limits EventLimits() {
  Limits limits;
  limits.alias_history_max = 3;
  return limits;
}

// "3" a version, "prod 1>2" a move.
std::string TextOf(const ModelEvent& event) {
  if (event.published.has_value()) return absl::StrCat(event.published->version);
  return absl::StrCat(event.moved->alias, " ", event.moved->from, ">", event.moved->to);
}

class CatalogEventsTest : public ::testing::TestWithParam<std::string> {
 protected:
  CatalogEventsTest()
      : catalog_(*Catalog::Open(stores_->blobs(), stores_->records(), EventLimits())) {}

  void Push(const std::string& alias = "") {
    CatalogPush::PublishOptions options;
    options.alias = alias;
    ASSERT_THAT(PushBlocks(catalog_.get(), "m", {MakeBlock(1, 10)}, "", options), IsOk());
  }
  void Move(const std::string& alias, uint64_t version) {
    ASSERT_THAT(catalog_->SetAlias("m", alias, version, std::nullopt, {}), IsOk());
  }
  // Follows `position` to the end.
  std::vector<std::string> Follow(ModelPosition* position, const std::string& alias = "") {
    std::vector<std::string> texts;
    for (bool more = true; more;) {
      const auto events = catalog_->EventsAfter("m", alias, *position);
      EXPECT_THAT(events, IsOk());
      if (!events.ok()) return texts;
      for (const ModelEvent& event : events->events) texts.push_back(TextOf(event));
      *position = events->position;
      more = events->more;
    }
    return texts;
  }

  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
  const std::unique_ptr<Catalog> catalog_;
};
INSTANTIATE_TEST_SUITE_P(Engines, CatalogEventsTest, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(CatalogEventsTest, VersionsComeBeforeTheMovesToThem) {
  Push("prod");
  Push();
  Move("prod", 2);
  ModelPosition position;
  EXPECT_THAT(Follow(&position), ElementsAre("1", "2", "prod 0>1", "prod 1>2"));
  EXPECT_EQ(position, (ModelPosition{2, 2}));
  EXPECT_EQ(*catalog_->GetPosition("m"), position);
  EXPECT_THAT(Follow(&position), IsEmpty());
}

TEST_P(CatalogEventsTest, EveryEventSaysWhereToGoOn) {
  Push("prod");
  Push("prod");
  const auto all = catalog_->EventsAfter("m", "", {});
  ASSERT_THAT(all, IsOk());
  ASSERT_EQ(all->events.size(), 4u);
  for (size_t i = 0; i < all->events.size(); ++i) {
    ModelPosition position = all->events[i].position;
    EXPECT_EQ(Follow(&position).size(), all->events.size() - i - 1) << i;
  }
}

TEST_P(CatalogEventsTest, AnAliasAloneHasOnlyItsMoves) {
  Push("prod");
  Push("next");
  Push("prod");
  ModelPosition position;
  EXPECT_THAT(Follow(&position, "prod"), ElementsAre("prod 0>1", "prod 1>3"));
  EXPECT_EQ(position, *catalog_->GetPosition("m"));
  EXPECT_THAT(Follow(&position, "other"), IsEmpty());
}

TEST_P(CatalogEventsTest, DeletedVersionsAreNotToldAndHoldNothingUp) {
  for (int i = 0; i < 5; ++i) Push();
  ASSERT_THAT(catalog_->DeleteVersions("m", {2, 5}, false, {}), IsOk());
  ModelPosition position;
  EXPECT_THAT(Follow(&position), ElementsAre("1", "3", "4"));
  ASSERT_THAT(catalog_->UndeleteVersion("m", 2, {}), IsOk());
  EXPECT_THAT(Follow(&position), IsEmpty()) << "it is not new";
  Push();
  EXPECT_THAT(Follow(&position), ElementsAre("6"));
}

TEST_P(CatalogEventsTest, MoreVersionsThanOnePageComeInOrder) {
  for (int i = 0; i < 300; ++i) Push();
  Move("prod", 300);
  ModelPosition position;
  const std::vector<std::string> texts = Follow(&position);
  ASSERT_EQ(texts.size(), 301u);
  for (size_t i = 0; i < 300; ++i) EXPECT_EQ(texts[i], absl::StrCat(i + 1));
  EXPECT_EQ(texts[300], "prod 0>300");
}

// As an import leaves them: numbers are the versions' own, and may be far apart.
TEST_P(CatalogEventsTest, WideGapsBetweenNumbersAreCrossed) {
  Push();
  const auto first = stores_->records()->Read(ModelRecord("m"), {VersionKey(1)});
  ASSERT_THAT(first, IsOk());
  std::vector<std::string> want = {"1"};
  std::mt19937_64 random(7);
  std::vector<RecordEdit> edits;
  std::vector<uint64_t> numbers = {257, 258, 5000, 1'000'000, kVersionMax};
  for (int i = 0; i < 20; ++i) numbers.push_back(2'000'000 + random() % 5'000'000'000);
  std::sort(numbers.begin(), numbers.end());
  for (const uint64_t number : numbers) {
    VersionRecord record = *DecodeVersionRecord(*(*first)[0]);
    record.info.version = number;
    edits.push_back({VersionKey(number), EncodeVersionRecord(record)});
    want.push_back(absl::StrCat(number));
  }
  edits.push_back({std::string(kHeadKey), EncodeHead({kVersionMax, numbers.size() + 1})});
  ASSERT_THAT(stores_->records()->Commit(ModelRecord("m"), {}, edits), IsOk());
  ModelPosition position;
  EXPECT_EQ(Follow(&position), want);
}

TEST_P(CatalogEventsTest, ForgottenMovesAreSaidAndNeverSkipped) {
  Push("prod");
  const ModelPosition early = *catalog_->GetPosition("m");
  for (int i = 0; i < 3; ++i) Push("prod");
  ModelPosition position = early;
  EXPECT_THAT(Follow(&position), ElementsAre("2", "3", "4", "prod 1>2", "prod 2>3", "prod 3>4"));
  Push("prod");
  EXPECT_THAT(catalog_->EventsAfter("m", "", early),
              IsError(absl::StatusCode::kOutOfRange,
                      "m: alias move 2 is forgotten, want one of the last 3"));
  EXPECT_THAT(Follow(&position), ElementsAre("5", "prod 4>5"));
}

TEST_P(CatalogEventsTest, PositionsThatWereNeverReachedAreRefused) {
  Push("prod");
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(catalog_->EventsAfter("m", "", {2, 0}),
              IsError(invalid, "m: position is behind version 2, want at most 1"));
  EXPECT_THAT(catalog_->EventsAfter("m", "prod", {0, 2}),
              IsError(invalid, "m: position is behind alias move 2, want at most 1"));
  EXPECT_THAT(catalog_->EventsAfter("m", "No", {}), IsError(invalid, "alias"));
  EXPECT_THAT(catalog_->EventsAfter("no/such", "", {}),
              IsError(absl::StatusCode::kNotFound, "no/such: no such model"));
  EXPECT_THAT(catalog_->GetPosition("no/such"),
              IsError(absl::StatusCode::kNotFound, "no/such: no such model"));
}

TEST_P(CatalogEventsTest, AModelWithOnlyASchemaStandsAtTheBeginning) {
  ASSERT_THAT(catalog_->BindSchema("m", "{}", ""), IsOk());
  EXPECT_EQ(*catalog_->GetPosition("m"), ModelPosition());
}

}  // namespace
}  // namespace ballast

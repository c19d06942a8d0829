// What every RecordStore keeps to.
#include <atomic>
#include <thread>

#include "storage/base/status.h"
#include "storage/store/record_iteration.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::Pair;

class RecordContract : public ::testing::TestWithParam<std::string> {
 protected:
  RecordStore& records() { return *stores_->records(); }
  void Set(const std::string& record, const std::string& key, const std::string& value) {
    ASSERT_EQ(*records().Commit(record, {}, {{key, value}}), CommitOutcome::kApplied);
  }
  std::optional<std::string> Get(const std::string& record, const std::string& key) {
    auto values = records().Read(record, {key});
    EXPECT_THAT(values, IsOk());
    return values.ok() ? (*values)[0] : std::nullopt;
  }

  const std::unique_ptr<TestStores> stores_ = OpenStores(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Engines, RecordContract, ::testing::Values("rocksdb", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(RecordContract, ReadsWhatWasCommitted) {
  Set("r", "a", "1");
  const auto values = records().Read("r", {"a", "b"});
  ASSERT_THAT(values, IsOk());
  EXPECT_THAT(*values, ElementsAre(Optional(Eq("1")), Eq(std::nullopt)));
}

TEST_P(RecordContract, RecordsWithACommonBeginningAreApart) {
  Set("r", "a", "1");
  Set("r/a", "b", "2");
  Set("ra", "c", "3");
  EXPECT_EQ(Get("r", "b"), std::nullopt);
  EXPECT_EQ(Get("r", "a"), "1");
  const auto page = records().List("r", "", "", 10);
  ASSERT_THAT(page, IsOk());
  EXPECT_THAT(page->items, ElementsAre(Pair("a", "1")));
}

TEST_P(RecordContract, AppliesAllEditsOrNone) {
  Set("r", "a", "1");
  EXPECT_EQ(*records().Commit("r", {{"a", "2"}}, {{"a", "3"}, {"b", "4"}}),
            CommitOutcome::kConflict);
  EXPECT_EQ(Get("r", "a"), "1");
  EXPECT_EQ(Get("r", "b"), std::nullopt);
  EXPECT_EQ(
      *records().Commit("r", {{"a", "1"}, {"b", std::nullopt}}, {{"a", std::nullopt}, {"b", "4"}}),
      CommitOutcome::kApplied);
  EXPECT_EQ(Get("r", "a"), std::nullopt);
  EXPECT_EQ(Get("r", "b"), "4");
}

TEST_P(RecordContract, ConditionOnAbsenceFailsWhenPresent) {
  Set("r", "a", "1");
  EXPECT_EQ(*records().Commit("r", {{"a", std::nullopt}}, {{"b", "1"}}), CommitOutcome::kConflict);
}

TEST_P(RecordContract, RefusesNamesAndValuesOutOfBounds) {
  const std::string nul("a\0b", 3);
  const std::string long_name(1001, 'x');
  const std::string huge((1u << 20) + 1, 'x');
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(records().Commit("", {}, {{"a", "1"}}), IsError(code, "length of a name is 0"));
  EXPECT_THAT(records().Commit(nul, {}, {{"a", "1"}}), IsError(code, "NUL"));
  EXPECT_THAT(records().Commit("r", {}, {{long_name, "1"}}), IsError(code, "1001, want 1 to 1000"));
  EXPECT_THAT(records().Commit("r", {{nul, "1"}}, {}), IsError(code, "NUL"));
  EXPECT_THAT(records().Commit("r", {}, {{"a", ""}}), IsError(code, "value of \"a\" is 0"));
  EXPECT_THAT(records().Commit("r", {}, {{"a", huge}}), IsError(code, "want 1 to 1048576"));
  EXPECT_THAT(records().Read("", {"a"}), IsError(code, "length of a name is 0"));
  EXPECT_THAT(records().List(nul, "", "", 1), IsError(code, "NUL"));
  EXPECT_EQ(*records().Commit("r", {}, {{std::string(1000, 'x'), huge.substr(1)}}),
            CommitOutcome::kApplied);
}

TEST_P(RecordContract, ListsInOrderOfBytesWithinThePrefix) {
  for (const char* key : {"b/2", "a", "b/1", "b/\xFF", "c", "b0", "b/10"}) Set("r", key, "v");
  const auto page = records().List("r", "", "b/", 10);
  ASSERT_THAT(page, IsOk());
  EXPECT_THAT(page->items, ElementsAre(Pair("b/1", "v"), Pair("b/10", "v"), Pair("b/2", "v"),
                                       Pair("b/\xFF", "v")));
  EXPECT_FALSE(page->more);
}

TEST_P(RecordContract, PagesContinueBehindTheLastItem) {
  for (int i = 0; i < 10; ++i) Set("r", "k" + std::to_string(i), "v");
  std::string after;
  std::vector<std::string> keys;
  bool more = true;
  while (more) {
    const auto page = records().List("r", after, "k", 3);
    ASSERT_THAT(page, IsOk());
    ASSERT_LE(page->items.size(), 3u);
    for (const auto& item : page->items) keys.push_back(item.first);
    more = page->more;
    after = keys.back();
  }
  EXPECT_THAT(keys, ElementsAre("k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"));
}

TEST_P(RecordContract, ListStartsBehindAKeyThatIsGone) {
  Set("r", "a", "1");
  Set("r", "c", "3");
  const auto page = records().List("r", "b", "", 10);
  ASSERT_THAT(page, IsOk());
  EXPECT_THAT(page->items, ElementsAre(Pair("c", "3")));
  EXPECT_THAT(records().List("nobody", "", "", 10)->items, IsEmpty());
}

TEST_P(RecordContract, CallsWatchersOfTheRecordUntilTheyEnd) {
  std::atomic<int> calls = 0;
  auto watch = records().Watch("r", [&] { ++calls; });
  ASSERT_THAT(watch, IsOk());
  Set("r", "a", "1");
  Set("other", "a", "1");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(*records().Commit("r", {{"a", "9"}}, {{"a", "2"}}), CommitOutcome::kConflict);
  EXPECT_EQ(calls, 1);
  watch->reset();
  Set("r", "a", "2");
  EXPECT_EQ(calls, 1);
}

TEST_P(RecordContract, CountsEveryIncrementOfManyThreads) {
  constexpr int kThreads = 8;
  constexpr int kEach = 50;
  Set("r", "n", "0");
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int done = 0; done < kEach;) {
        const std::string now = *Get("r", "n");
        const auto outcome =
            records().Commit("r", {{"n", now}}, {{"n", std::to_string(std::stoi(now) + 1)}});
        ASSERT_THAT(outcome, IsOk());
        done += *outcome == CommitOutcome::kApplied;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Get("r", "n"), std::to_string(kThreads * kEach));
}

TEST_P(RecordContract, AReadSeesOneInstant) {
  std::atomic<bool> stop = false;
  Set("r", "a", "0");
  Set("r", "b", "0");
  std::thread writer([&] {
    for (int i = 1; i < 200; ++i) {
      const std::string n = std::to_string(i);
      EXPECT_THAT(records().Commit("r", {}, {{"a", n}, {"b", n}}), IsOk());
    }
    stop = true;
  });
  while (!stop) {
    const auto values = records().Read("r", {"a", "b"});
    ASSERT_THAT(values, IsOk());
    EXPECT_EQ((*values)[0], (*values)[1]);
  }
  writer.join();
}

}  // namespace
}  // namespace ballast

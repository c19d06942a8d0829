#include "server/use_cases/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::Contains;

class StatisticsTest : public ::testing::Test {
 protected:
  StatisticsTest() { limits_.tally_age_ms_max = 60'000; }

  std::unique_ptr<Statistics> Make() {
    return std::make_unique<Statistics>(
        Statistics::Sources{server_.catalog(), &monitor_, limits_,
                            [] {
                              return std::vector<LimitUse>{{"streams_max", 3, 64}};
                            },
                            [this] { return now_; }});
  }

  Limits limits_;
  TestServer server_;
  FakeMonitor monitor_;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
};

TEST_F(StatisticsTest, AnEmptyServerHoldsNothing) {
  const auto stats = Make()->Get(false);
  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->tally.models, 0u);
  EXPECT_EQ(stats->tally.versions, 0u);
  EXPECT_EQ(stats->tally.logical_bytes, 0u);
  EXPECT_EQ(stats->started, now_);
}

TEST_F(StatisticsTest, CountsVersionsOfAllModelsOverPages) {
  Limits small;
  small.page_entries_max = 2;
  TestServer server("memory", small);
  for (int i = 0; i < 5; ++i) MustPush(server, absl::StrCat("m", i), SmallModel(), "prod");
  for (int i = 0; i < 4; ++i) MustPush(server, "m0", SmallModel());
  Statistics statistics({server.catalog(), &monitor_, small});
  const auto stats = statistics.Get(true);
  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->tally.models, 5u);
  EXPECT_EQ(stats->tally.versions, 9u);
  EXPECT_EQ(stats->tally.logical_bytes, 9 * PayloadBytes(ManifestOf(SmallModel())));
  EXPECT_EQ(stats->tally.aliases_most, 1u);
}

TEST_F(StatisticsTest, ACountIsUsedUntilItIsOld) {
  const auto statistics = Make();
  MustPush(server_, "m", SmallModel());
  EXPECT_EQ(statistics->Get(false)->tally.versions, 1u);
  MustPush(server_, "m", SmallModel());
  now_ += absl::Seconds(60);
  EXPECT_EQ(statistics->Get(false)->tally.versions, 1u);
  EXPECT_EQ(statistics->Get(false)->tally.counted, now_ - absl::Seconds(60));
  now_ += absl::Milliseconds(1);
  EXPECT_EQ(statistics->Get(false)->tally.versions, 2u);
  EXPECT_EQ(statistics->Get(false)->tally.counted, now_);
}

TEST_F(StatisticsTest, ExactCountsVersionsAndBlocksNow) {
  const auto statistics = Make();
  monitor_.usage.blocks = {7, 700};
  monitor_.exact = {8, 800};
  EXPECT_EQ(statistics->Get(false)->store.blocks, (BlockTotals{7, 700}));
  EXPECT_EQ(monitor_.counted, 0) << "a scan that nobody asked for";
  MustPush(server_, "m", SmallModel());
  const auto stats = statistics->Get(true);
  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->tally.versions, 1u);
  EXPECT_EQ(stats->store.blocks, (BlockTotals{8, 800}));
  EXPECT_EQ(statistics->Get(false)->tally.versions, 1u) << "the exact count is the last one";
}

TEST_F(StatisticsTest, NamesLimitsThatFillUp) {
  MustPush(server_, "m", SmallModel(), "prod");
  const auto stats = Make()->Get(false);
  ASSERT_THAT(stats, IsOk());
  EXPECT_THAT(stats->limits, Contains(LimitUse{"streams_max", 3, 64}));
  EXPECT_THAT(stats->limits, Contains(LimitUse{"aliases_max", 1, 1000}));
}

TEST_F(StatisticsTest, AStoreThatDoesNotAnswerIsAnError) {
  monitor_.status = absl::UnavailableError("no answer");
  EXPECT_THAT(Make()->Get(false), IsError(absl::StatusCode::kUnavailable, "stats: no answer"));
}

// Stops the first count in its clock until it is let go.
class Gate {
 public:
  void Pass() {
    std::unique_lock lock(mutex_);
    arrived_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void AwaitArrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool arrived_ = false;
  bool open_ = false;
};

TEST_F(StatisticsTest, NobodyWaitsForAnothersCount) {
  MustPush(server_, "m", SmallModel());
  Gate gate;
  thread_local bool stops = false;
  Statistics statistics({server_.catalog(), &monitor_, limits_, nullptr, [&] {
                           if (stops) gate.Pass();
                           return now_;
                         }});
  std::thread slow([&] {
    stops = true;
    EXPECT_THAT(statistics.Get(true), IsOk());
  });
  gate.AwaitArrival();
  for (const bool exact : {false, true}) {
    EXPECT_THAT(statistics.Get(exact),
                IsError(absl::StatusCode::kUnavailable, "another count of all versions"));
  }
  gate.Open();
  slow.join();
  EXPECT_EQ(statistics.Get(false)->tally.versions, 1u);
}

}  // namespace
}  // namespace ballast

#include "server/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/process_stats.h"
#include "tests/server/server_testing.h"
#include "tests/support/fake_monitor.h"

namespace ballast {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class MetricsTest : public ::testing::Test {
 protected:
  void Run(const std::string& method, const absl::Status& status = absl::OkStatus(),
           uint64_t bytes_in = 0, uint64_t bytes_out = 0, int ms = 1) {
    Call call;
    call.method = method;
    call.principal = "someone";
    metrics_->Begun(call);
    metrics_->Moved(call, bytes_in, 0);
    metrics_->Moved(call, 0, bytes_out);
    metrics_->Ended(call, status, std::chrono::milliseconds(ms));
  }
  std::vector<std::string> Lines() const { return absl::StrSplit(metrics_->Text(), '\n'); }

  const TestServer server_;
  FakeMonitor store_;
  const CallThreads threads_{Limits()};
  Readiness readiness_{&store_, 1000};
  const std::unique_ptr<Metrics> metrics_ =
      Metrics::Create({&server_.methods(), &store_, &threads_, &readiness_, "1.2.3"});
};

TEST_F(MetricsTest, CountsCallsByMethodAndCode) {
  Run("Push");
  Run("Push");
  Run("Push", absl::DataLossError("x"));
  Run("GetVersion", absl::NotFoundError("x"));
  const auto lines = Lines();
  EXPECT_THAT(lines, Contains("ballast_calls_total{code=\"OK\",method=\"Push\"} 2"));
  EXPECT_THAT(lines, Contains("ballast_calls_total{code=\"DATA_LOSS\",method=\"Push\"} 1"));
  EXPECT_THAT(lines, Contains("ballast_calls_total{code=\"NOT_FOUND\",method=\"GetVersion\"} 1"));
  EXPECT_THAT(lines, Contains("ballast_calls_total{code=\"OK\",method=\"GetVersion\"} 0"));
}

TEST_F(MetricsTest, HasASeriesForEveryMethodFromTheStart) {
  for (const auto& [name, method] : server_.methods()) {
    EXPECT_THAT(Lines(),
                Contains(absl::StrCat("ballast_calls_total{code=\"OK\",method=\"", name, "\"} 0")));
  }
}

TEST_F(MetricsTest, NamesOfMethodsThatThereAreNotShareOneLabel) {
  for (int i = 0; i < 100; ++i) {
    Run(absl::StrCat("Evil", i, "\"\n"), absl::UnimplementedError("there is no method"));
  }
  EXPECT_THAT(Lines(), Contains("ballast_calls_total{code=\"UNIMPLEMENTED\",method=\"unknown\"} "
                                "100"));
  EXPECT_THAT(metrics_->Text(), Not(HasSubstr("Evil")));
}

TEST_F(MetricsTest, SortsDurationsAndBytesByClass) {
  Run("Push", absl::OkStatus(), 1000, 10, 40);
  Run("Pull", absl::OkStatus(), 20, 5000, 3000);
  Run("GetVersion", absl::OkStatus(), 7, 8, 0);
  Run("ListModels", absl::OkStatus(), 3, 2, 0);
  Run("CollectGarbage", absl::OkStatus(), 1, 1, 60'000);
  const auto lines = Lines();
  for (const char* line : {"ballast_received_bytes_total{class=\"push\"} 1000",
                           "ballast_sent_bytes_total{class=\"push\"} 10",
                           "ballast_sent_bytes_total{class=\"pull\"} 5000",
                           "ballast_received_bytes_total{class=\"control\"} 10",
                           "ballast_sent_bytes_total{class=\"control\"} 10",
                           "ballast_call_duration_seconds_count{class=\"control\"} 2",
                           "ballast_call_duration_seconds_count{class=\"collectgarbage\"} 1",
                           "ballast_call_duration_seconds_bucket{class=\"control\",le=\"0.001\"} 2",
                           "ballast_call_duration_seconds_bucket{class=\"push\",le=\"0.025\"} 0",
                           "ballast_call_duration_seconds_bucket{class=\"push\",le=\"0.05\"} 1",
                           "ballast_call_duration_seconds_bucket{class=\"pull\",le=\"2.5\"} 0",
                           "ballast_call_duration_seconds_bucket{class=\"pull\",le=\"5\"} 1",
                           "ballast_call_duration_seconds_bucket{class=\"pull\",le=\"+Inf\"} 1"}) {
    EXPECT_THAT(lines, Contains(line));
  }
}

TEST_F(MetricsTest, ShowsBytesAndOpenCallsWhileACallRuns) {
  Call call;
  call.method = "Pull";
  metrics_->Begun(call);
  metrics_->Moved(call, 0, 1 << 20);
  EXPECT_THAT(Lines(), Contains("ballast_open_calls{class=\"pull\"} 1"));
  EXPECT_THAT(Lines(), Contains("ballast_sent_bytes_total{class=\"pull\"} 1048576"));
  metrics_->Ended(call, absl::CancelledError("x"), std::chrono::seconds(1));
  EXPECT_THAT(Lines(), Contains("ballast_open_calls{class=\"pull\"} 0"));
}

TEST_F(MetricsTest, CountsRefusedPushesByReason) {
  const struct {
    absl::Status status;
    const char* reason;  // null: not a refusal
  } kRows[] = {
      {SchemaMismatchError("x"), "SCHEMA_MISMATCH"},
      {UnsafeError("x"), "UNSAFE"},
      {LimitError("x"), "LIMIT"},
      {absl::ResourceExhaustedError("the disk is full"), "RESOURCE_EXHAUSTED"},
      {absl::PermissionDeniedError("x"), "PERMISSION_DENIED"},
      {absl::OkStatus(), nullptr},
      {absl::CancelledError("x"), nullptr},
      {absl::UnavailableError("x"), nullptr},
      {absl::DeadlineExceededError("x"), nullptr},
      {absl::DataLossError("x"), nullptr},
      {absl::InternalError("x"), nullptr},
  };
  int refusals = 0;
  for (const auto& row : kRows) {
    Run("Push", row.status);
    if (row.reason == nullptr) continue;
    ++refusals;
    EXPECT_THAT(Lines(), Contains(absl::StrCat("ballast_pushes_refused_total{reason=\"", row.reason,
                                               "\"} 1")));
  }
  Run("Pull", absl::NotFoundError("no push"));
  int series = 0;
  for (const std::string& line : Lines()) {
    series += absl::StrContains(line, "pushes_refused_total{") ? 1 : 0;
  }
  EXPECT_EQ(series, refusals);
}

TEST_F(MetricsTest, CountsBlocksOfPushes) {
  Call call;
  call.method = "Push";
  call.blocks_stored = 5;
  call.blocks_known = 7;
  metrics_->Begun(call);
  metrics_->Ended(call, absl::OkStatus(), std::chrono::seconds(1));
  EXPECT_THAT(Lines(), Contains("ballast_push_blocks_total{result=\"stored\"} 5"));
  EXPECT_THAT(Lines(), Contains("ballast_push_blocks_total{result=\"known\"} 7"));
}

TEST_F(MetricsTest, LooksUpStoreThreadsAndProcess) {
  store_.usage.blocks = {3, 4096};
  store_.usage.disk_free_bytes = 12345;
  const auto lines = Lines();
  for (const char* line :
       {"ballast_store_blocks 3", "ballast_store_block_bytes 4096",
        "ballast_store_disk_free_bytes 12345", "ballast_ready 1",
        "ballast_build_info{version=\"1.2.3\"} 1", "ballast_threads_busy{pool=\"data\"} 0",
        "ballast_threads_max{pool=\"data\"} 64", "ballast_queue_max{pool=\"data\"} 256",
        "ballast_threads_max{pool=\"watch\"} 256", "ballast_queued_calls{pool=\"control\"} 0", "ballast_threads_max{pool=\"control\"} 8",
        "# TYPE process_cpu_seconds_total counter", "# TYPE ballast_store_blocks gauge",
        "# TYPE ballast_call_duration_seconds histogram"}) {
    EXPECT_THAT(lines, Contains(line));
  }
}

TEST_F(MetricsTest, AStoreThatDoesNotAnswerIsLeftOut) {
  store_.status = absl::UnavailableError("gone");
  EXPECT_THAT(metrics_->Text(), Not(HasSubstr("ballast_store_blocks")));
  EXPECT_THAT(Lines(), Contains("ballast_ready 0"));
}

TEST_F(MetricsTest, EveryNameHasOneTypeAndOneHelpLine) {
  Run("Push");
  std::map<std::string, int> types;
  for (const std::string& line : Lines()) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() < 4 || words[0] != "#") continue;
    if (words[1] == "TYPE") ++types[words[2]];
  }
  EXPECT_GT(types.size(), 25u);
  for (const auto& [name, count] : types) EXPECT_EQ(count, 1) << name;
}

TEST_F(MetricsTest, CountsCallsOfManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 500; ++j) Run("Pull", absl::OkStatus(), 1, 2);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(Lines(), Contains("ballast_calls_total{code=\"OK\",method=\"Pull\"} 4000"));
  EXPECT_THAT(Lines(), Contains("ballast_sent_bytes_total{class=\"pull\"} 8000"));
  EXPECT_THAT(Lines(), Contains("ballast_open_calls{class=\"pull\"} 0"));
}

TEST(Readiness, SaysWhyNot) {
  FakeMonitor store;
  Readiness readiness(&store, 1000);
  EXPECT_THAT(readiness.Check(), IsOk());
  store.usage.disk_free_bytes = 999;
  EXPECT_THAT(readiness.Check(), Fails(absl::StatusCode::kResourceExhausted, Reason::kLimit,
                                       "disk: free bytes are 999, want at least 1000"));
  store.usage.disk_free_bytes = 1000;
  EXPECT_THAT(readiness.Check(), IsOk());
  store.status = absl::UnavailableError("no answer");
  EXPECT_THAT(readiness.Check(), IsError(absl::StatusCode::kUnavailable, "no answer"));
  store.status = absl::OkStatus();
  readiness.SetStopping();
  EXPECT_THAT(readiness.Check(), IsError(absl::StatusCode::kUnavailable, "stopping"));
}

TEST(Readiness, ALimitOf0TakesAnyDisk) {
  FakeMonitor store;
  store.usage.disk_free_bytes = 0;
  EXPECT_THAT(Readiness(&store, 0).Check(), IsOk());
}

TEST(ProcessStats, AreThoseOfThisProcess) {
  const ProcessStats stats = ReadProcessStats();
  EXPECT_GT(stats.resident_bytes, 1u << 20);
  EXPECT_GE(stats.virtual_bytes, stats.resident_bytes);
  EXPECT_GE(stats.threads, 1u);
  EXPECT_GE(stats.open_fds, 3u);
  EXPECT_GT(stats.max_fds, stats.open_fds);
  EXPECT_GT(stats.start_time_seconds, 1e9);
}

}  // namespace
}  // namespace ballast

// Pushes behind the caller's back: what is copied, what waits, what is dropped and who
// is told. A gate holds the running push, so that nothing depends on time.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/status.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Pushed = std::future<absl::StatusOr<PushResult>>;

// Pushes stop at it while it is closed.
class Gate {
 public:
  void Close() { Set(true); }
  void Open() { Set(false); }
  // Until a push stands at it.
  void WaitForPush() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_; });
  }
  bool Pass(const std::string& method) {
    if (method != "Push") return false;
    std::unique_lock lock(mutex_);
    waiting_ = closed_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    waiting_ = false;
    return false;
  }

 private:
  void Set(bool closed) {
    const std::lock_guard lock(mutex_);
    closed_ = closed;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  bool waiting_ = false;
};

bool IsReady(const Pushed& pushed) {
  return pushed.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

class AsyncPushTest : public ::testing::Test {
 protected:
  AsyncPushTest() { client_ = NewClient(2); }
  std::unique_ptr<Client> NewClient(size_t async_pushes_max) {
    ClientOptions options;
    options.async_pushes_max = async_pushes_max;
    return registry_.NewClient([this](const std::string& method) { return gate_.Pass(method); },
                               options);
  }
  static std::vector<TensorView> Views(const std::string& bytes) {
    return {{"w", DType::kUint8, Shape{bytes.size()}, bytes}};
  }
  Pushed Push(const std::string& bytes, const AsyncPushOptions& how = {},
              const std::string& model = "m") {
    return client_->PushAsync(Views(bytes), model, {}, how);
  }
  // The first push runs, and stands at the gate.
  Pushed PushToTheGate(const std::string& bytes) {
    gate_.Close();
    Pushed pushed = Push(bytes);
    gate_.WaitForPush();
    return pushed;
  }
  std::string Content(const std::string& reference) {
    std::string out;
    const auto pulled = registry_.NewClient()->PullTensors(
        reference, {}, [&](const TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
          out.resize(CheckedTensorBytes(spec));
          return absl::MakeSpan(out.data(), out.size());
        });
    return pulled.ok() ? out : pulled.status().ToString();
  }
  std::vector<std::string> Contents() {
    std::vector<std::string> out;
    const auto model = registry_.NewClient()->GetModel("m");
    for (uint64_t v = 1; model.ok() && v <= model->latest; ++v) {
      out.push_back(Content(absl::StrCat("m:", v)));
    }
    return out;
  }

  Registry registry_;
  Gate gate_;
  std::unique_ptr<Client> client_;
};

TEST_F(AsyncPushTest, ReturnsBeforeThePushIsOverAndKeepsWhatTheTensorsWere) {
  std::string bytes = "before";
  Pushed pushed = PushToTheGate(bytes);
  bytes = "AFTER!";
  EXPECT_FALSE(IsReady(pushed));
  gate_.Open();
  const auto result = pushed.get();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->reference, "m:1");
  EXPECT_EQ(Content("m:1"), "before");
  EXPECT_TRUE(client_->Flush().ok());
}

TEST_F(AsyncPushTest, LentTensorsAreReadInPlaceUntilTheyAreReleased) {
  std::string bytes = "before";
  std::atomic<bool> released = false;
  AsyncPushOptions how;
  how.release = [&] { released = true; };
  how.done = [&](const absl::StatusOr<PushResult>&) { EXPECT_TRUE(released); };
  Pushed first = PushToTheGate("first");
  Pushed pushed = Push(bytes, how);
  bytes.replace(0, 6, "lent!!");  // not promised to work, but shows that there is no copy
  EXPECT_FALSE(released);
  gate_.Open();
  ASSERT_TRUE(pushed.get().ok());
  EXPECT_TRUE(released);
  EXPECT_THAT(Contents(), ElementsAre("first", "lent!!"));
}

TEST_F(AsyncPushTest, PushesBecomeVersionsInTheOrderOfTheCalls) {
  Pushed first = PushToTheGate("1");
  Pushed second = Push("2");
  Pushed third = Push("3");
  gate_.Open();
  EXPECT_TRUE(client_->Flush().ok());
  EXPECT_TRUE(IsReady(third));
  EXPECT_THAT(Contents(), ElementsAre("1", "2", "3"));
  EXPECT_EQ(second.get()->version, 2u);
}

TEST_F(AsyncPushTest, AFullQueueRefusesAtOnce) {
  Pushed first = PushToTheGate("1");
  Pushed second = Push("2");
  Pushed third = Push("3");
  bool released = false;
  AsyncPushOptions how;
  how.release = [&] { released = true; };
  Pushed fourth = Push("4", how);
  ASSERT_TRUE(IsReady(fourth));
  EXPECT_TRUE(released);
  const absl::Status refused = fourth.get().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(), "m: 2 pushes wait, want fewer for one more (async_pushes_max)");
  gate_.Open();
  const absl::Status flushed = client_->Flush();
  EXPECT_EQ(flushed.message(), absl::StrCat("push of m: ", refused.message()));
  EXPECT_TRUE(client_->Flush().ok()) << "told once";
  EXPECT_THAT(Contents(), ElementsAre("1", "2", "3"));
}

TEST_F(AsyncPushTest, TheNewestWinsOverThoseThatWaitAndNotOverTheRunningOne) {
  AsyncPushOptions newest;
  newest.newest_wins = true;
  std::vector<std::string> dropped;
  newest.done = [&](const absl::StatusOr<PushResult>& pushed) {
    if (!pushed.ok()) dropped.push_back(std::string(pushed.status().message()));
  };
  Pushed running = PushToTheGate("1");
  Pushed second = Push("2", newest);
  Pushed other = Push("x", newest, "other");
  Pushed third = Push("3", newest);
  ASSERT_TRUE(IsReady(second));
  EXPECT_TRUE(absl::IsCancelled(second.get().status()));
  EXPECT_THAT(dropped, ElementsAre("m: dropped for a newer push"));
  Pushed fourth = Push("4", newest);
  EXPECT_TRUE(absl::IsCancelled(third.get().status()));
  gate_.Open();
  EXPECT_TRUE(client_->Flush().ok()) << "to be dropped is no failure";
  EXPECT_THAT(Contents(), ElementsAre("1", "4"));
  EXPECT_EQ(Content("other"), "x");
}

TEST_F(AsyncPushTest, APushThatDoesNotAgreeIsNeverDropped) {
  AsyncPushOptions newest;
  newest.newest_wins = true;
  Pushed running = PushToTheGate("1");
  Pushed kept = Push("2");
  Pushed last = Push("3", newest);
  gate_.Open();
  EXPECT_TRUE(client_->Flush().ok());
  EXPECT_THAT(Contents(), ElementsAre("1", "2", "3"));
}

TEST_F(AsyncPushTest, FailuresAreToldByFutureCallbackAndFlush) {
  absl::Status told;
  AsyncPushOptions how;
  how.done = [&](const absl::StatusOr<PushResult>& pushed) { told = pushed.status(); };
  Pushed bad = Push("1", how, "Bad Name");
  Pushed good = Push("2");
  const absl::Status flushed = client_->Flush();
  EXPECT_EQ(bad.get().status(), told);
  EXPECT_TRUE(absl::IsInvalidArgument(told)) << told;
  EXPECT_TRUE(absl::IsInvalidArgument(flushed)) << flushed;
  EXPECT_THAT(std::string(flushed.message()), HasSubstr("push of Bad Name: model name"));
  EXPECT_TRUE(good.get().ok()) << "one failure does not stop the others";
}

TEST_F(AsyncPushTest, TheClientWaitsForItsPushesBeforeItGoes) {
  Pushed first = PushToTheGate("1");
  Pushed second = Push("2");
  std::thread opener([&] { gate_.Open(); });
  client_.reset();
  opener.join();
  EXPECT_TRUE(IsReady(first) && IsReady(second));
  EXPECT_THAT(Contents(), ElementsAre("1", "2"));
}

TEST_F(AsyncPushTest, ACancelledClientGoesSoon) {
  ClientOptions options;
  const auto client = registry_.NewClient(
      [this](const std::string& method) { return gate_.Pass(method); }, options);
  gate_.Close();
  Pushed first = client->PushAsync(Views("1"), "m", {});
  Pushed second = client->PushAsync(Views("2"), "m", {});
  gate_.WaitForPush();
  options.cancel.Cancel();
  gate_.Open();
  EXPECT_TRUE(absl::IsCancelled(first.get().status()));
  EXPECT_TRUE(absl::IsCancelled(second.get().status()));
  EXPECT_TRUE(absl::IsCancelled(client->Flush()));
}

TEST_F(AsyncPushTest, CopiesOfTiedTensorsAreTied) {
  const std::string bytes = "tied";
  const std::vector<TensorView> views = {{"a", DType::kUint8, Shape{4}, bytes},
                                         {"b", DType::kUint8, Shape{2}, {bytes.data() + 2, 2}},
                                         {"c", DType::kUint8, Shape{4}, bytes},
                                         {"none", DType::kUint8, Shape{0}, {}}};
  ASSERT_TRUE(client_->PushAsync(views, "m", {}).get().ok());
  const auto text = client_->Inspect("m", {});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr(R"(["a","c"])"));
  EXPECT_EQ(client_->GetVersion("m")->payload_bytes, 10u);
}

TEST_F(AsyncPushTest, ManyThreadsPushAndFlushAtOnce) {
  client_ = NewClient(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        std::string bytes = absl::StrCat(t, "/", i);
        Push(bytes);
        bytes.assign(bytes.size(), '!');
        if (i % 10 == 0) {
          EXPECT_TRUE(client_->Flush().ok());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(client_->Flush().ok());
  const std::vector<std::string> contents = Contents();
  EXPECT_EQ(contents.size(), 100u);
  for (int t = 0; t < 4; ++t) {
    std::vector<std::string> want, got;
    for (int i = 0; i < 25; ++i) want.push_back(absl::StrCat(t, "/", i));
    for (const std::string& content : contents) {
      if (content.rfind(absl::StrCat(t, "/"), 0) == 0) got.push_back(content);
    }
    EXPECT_EQ(got, want);
  }
}

}  // namespace
}  // namespace ballast

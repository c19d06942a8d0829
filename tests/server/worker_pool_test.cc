#include "server/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace ballast {
namespace {

// Work that waits until the test lets it go.
class Turnstile {
 public:
  void Wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void AwaitWaiting(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ == count; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

TEST(WorkerPool, RunsEverythingBeforeItIsGone) {
  std::atomic<int> done{0};
  {
    WorkerPool pool(4, 10'000);
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pool.Submit([&] { ++done; }));
  }
  EXPECT_EQ(done, 1000);
}

TEST(WorkerPool, GivesEachWorkAThreadUpToItsBound) {
  Turnstile turnstile;
  WorkerPool pool(8, 0);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(pool.Submit([&] { turnstile.Wait(); }));
  turnstile.AwaitWaiting(8);
  EXPECT_FALSE(pool.Submit([] {})) << "no thread is free, and nothing may wait";
  turnstile.Open();
}

TEST(WorkerPool, RefusesWhatTheQueueCannotHold) {
  std::atomic<int> done{0};
  {
    Turnstile turnstile;
    WorkerPool pool(2, 3);
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(pool.Submit([&] { turnstile.Wait(); }));
    turnstile.AwaitWaiting(2);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.Submit([&] { ++done; }));
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(pool.Submit([&] { done += 100; }));
    turnstile.Open();
  }
  EXPECT_EQ(done, 3);
}

TEST(WorkerPool, SaysHowManyRunAndWait) {
  Turnstile turnstile;
  WorkerPool pool(2, 3);
  EXPECT_EQ(pool.load().busy, 0u);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(pool.Submit([&] { turnstile.Wait(); }));
  turnstile.AwaitWaiting(2);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.Submit([] {}));
  const PoolLoad load = pool.load();
  EXPECT_EQ(load.busy, 2u);
  EXPECT_EQ(load.queued, 3u);
  EXPECT_EQ(load.threads_max, 2u);
  EXPECT_EQ(load.queue_max, 3u);
  turnstile.Open();
}

TEST(WorkerPool, NeverRunsMoreThanItsThreads) {
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  {
    WorkerPool pool(3, 1000);
    for (int i = 0; i < 500; ++i) {
      ASSERT_TRUE(pool.Submit([&] {
        const int now = ++running;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) continue;
        --running;
      }));
    }
  }
  EXPECT_LE(most, 3);
  EXPECT_GE(most, 1);
}

TEST(WorkerPool, AFinishedThreadTakesTheNextWork) {
  WorkerPool pool(1, 0);
  for (int i = 0; i < 50; ++i) {
    Turnstile turnstile;
    turnstile.Open();
    // The thread may not be back yet; it will be.
    while (!pool.Submit([&] { turnstile.Wait(); })) continue;
    turnstile.AwaitWaiting(1);
  }
}

}  // namespace
}  // namespace ballast

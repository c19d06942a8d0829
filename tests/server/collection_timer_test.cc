#include "server/collection_timer.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <optional>

#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

class Outcomes {
 public:
  void Add(const absl::Status& status) {
    const std::lock_guard lock(mutex_);
    last_ = status;
    ++count_;
    changed_.notify_all();
  }
  // Until so many collections are over.
  void Await(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ >= count; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  absl::Status last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::Status last_;
  int count_ = 0;
};

class CollectionTimerTest : public ::testing::Test {
 protected:
  const std::unique_ptr<TestStores> stores_ = OpenStores("memory");
  const std::unique_ptr<Catalog> catalog_ =
      *Catalog::Open(stores_->blobs(), stores_->records(), Limits());
  Collector collector_{catalog_.get(), stores_->blobs(), stores_->records(), Limits()};
  Outcomes outcomes_;
  const CollectionTimer::Observer observer_ = [this](const absl::StatusOr<Collection>& collection) {
    outcomes_.Add(collection.status());
  };
};

TEST_F(CollectionTimerTest, CollectsAgainAndAgain) {
  ASSERT_THAT(PushBlocks(catalog_.get(), "m", {MakeBlock(1, 10)}), IsOk());
  const CollectionTimer timer(&collector_, std::chrono::milliseconds(1), observer_);
  outcomes_.Await(3);
  EXPECT_THAT(outcomes_.last(), IsOk());
}

TEST_F(CollectionTimerTest, NeverCollectsWithoutAnInterval) {
  { const CollectionTimer timer(&collector_, std::chrono::milliseconds(0), observer_); }
  EXPECT_EQ(outcomes_.count(), 0);
}

TEST_F(CollectionTimerTest, EndsAtOnceWhileItWaits) {
  { const CollectionTimer timer(&collector_, std::chrono::hours(24), observer_); }
  EXPECT_EQ(outcomes_.count(), 0);
}

}  // namespace
}  // namespace ballast

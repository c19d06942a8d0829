// Watching a model through connections that break: everything once, in order.
#include <functional>
#include <random>
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

// "3" a version, "prod 1>2" a move.
std::string TextOf(const WatchEvent& event) {
  if (event.published.has_value()) return absl::StrCat(event.published->version);
  return absl::StrCat(event.moved->alias, " ", event.moved->from, ">", event.moved->to);
}
bool Happened(const WatchEvent& event) {
  return event.published.has_value() || event.moved.has_value();
}

class WatchTest : public ::testing::Test {
 protected:
  absl::StatusOr<PushResult> Push(Client* client, const std::string& alias = "") {
    PushOptions options;
    options.alias = alias;
    return client->PushTensors({{"w", DType::kUint8, Shape{4}, {"data", 4}}}, "m", options);
  }
  void MustPush(const std::string& alias = "") {
    const auto pushed = Push(client_.get(), alias);
    ASSERT_TRUE(pushed.ok()) << pushed.status();
  }

  Registry registry_;
  std::unique_ptr<Client> client_ = registry_.NewClient();
};

// Breaks the connection after 1 to 25 messages of a watch, so many times.
class Cutter {
 public:
  explicit Cutter(int cuts) : left_(cuts) {}
  bool operator()(const std::string& method) {
    if (method != "Watch" || left_ == 0 || --until_ > 0) return false;
    until_ = 1 + static_cast<int>(random_() % 25);
    --left_;
    return true;
  }
  int left() const { return left_; }

 private:
  std::mt19937_64 random_{5};
  int until_ = 3;
  int left_;
};

TEST_F(WatchTest, AThousandPublicationsAreSeenOnceAndInOrderAcrossFiftyReconnects) {
  constexpr int kPublications = 1000;
  MustPush();
  Cutter cutter(50);
  const auto watching = registry_.NewClient(std::ref(cutter));
  const auto publishing = registry_.NewClient();
  std::vector<std::string> versions, moves;
  std::thread publisher;
  const absl::Status watched = watching->Watch("m", {}, [&](const WatchEvent& event) {
    if (!publisher.joinable()) {
      publisher = std::thread([&] {
        for (int i = 0; i < kPublications; ++i) {
          EXPECT_TRUE(Push(publishing.get(), i % 10 == 0 ? "prod" : "").ok());
        }
      });
    }
    if (Happened(event)) (event.published ? versions : moves).push_back(TextOf(event));
    return versions.size() < kPublications || moves.size() < kPublications / 10;
  });
  if (publisher.joinable()) publisher.join();
  ASSERT_TRUE(watched.ok()) << watched;
  EXPECT_EQ(cutter.left(), 0) << "all reconnects have happened";
  ASSERT_EQ(versions.size(), size_t{kPublications});
  for (int i = 0; i < kPublications; ++i) EXPECT_EQ(versions[i], absl::StrCat(i + 2));
  ASSERT_EQ(moves.size(), size_t{kPublications / 10});
  EXPECT_EQ(moves[0], "prod 0>2");
  for (size_t i = 1; i < moves.size(); ++i) {
    EXPECT_EQ(moves[i], absl::StrCat("prod ", i * 10 - 8, ">", i * 10 + 2));
  }
}

TEST_F(WatchTest, ATokenGoesOnInAnotherClient) {
  MustPush();
  std::string token;
  ASSERT_TRUE(client_
                  ->Watch("m", {},
                          [&](const WatchEvent& event) {
                            token = event.resume_token;
                            return false;
                          })
                  .ok());
  MustPush("prod");
  MustPush("prod");
  for (const char* want : {"2", "3", "prod 0>2", "prod 2>3"}) {
    WatchOptions options;
    options.resume_token = token;
    std::string got;
    ASSERT_TRUE(registry_.NewClient()
                    ->Watch("m", options,
                            [&](const WatchEvent& event) {
                              if (!Happened(event)) return true;
                              got = TextOf(event);
                              token = event.resume_token;
                              return false;
                            })
                    .ok());
    EXPECT_EQ(got, want);
  }
}

TEST_F(WatchTest, AnAliasIsWatchedAlone) {
  MustPush();
  WatchOptions options;
  options.alias = "prod";
  std::vector<std::string> events;
  ASSERT_TRUE(client_
                  ->Watch("m", options,
                          [&](const WatchEvent& event) {
                            if (Happened(event)) {
                              events.push_back(TextOf(event));
                            } else {
                              MustPush("next");
                              MustPush("prod");
                            }
                            return events.empty();
                          })
                  .ok());
  EXPECT_THAT(events, ElementsAre("prod 0>3"));
}

TEST_F(WatchTest, ATokenStopsItFromAnotherThread) {
  MustPush();
  WatchOptions options;
  std::thread canceller;
  const absl::Status watched = client_->Watch("m", options, [&](const WatchEvent&) {
    canceller = std::thread([&] { options.cancel.Cancel(); });
    return true;
  });
  canceller.join();
  EXPECT_TRUE(absl::IsCancelled(watched)) << watched;
}

TEST_F(WatchTest, WhatCannotBeWatchedIsSaidAndNotRetried) {
  MustPush();
  const auto never = [](const WatchEvent&) { return true; };
  EXPECT_TRUE(absl::IsNotFound(client_->Watch("no/such", {}, never)));
  EXPECT_TRUE(absl::IsInvalidArgument(client_->Watch("M", {}, never)));
  WatchOptions options;
  options.resume_token = "1/1.00000000";
  EXPECT_THAT(std::string(client_->Watch("m", options, never).message()),
              HasSubstr("want \"\" or one that a page of this listing gave"));
}

TEST_F(WatchTest, AServerThatNeverAnswersIsGivenUpLikeAnyOther) {
  int calls = 0;
  const auto client = registry_.NewClient([&](const std::string&) {
    ++calls;
    return true;
  });
  const absl::Status watched = client->Watch("m", {}, [](const WatchEvent&) { return true; });
  EXPECT_TRUE(absl::IsUnavailable(watched)) << watched;
  EXPECT_GE(calls, 1 + ClientOptions().retries);
}

TEST_F(WatchTest, AServerThatIsGoneIsWaitedForAsLongAsAskedFor) {
  MustPush();
  WatchOptions options;
  options.reconnect_for = absl::ZeroDuration();
  const absl::Status watched = client_->Watch("m", options, [&](const WatchEvent&) {
    registry_.watches()->Close();
    return true;
  });
  EXPECT_TRUE(absl::IsUnavailable(watched)) << watched;
  EXPECT_THAT(std::string(watched.message()), HasSubstr("the server is stopping"));
}

}  // namespace
}  // namespace ballast

#include "server/use_cases/memory_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <optional>
#include <thread>
#include <vector>

#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMiB = 1u << 20;
constexpr milliseconds kLong{600'000};  // a test that fails hangs no longer
constexpr milliseconds kShort{1};
constexpr absl::StatusCode kBusy = absl::StatusCode::kUnavailable;

TEST(MemoryBudget, GivesWhatFitsAndTakesItBack) {
  MemoryBudget budget(10 * kMiB, kShort, "a_limit");
  {
    MemoryBudget::Share a(&budget), b(&budget), c(&budget);
    EXPECT_THAT(a.Grow(4 * kMiB), IsOk());
    EXPECT_THAT(a.Grow(3 * kMiB), IsOk());  // has it
    EXPECT_THAT(b.Grow(6 * kMiB), IsOk());
    EXPECT_THAT(c.Grow(2 * kMiB),
                IsError(kBusy,
                        "the server is busy: other calls hold 10485760 bytes of manifests, "
                        "want 2097152 more of 10485760 (a_limit); try again"));
  }
  MemoryBudget::Share d(&budget);
  EXPECT_THAT(d.Grow(10 * kMiB), IsOk());
}

TEST(MemoryBudget, SmallSharesAreNotCounted) {
  MemoryBudget budget(2 * kMiB, kShort, "a_limit");
  MemoryBudget::Share all(&budget), small(&budget);
  ASSERT_THAT(all.Grow(2 * kMiB), IsOk());
  EXPECT_THAT(small.Grow(MemoryBudget::kUncountedBytes), IsOk());
  EXPECT_THAT(small.Grow(MemoryBudget::kUncountedBytes + 1), IsError(kBusy, ""));
}

TEST(MemoryBudget, MoreThanAllIsHadByBeingAlone) {
  MemoryBudget budget(4 * kMiB, kShort, "a_limit");
  MemoryBudget::Share huge(&budget);
  EXPECT_THAT(huge.Grow(1000 * kMiB), IsOk());
  EXPECT_THAT(huge.Grow(2000 * kMiB), IsOk());
  MemoryBudget::Share other(&budget);
  EXPECT_THAT(other.Grow(2 * kMiB), IsError(kBusy, ""));
}

TEST(MemoryBudget, WaitsUntilOthersEnd) {
  MemoryBudget budget(4 * kMiB, kLong, "a_limit");
  std::optional<MemoryBudget::Share> first(std::in_place, &budget);
  ASSERT_THAT(first->Grow(3 * kMiB), IsOk());
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      MemoryBudget::Share share(&budget);
      EXPECT_THAT(share.Grow(3 * kMiB), IsOk());
      ++done;
    });
  }
  EXPECT_EQ(done, 0);
  first.reset();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 8);
}

TEST(MemoryBudget, OfThoseThatWaitForEachOtherTheLastIsSentAway) {
  MemoryBudget budget(8 * kMiB, kLong, "a_limit");
  // Every share has a part and wants the whole: all but one must go, and come again.
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (true) {
        MemoryBudget::Share share(&budget);
        absl::Status status = share.Grow(2 * kMiB);
        if (status.ok()) status = share.Grow(8 * kMiB);
        if (status.ok()) break;
        EXPECT_THAT(status, IsError(kBusy, "try again"));
      }
      ++done;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 4);
}

TEST(MemoryBudget, OfTwoThatWaitForEachOtherOneIsServed) {
  MemoryBudget budget(8 * kMiB, kLong, "a_limit");
  std::barrier both_hold(2);
  std::atomic<int> served = 0, sent_away = 0;
  const auto work = [&] {
    MemoryBudget::Share share(&budget);
    EXPECT_THAT(share.Grow(4 * kMiB), IsOk());
    both_hold.arrive_and_wait();
    ++(share.Grow(8 * kMiB).ok() ? served : sent_away);
  };
  std::thread a(work), b(work);
  a.join();
  b.join();
  EXPECT_EQ(served, 1);
  EXPECT_EQ(sent_away, 1);
}

TEST(MemoryBudget, ClosedNobodyWaits) {
  MemoryBudget budget(4 * kMiB, kLong, "a_limit");
  MemoryBudget::Share first(&budget);
  ASSERT_THAT(first.Grow(4 * kMiB), IsOk());
  std::thread waiting([&] {
    MemoryBudget::Share share(&budget);
    EXPECT_THAT(share.Grow(2 * kMiB), IsError(kBusy, ""));
  });
  budget.Close();
  waiting.join();
}

// Entries whose manifest is far above what is not counted.
std::vector<Tensor> ManyEntries() {
  std::vector<Tensor> tensors;
  for (int i = 0; i < 3000; ++i) {
    tensors.push_back(MakeTensor(absl::StrCat("layer.", i, ".weight"), DType::kUint8, {1}));
  }
  return tensors;
}

TEST(ManifestMemory, CallsWaitForEachOtherAndAllSucceed) {
  Limits limits;
  limits.manifest_memory_bytes = 2 * kMiB;  // room for one
  TestServer server("memory", limits);
  const std::vector<Tensor> tensors = ManyEntries();
  MustPush(server, "m", tensors);
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      const std::string model = absl::StrCat("m", i);
      absl::Status pushed = absl::UnavailableError("");
      while (absl::IsUnavailable(pushed)) {
        pushed = i % 2 == 0 ? ManifestPush(model, tensors).Run(server).status
                            : PushFile(server, model, FileOf(Format::kTorchSharp, tensors)).status;
      }
      EXPECT_THAT(pushed, IsOk());
      EXPECT_THAT(PullVersion(server, RequestOf("m")).status, IsOk());
      v1::ListEntriesRequest entries;
      entries.set_reference("m");
      EXPECT_THAT(Unary<v1::ListEntriesResponse>(server, "ListEntries", entries), IsOk());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ManifestMemory, ACallThatFindsNoRoomIsToldToTryAgain) {
  Limits limits;
  limits.manifest_memory_bytes = 2 * kMiB;
  limits.manifest_wait_ms = 1;
  TestServer server("memory", limits);
  std::vector<Tensor> tensors = ManyEntries();
  tensors.push_back(MakeTensor("large", DType::kUint8, {16 << 20}));  // more than is sent ahead
  MustPush(server, "m", tensors);
  const std::unique_ptr<ClientFrameStream> pull = server.Start("Pull");
  ASSERT_THAT(pull->Write(EncodeMessage(RequestOf("m"))), IsOk());
  ASSERT_THAT(pull->Read(), IsOk());  // it has begun, and its client takes no more
  EXPECT_THAT(ManifestPush("n", ManyEntries()).Run(server).status,
              IsError(kBusy, "(manifest_memory_bytes); try again"));
  EXPECT_THAT(PullVersion(server, RequestOf("m")).status, IsError(kBusy, "manifest_memory_bytes"));
  MustPush(server, "small", SmallModel());
  pull->Cancel();
}

}  // namespace
}  // namespace ballast

// Many calls at once over the in-process pipes: what ThreadSanitizer looks at.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

constexpr int kThreads = 16;
constexpr int kRounds = 3;

// Tensors that all threads share, and one that none does.
std::vector<Tensor> ModelOf(int thread, int round) {
  std::vector<Tensor> tensors = BigModel();
  tensors.resize(2);
  tensors.push_back(MakeTensor("own", DType::kInt32, {100}, static_cast<uint8_t>(thread)));
  tensors.push_back(MakeTensor("round", DType::kInt32, {10}, static_cast<uint8_t>(round)));
  return tensors;
}

class AtOnce : public ::testing::TestWithParam<std::string> {
 protected:
  static void InThreads(const std::function<void(int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([&work, i] { work(i); });
    for (std::thread& thread : threads) thread.join();
  }
  TestServer server_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Engines, AtOnce, ::testing::Values("memory", "rocksdb"),
                         [](const auto& info) { return info.param; });

TEST_P(AtOnce, PushesAndPullsOfOwnModelsDoNotMeet) {
  InThreads([&](int thread) {
    const std::string model = absl::StrCat("m", thread);
    const Format formats[] = {Format::kTorchSharp, Format::kPyTorch, Format::kSafetensors};
    for (int round = 0; round < kRounds; ++round) {
      const std::vector<Tensor> tensors = ModelOf(thread, round);
      const std::string digest(VersionDigest(ManifestOf(tensors)).View());
      const Format format = formats[(thread + round) % 3];
      const PushAnswer pushed = round % 2 == 0 ? ManifestPush(model, tensors).Run(server_)
                                               : PushFile(server_, model, FileOf(format, tensors));
      ASSERT_THAT(pushed.status, IsOk());
      EXPECT_EQ(pushed.committed->version().version(), round + 1u);
      EXPECT_EQ(pushed.committed->version().digest(), digest);
      const PullAnswer pulled =
          PullVersion(server_, RequestOf(model, std::string(FormatName(format))));
      ASSERT_THAT(pulled.status, IsOk());
      EXPECT_EQ(pulled.crcs_wrong, 0u);
      EXPECT_EQ(pulled.header.version().digest(), digest);
      EXPECT_TRUE(pulled.bytes == FileOf(format, tensors));
    }
  });
  EXPECT_EQ(
      Unary<v1::ListModelsResponse>(server_, "ListModels", v1::ListModelsRequest())->models_size(),
      kThreads);
}

TEST_P(AtOnce, PushesToOneModelGetEachNumberOnce) {  // row F24
  std::mutex mutex;
  std::map<uint64_t, std::string> digests;  // by number
  InThreads([&](int thread) {
    for (int round = 0; round < kRounds; ++round) {
      PushAnswer answer;
      do {  // so many racers for one record: a push that lost every race tries again
        ManifestPush push("m", ModelOf(thread, round));
        push.header.set_alias("newest");
        answer = push.Run(server_);
      } while (absl::IsUnavailable(answer.status) || absl::IsAborted(answer.status));
      ASSERT_THAT(answer.status, IsOk());
      const v1::Version& version = answer.committed->version();
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(digests.emplace(version.version(), version.digest()).second);
    }
  });
  ASSERT_EQ(digests.size(), size_t{kThreads} * kRounds);
  EXPECT_EQ(digests.rbegin()->first, uint64_t{kThreads} * kRounds);
  for (const auto& [number, digest] : digests) {
    const PullAnswer pulled = PullVersion(server_, RequestOf(absl::StrCat("m:", number)));
    ASSERT_THAT(pulled.status, IsOk());
    EXPECT_EQ(pulled.header.version().digest(), digest);
    const auto read = ReadAll(pulled.bytes);
    ASSERT_THAT(read, IsOk());
    EXPECT_EQ(VersionDigest(ManifestOf(*read)).View(), digest);
  }
  v1::GetVersionRequest newest;
  newest.set_reference("m@newest");
  EXPECT_EQ(Unary<v1::Version>(server_, "GetVersion", newest)->version(),
            uint64_t{kThreads} * kRounds);
}

TEST_P(AtOnce, CallersWhoLeaveDisturbNobody) {
  MustPush(server_, "m", BigModel());
  InThreads([&](int thread) {
    for (int round = 0; round < kRounds; ++round) {
      if (thread % 2 == 0) {
        const auto call = server_.Start("Pull");
        call->Write(EncodeMessage(RequestOf("m", "tensors"))).IgnoreError();
        call->Read().IgnoreError();
        continue;  // destroying the call cancels it
      }
      EXPECT_THAT(PullVersion(server_, RequestOf("m", "pytorch")).status, IsOk());
      EXPECT_THAT(ManifestPush(absl::StrCat("n", thread), BigModel()).Run(server_).status, IsOk());
    }
  });
}

}  // namespace
}  // namespace ballast

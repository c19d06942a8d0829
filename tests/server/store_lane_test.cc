#include "server/use_cases/store_lane.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ballast {
namespace {

// Notes what is added, and has every second block; fails from the block number `fail_at` on.
class NotingPush : public CatalogPush {
 public:
  absl::StatusOr<std::vector<std::optional<BlobInfo>>> Known(absl::Span<const Digest>) override {
    return absl::InternalError("not for this test");
  }
  absl::StatusOr<bool> Add(const Digest& digest, uint32_t crc32, absl::string_view bytes) override {
    if (added.size() >= fail_at) return absl::ResourceExhaustedError("the disk is full");
    added.emplace_back(digest, crc32, bytes.size());
    return added.size() % 2 == 1;
  }
  uint64_t durable_bytes() const override { return 0; }
  absl::StatusOr<VersionInfo> Publish(const Manifest&, const PublishOptions&) override {
    return absl::InternalError("not for this test");
  }
  absl::Status Leave() override { return absl::InternalError("not for this test"); }

  std::vector<std::tuple<Digest, uint32_t, size_t>> added;
  size_t fail_at = SIZE_MAX;
};

Digest DigestOf(uint32_t number) { return Sha256Of(std::to_string(number)); }

// Sizes on both sides of a batch, and many small ones.
std::vector<size_t> Sizes() {
  std::vector<size_t> sizes = {1 << 20, 1, (1 << 20) - 1, 1 << 20, 1 << 20};
  for (size_t i = 0; i < 3000; ++i) sizes.push_back(1 + i);
  return sizes;
}

TEST(StoreLane, AddsEveryBlockInOrder) {
  NotingPush push;
  StoreLane lane(&push);
  const std::vector<size_t> sizes = Sizes();
  for (uint32_t i = 0; i < sizes.size(); ++i) {
    ASSERT_TRUE(lane.Add(DigestOf(i), i, std::string(sizes[i], 'x')).ok());
  }
  ASSERT_TRUE(lane.Drain().ok());
  ASSERT_EQ(push.added.size(), sizes.size());
  for (uint32_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(push.added[i], std::make_tuple(DigestOf(i), i, sizes[i]));
  }
}

TEST(StoreLane, CountsWhatTheStoreTookAndWhatItHad) {
  for (const size_t size : {size_t{1} << 20, size_t{100}}) {
    NotingPush push;
    StoreLane lane(&push);
    for (uint32_t i = 0; i < 7; ++i) {
      ASSERT_TRUE(lane.Add(DigestOf(i), i, std::string(size, 'x')).ok());
    }
    ASSERT_TRUE(lane.Drain().ok());
    EXPECT_EQ(lane.blocks_stored(), 4u);
    EXPECT_EQ(lane.blocks_known(), 3u);
  }
}

TEST(StoreLane, TellsTheFirstFailureAndAddsNothingAfterIt) {
  for (const size_t size : {size_t{1} << 20, size_t{100}}) {
    NotingPush push;
    push.fail_at = 2;
    StoreLane lane(&push);
    absl::Status status;
    for (uint32_t i = 0; i < 100 && status.ok(); ++i) {
      status = lane.Add(DigestOf(i), i, std::string(size, 'x'));
    }
    if (status.ok()) status = lane.Drain();
    EXPECT_EQ(status, absl::ResourceExhaustedError("the disk is full"));
    EXPECT_EQ(lane.Drain(), status);
    EXPECT_EQ(push.added.size(), 2);
  }
}

TEST(StoreLane, CanBeDestroyedWithBlocksUnderWay) {
  NotingPush push;
  StoreLane lane(&push);
  for (uint32_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(lane.Add(DigestOf(i), i, std::string(1 << 20, 'x')).ok());
  }
}

TEST(StoreLane, NothingIsDrainedAtOnce) {
  NotingPush push;
  EXPECT_TRUE(StoreLane(&push).Drain().ok());
  EXPECT_TRUE(push.added.empty());
}

}  // namespace
}  // namespace ballast

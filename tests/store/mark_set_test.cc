// Marks in bounded memory: every digest is seen in exactly one range, with all it has.
#include "storage/store/mark_set.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"

namespace ballast {
namespace {

TEST(MarkSet, IsOneRangeIfEverythingFits) {
  MarkSet marks(1u << 20);
  marks.BeginRange();
  for (int i = 0; i < 100; ++i) marks.Add(Sha256Of(absl::StrCat(i)), i, 0, BlockUse::kLive);
  marks.Seal();
  EXPECT_TRUE(marks.last());
  EXPECT_EQ(marks.marks().size(), 100u);
  EXPECT_EQ(marks.Find(Sha256Of("7"))->size_bytes, 7u);
  EXPECT_EQ(marks.Find(Sha256Of("100")), nullptr);
}

TEST(MarkSet, AnEmptyOneIsComplete) {
  MarkSet marks(0);
  marks.BeginRange();
  marks.Seal();
  EXPECT_TRUE(marks.last());
  EXPECT_TRUE(marks.Contains(Digest()));
  EXPECT_EQ(marks.Find(Digest()), nullptr);
}

TEST(MarkSet, TheStrongestUseWinsAndSeveralOwnersAreNone) {
  MarkSet marks(1u << 20);
  marks.BeginRange();
  const Digest twice = Sha256Of("twice"), both = Sha256Of("both"), other = Sha256Of("other");
  marks.Add(twice, 1, 4, BlockUse::kGone);
  marks.Add(twice, 1, 4, BlockUse::kGone);
  marks.Add(both, 2, 4, BlockUse::kGone);
  marks.Add(both, 2, 5, BlockUse::kHeld);
  marks.Add(both, 2, 4, BlockUse::kGone);
  marks.Add(other, 3, BlockMark::kNobody, BlockUse::kLive);
  marks.Add(other, 3, 5, BlockUse::kHeld);
  marks.Seal();
  EXPECT_EQ(marks.Find(twice)->owner, 4u);
  EXPECT_EQ(static_cast<BlockUse>(marks.Find(twice)->use), BlockUse::kGone);
  EXPECT_EQ(marks.Find(both)->owner, BlockMark::kSeveral);
  EXPECT_EQ(static_cast<BlockUse>(marks.Find(both)->use), BlockUse::kHeld);
  EXPECT_EQ(marks.Find(other)->owner, BlockMark::kSeveral);
  EXPECT_EQ(static_cast<BlockUse>(marks.Find(other)->use), BlockUse::kLive);
}

TEST(MarkSet, RangesCoverEverythingOnceInLittleMemory) {
  for (const uint64_t marks_max : {16u, 17u, 50u, 1000u, 5000u}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      SCOPED_TRACE(absl::StrCat(marks_max, " marks, seed ", seed));
      std::mt19937_64 random(seed);
      std::vector<Digest> stream;  // with repetitions
      for (int i = 0; i < 3000; ++i) stream.push_back(Sha256Of(absl::StrCat(random() % 1500)));
      const std::set<Digest> want(stream.begin(), stream.end());
      std::map<Digest, int> found;
      MarkSet marks(marks_max * sizeof(BlockMark));
      int ranges = 0;
      do {
        marks.BeginRange();
        for (const Digest& digest : stream) marks.Add(digest, 1, 0, BlockUse::kLive);
        marks.Seal();
        ASSERT_LE(marks.marks().size(), marks_max);
        ASSERT_FALSE(marks.marks().empty());
        for (const Digest& digest : want) {
          ASSERT_EQ(marks.Contains(digest), marks.Find(digest) != nullptr);
          if (marks.Contains(digest)) ++found[digest];
        }
        ASSERT_LT(++ranges, 3000);
      } while (!marks.last());
      EXPECT_EQ(ranges > 1, want.size() > marks_max * 3 / 4);
      ASSERT_EQ(found.size(), want.size());
      for (const auto& [digest, times] : found) ASSERT_EQ(times, 1);
    }
  }
}

}  // namespace
}  // namespace ballast

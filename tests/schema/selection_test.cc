#include "storage/schema/selection.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ManifestEntry EntryOf(const std::string& key, Role role) {
  ManifestEntry entry;
  entry.spec.key = key;
  entry.spec.role = role;
  return entry;
}

std::vector<std::string> KeysOf(const Manifest& manifest) {
  std::vector<std::string> keys;
  for (const ManifestEntry& entry : manifest.entries) keys.push_back(entry.spec.key);
  return keys;
}

TEST(Selection, WeightsOnlyThenTheRulesAndTiesFollow) {
  Manifest manifest;
  manifest.entries = {EntryOf("step", Role::kOther), EntryOf("a", Role::kWeights),
                      EntryOf("b", Role::kWeights), EntryOf("c", Role::kWeights)};
  manifest.ties = {{1, 2, 3}};
  Manifest all = manifest;
  std::vector<std::string> warnings;
  ASSERT_TRUE(
      SelectEntries({.exclude = {"a"}, .rename = {"c=d"}}, false, Limits(), &manifest, &warnings)
          .ok());
  EXPECT_THAT(KeysOf(manifest), ElementsAre("b", "d"));
  EXPECT_THAT(manifest.ties, ElementsAre(ElementsAre(0, 1)));
  EXPECT_THAT(warnings, ElementsAre("1 entries that are not weights were left out"));
  warnings.clear();
  ASSERT_TRUE(SelectEntries({}, true, Limits(), &all, &warnings).ok());
  EXPECT_THAT(KeysOf(all), ElementsAre("step", "a", "b", "c"));
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(Selection, MetadataOfASubtreeLosesItsPath) {
  const std::string all =
      R"({"":{"version":1},"net":{"version":2},"net.bn":{"version":3},"network":{"version":4}})";
  EXPECT_EQ(SelectMetadata("net", all), R"({"":{"version":2},"bn":{"version":3}})");
  EXPECT_EQ(SelectMetadata("", all), all);
  EXPECT_EQ(SelectMetadata("other", all), "");
  EXPECT_EQ(SelectMetadata("net", ""), "");
}

}  // namespace
}  // namespace ballast

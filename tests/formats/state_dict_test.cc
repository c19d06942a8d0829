#include "storage/formats/state_dict.h"

#include "nlohmann/json.hpp"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

SourceEntry Entry(absl::string_view key, uint32_t storage = 0, Shape shape = {4}) {
  SourceEntry entry;
  entry.spec.key = std::string(key);
  entry.spec.shape = std::move(shape);
  entry.storage = storage;
  return entry;
}

TEST(FindTies, GroupsWhatSharesEverything) {
  std::vector<SourceEntry> entries = {Entry("a", 1), Entry("b", 0), Entry("c", 1), Entry("d", 0),
                                      Entry("e", 1)};
  EXPECT_EQ(FindTies(entries), (Ties{{0, 2, 4}, {1, 3}}));
}

TEST(FindTies, KeepsViewsApart) {
  std::vector<SourceEntry> entries(8, Entry("a"));
  entries[1].offset_bytes = 4;
  entries[2].spec.dtype = DType::kInt32;
  entries[3].spec.shape = {2, 2};
  entries[4].strides = {2};
  entries[5].conjugate = true;
  entries[6].negative = true;
  entries[7].storage = 1;
  EXPECT_EQ(FindTies(entries), Ties{});
  EXPECT_EQ(FindTies({Entry("a", 0, {0}), Entry("b", 0, {0})}), Ties{}) << "empty tensors";
  EXPECT_EQ(FindTies({}), Ties{});
}

TEST(LeavesJson, IsJson) {
  EXPECT_EQ(LeavesJson({}), "");
  const auto json =
      nlohmann::json::parse(LeavesJson({{"a.\"b", "int", "3"}, {"c", "argparse.Namespace", ""}}));
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["path"], "a.\"b");
  EXPECT_EQ(json[0]["value"], 3);
  EXPECT_EQ(json[1]["type"], "argparse.Namespace");
  EXPECT_FALSE(json[1].contains("value"));
}

TEST(LeavesJson, TellsWhatAPersonReadsWhereThereIsNoValue) {
  const auto json =
      nlohmann::json::parse(LeavesJson({{"best", "float", "", "nan"}, {"n", "int", "1", ""}}));
  EXPECT_EQ(json[0]["text"], "nan");
  EXPECT_FALSE(json[0].contains("value"));
  EXPECT_FALSE(json[1].contains("text"));
}

TEST(LeafWarnings, NameTheFirstOfWhatIsKeptAndOfWhatIsNot) {
  EXPECT_TRUE(LeafWarnings({}).empty());
  EXPECT_EQ(LeafWarnings({{"epoch", "int", "3"}}),
            (std::vector<std::string>{"1 value that is not a tensor is kept as JSON beside the "
                                      "version and left out of what is pulled: epoch (int)"}));
  std::vector<SourceLeaf> leaves(7, {"a.b", "float", "1.0"});
  leaves.push_back({std::string(500, 'x'), "bytes", "", "b''"});
  const std::vector<std::string> warnings = LeafWarnings(leaves);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_EQ(warnings[0],
            "7 values that are not tensors are kept as JSON beside the version and left out of "
            "what is pulled: a.b (float), a.b (float), a.b (float), a.b (float), a.b (float) and 2 "
            "more");
  EXPECT_EQ(warnings[1], "1 value that is not a tensor is left out, without JSON form: " +
                             std::string(100, 'x') + " (bytes)");
}

TEST(KeepEntries, StoragesTiesAndLeavesFollow) {
  SourceStateDict dict;
  for (const char* name : {"s0", "s1", "s2"}) dict.storages.emplace_back().name = name;
  dict.entries = {Entry("optimizer.x", 0), Entry("model.a", 1), Entry("model.b", 2),
                  Entry("model.c", 1), Entry("optimizer.y", 1)};
  dict.ties = {{1, 3, 4}};
  dict.leaves = {{"epoch", "int", "3"},
                 {"optimizer.groups.0.lr", "float", "1"},
                 {"model.note", "str", "\"\""}};
  KeepEntries({false, true, false, true, false}, &dict);
  ASSERT_EQ(dict.entries.size(), 2u);
  EXPECT_EQ(dict.entries[1].spec.key, "model.c");
  ASSERT_EQ(dict.storages.size(), 1u);
  EXPECT_EQ(dict.storages[0].name, "s1");
  EXPECT_EQ(dict.entries[1].storage, 0u);
  EXPECT_EQ(dict.ties, (Ties{{0, 1}}));
  ASSERT_EQ(dict.leaves.size(), 2u);
  EXPECT_EQ(dict.leaves[0].path, "epoch");
  EXPECT_EQ(dict.leaves[1].path, "model.note");
}

TEST(KeepEntries, DropsTiesOfOne) {
  SourceStateDict dict;
  dict.storages.resize(1);
  dict.entries = {Entry("a"), Entry("b")};
  dict.ties = {{0, 1}};
  KeepEntries({true, false}, &dict);
  EXPECT_EQ(dict.ties, Ties{});
  KeepEntries({false}, &dict);
  EXPECT_TRUE(dict.entries.empty());
  EXPECT_TRUE(dict.storages.empty());
}

std::string Hint(std::vector<std::string> weights, std::vector<std::string> others = {},
                 std::vector<std::string> leaves = {}) {
  SourceStateDict dict;
  for (const std::string& key : others) {
    dict.entries.push_back(Entry(key));
    dict.entries.back().spec.role = Role::kOther;
  }
  for (const std::string& key : weights) dict.entries.push_back(Entry(key));
  for (const std::string& path : leaves) dict.leaves.push_back({path, "int", ""});
  return SelectHint(dict);
}

TEST(SelectHint, KnowsCheckpoints) {
  EXPECT_EQ(Hint({"state_dict.a", "state_dict.b"}),
            "weights are under `state_dict`; --select state_dict");
  EXPECT_EQ(Hint({"model.a"}, {"optimizer.state.0.exp_avg"}),
            "weights are under `model`; --select model");
  EXPECT_EQ(Hint({"net.a"}, {}, {"epoch"}), "weights are under `net`; --select net");
  EXPECT_EQ(Hint({"model.a"}), "") << "may be a member of the module";
  EXPECT_EQ(Hint({"model.a"}, {}, {"model.version"}), "");
  EXPECT_EQ(Hint({"model.a", "ema.a"}, {}, {"epoch"}), "");
  EXPECT_EQ(Hint({"encoder.a"}, {}, {"epoch"}), "");
  EXPECT_EQ(Hint({"modelx.a"}, {}, {"epoch"}), "");
  EXPECT_EQ(Hint({}), "");
}

}  // namespace
}  // namespace ballast

#include "storage/formats/shard_plan.h"

#include "gmock/gmock.h"
#include "storage/formats/shard_index.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One uint8 tensor of each size, called t0, t1 …
std::vector<Tensor> Sized(const std::vector<uint64_t>& sizes) {
  std::vector<Tensor> tensors;
  for (const uint64_t size : sizes) {
    tensors.push_back(MakeTensor(absl::StrCat("t", tensors.size()), DType::kUint8, {size}));
  }
  return tensors;
}

TEST(ShardPlan, SplitsAsHuggingFaceDoes) {
  using Shards = std::vector<std::vector<uint32_t>>;
  const struct {
    const char* what;
    std::vector<uint64_t> sizes;
    Ties ties;
    Shards shards;
  } cases[] = {
      {"its own example", {6, 6, 2, 6, 2, 2}, {}, {{0}, {1, 2}, {3, 4, 5}}},
      {"exactly full", {5, 5, 5}, {}, {{0, 1}, {2}}},
      {"a large one leaves the current open", {4, 99, 4}, {}, {{1}, {0, 2}}},
      {"a large one first", {99, 4}, {}, {{0}, {1}}},
      {"only large ones", {99, 98}, {}, {{0}, {1}}},
      {"ties stay together and count once", {6, 6, 6}, {{0, 2}}, {{0, 2}, {1}}},
      {"ties of a large one", {99, 3, 99}, {{0, 2}}, {{0, 2}, {1}}},
      {"empty tensors take no room", {10, 0, 0}, {}, {{0, 1, 2}}},
      {"nothing", {}, {}, {{}}},
  };
  for (const auto& c : cases) {
    LayoutInput input = InputOf(Sized(c.sizes));
    input.ties = c.ties;
    EXPECT_EQ(SplitIntoShards(input, 10), c.shards) << c.what;
  }
}

TEST(ShardPlan, ShardsAreWholeFilesAndTheIndexLeadsToThem) {
  for (const Format format : {Format::kSafetensors, Format::kPyTorch}) {
    const std::vector<Tensor> tensors = Sized({6, 6, 2});
    LayoutInput input = InputOf(tensors);
    input.ties = {{0, 1}};
    input.metadata_json = R"({"":{"version":1}})";
    const auto sharded = LayOutShards(format, input, 7, Limits());
    ASSERT_TRUE(sharded.ok()) << sharded.status();
    ASSERT_EQ(sharded->shards.size(), 2u);
    const auto index = ParseShardIndex(sharded->index_text, "", Limits());
    ASSERT_TRUE(index.ok()) << index.status();
    EXPECT_THAT(index->files, ElementsAre(sharded->shards[0].name, sharded->shards[1].name));
    EXPECT_EQ(index->total_size_bytes, 8u);
    uint64_t size = sharded->index_text.size();
    std::vector<std::string> keys;
    for (const ShardLayout& shard : sharded->shards) {
      MemorySource source(&tensors);
      std::string file;
      StringSink sink(&file);
      ASSERT_TRUE(WriteLayout(shard.layout, &source, &sink).ok());
      size += file.size();
      const StringSource bytes(file);
      const auto dict = ReadStateDict(bytes, format, Limits());
      ASSERT_TRUE(dict.ok()) << dict.status();
      EXPECT_EQ(dict->metadata_json, input.metadata_json);
      EXPECT_EQ(dict->ties.size(), keys.empty() ? 1u : 0u);
      const auto read = ReadAll(file);
      ASSERT_TRUE(read.ok()) << read.status();
      for (const Tensor& tensor : *read) {
        keys.push_back(tensor.spec.key);
        EXPECT_EQ(tensor.bytes, tensors[tensor.spec.key[1] - '0'].bytes);
      }
    }
    EXPECT_THAT(keys, ElementsAre("t0", "t1", "t2"));
    EXPECT_EQ(sharded->size_bytes, size);
  }
}

TEST(ShardPlan, NamesAreThoseOfHuggingFace) {
  const LayoutInput input = InputOf(Sized({6, 6}));
  const auto two = LayOutShards(Format::kPyTorch, input, 7, Limits());
  EXPECT_EQ(two->shards[0].name, "pytorch_model-00001-of-00002.bin");
  EXPECT_EQ(two->index_name, "pytorch_model.bin.index.json");
  const auto one = LayOutShards(Format::kSafetensors, input, 12, Limits());
  EXPECT_EQ(one->shards[0].name, "model.safetensors");
  EXPECT_EQ(one->index_name, "");
  EXPECT_EQ(one->index_text, "");
  for (const char* name :
       {"model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors",
        "pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"}) {
    EXPECT_TRUE(IsShardedName(name)) << name;
  }
  for (const char* name : {"config.json", "other.safetensors", "model.bin", ".ballast-tmp-1",
                           "other-00001-of-00002.safetensors"}) {
    EXPECT_FALSE(IsShardedName(name)) << name;
  }
}

TEST(ShardPlan, RefusesWhatIsNotWrittenInShards) {
  const LayoutInput input = InputOf(Sized({1, 1, 1}));
  EXPECT_TRUE(FailsWith(LayOutShards(Format::kTorchSharp, input, 1, Limits()).status(),
                        Reason::kUnsupported, "not written in shards"));
  Limits limits;
  limits.shards_max = 2;
  EXPECT_TRUE(FailsWith(LayOutShards(Format::kPyTorch, input, 1, limits).status(), Reason::kLimit,
                        "make 3 shards, want at most 2 (shards_max)"));
  EXPECT_FALSE(CanShard(Format::kTorchSharp));
}

}  // namespace
}  // namespace ballast

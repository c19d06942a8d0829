// Sharded checkpoints: folders, indexes, and what is wrong with them. Row numbers are those
// of section F in hard_cases.md.
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "storage/formats/shard_index.h"
#include "storage/formats/shard_names.h"
#include "storage/formats/weights_file.h"
#include "storage/formats/weights_folder.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kFirst[] = "model-00001-of-00002.safetensors";
constexpr char kSecond[] = "model-00002-of-00002.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

using Files = std::map<std::string, std::string>;  // name → bytes
using WeightMap = std::vector<std::pair<std::string, std::string>>;

// A folder of the test's own, removed with it.
class Folder {
 public:
  explicit Folder(const Files& files = {}) {
    std::string name = ::testing::TempDir() + "/shards-XXXXXX";
    path_ = mkdtemp(name.data());
    for (const auto& [file, bytes] : files) Write(file, bytes);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  void Write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << bytes;
  }

 private:
  std::string path_;
};

// A safetensors file of uint8 tensors whose bytes are their keys.
std::string Shard(const std::vector<std::string>& keys, absl::string_view metadata = "") {
  std::vector<std::string> members;
  std::string data;
  if (!metadata.empty()) members.push_back(absl::StrCat("\"__metadata__\":", metadata));
  for (const std::string& key : keys) {
    members.push_back(absl::StrCat("\"", key, "\":{\"dtype\":\"U8\",\"shape\":[", key.size(),
                                   "],\"data_offsets\":[", data.size(), ",",
                                   data.size() + key.size(), "]}"));
    data += key;
  }
  return Safetensors(absl::StrCat("{", absl::StrJoin(members, ","), "}"), data);
}

std::string Index(const WeightMap& map, absl::string_view metadata = "{\"total_size\":2}") {
  std::vector<std::string> members;
  for (const auto& [key, file] : map) {
    members.push_back(absl::StrCat("\"", key, "\":\"", file, "\""));
  }
  return absl::StrCat("{\"metadata\":", metadata, ",\"weight_map\":{", absl::StrJoin(members, ","),
                      "}}");
}

// "a" in the first shard, "b" in the second.
Files TwoShards() {
  return {{kFirst, Shard({"a"})},
          {kSecond, Shard({"b"})},
          {kIndex, Index({{"b", kSecond}, {"a", kFirst}})}};
}

Files With(Files files, const std::string& name, const std::string& bytes) {
  files[name] = bytes;
  return files;
}
Files Without(Files files, const std::string& name) {
  files.erase(name);
  return files;
}

std::vector<std::string> Keys(const WeightsFile& weights) {
  std::vector<std::string> keys;
  for (const SourceEntry& entry : weights.dict.entries) keys.push_back(entry.spec.key);
  return keys;
}

// The keys of a folder that can be read, each with its bytes checked.
std::vector<std::string> KeysIn(const std::string& path) {
  const absl::StatusOr<WeightsFile> weights = OpenWeights(path, Format::kUnknown, Limits());
  EXPECT_TRUE(weights.ok()) << weights.status();
  if (!weights.ok()) return {};
  auto source =
      MakeFileTensorSource(weights->source.get(), &weights->dict, ::testing::TempDir(), Limits());
  for (uint32_t i = 0; i < weights->dict.entries.size(); ++i) {
    const TensorSpec& spec = weights->dict.entries[i].spec;
    const auto bytes = ReadEntry(source.get(), i, CheckedTensorBytes(spec));
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(*bytes, spec.key);
  }
  return Keys(*weights);
}

TEST(Shards, AFolderAndItsIndexAreOneStateDictInTheOrderOfTheShards) {
  const Folder folder(TwoShards());
  EXPECT_THAT(KeysIn(folder.path()), ElementsAre("a", "b"));
  EXPECT_THAT(KeysIn(folder.path() + "/"), ElementsAre("a", "b"));
  EXPECT_THAT(KeysIn(folder.Path(kIndex)), ElementsAre("a", "b"));
  const auto weights = OpenWeights(folder.path(), Format::kUnknown, Limits());
  EXPECT_EQ(weights->dict.format, Format::kSafetensors);
  EXPECT_THAT(weights->dict.warnings, IsEmpty());
}

TEST(Shards, AnIndexOfAnyNameIsKnownByItsContent) {
  const Folder folder(Without(With(TwoShards(), "weights", TwoShards()[kIndex]), kIndex));
  EXPECT_THAT(KeysIn(folder.Path("weights")), ElementsAre("a", "b"));
}

TEST(Shards, ShardsWithoutAnIndexAreTheUnionOfTheirKeys) {
  const Folder folder(Without(TwoShards(), kIndex));
  EXPECT_THAT(KeysIn(folder.path()), ElementsAre("a", "b"));
}

TEST(Shards, OneWeightsFileAmongCompanionsIsThatFile) {
  for (const char* name : {"model.safetensors", "last.ckpt", "weights.pth", "x.bin", "n.dat"}) {
    const Folder folder({{name, Shard({"k"})},
                         {"optimizer.pt", "x"},
                         {"scheduler.pt", "x"},
                         {"rng_state.pth", "x"},
                         {"training_args.bin", "x"},
                         {"config.json", "{}"},
                         {".hidden.bin", "x"},
                         {"sub/model.safetensors", "x"}});
    EXPECT_THAT(KeysIn(folder.path()), ElementsAre("k")) << name;
  }
}

TEST(Shards, VariantsOfDiffusersAndTransformersHaveTheirShards) {
  const struct {
    const char* index;
    const char* stem;
    const char* suffix;
  } cases[] = {
      {"diffusion_pytorch_model.safetensors.index.fp16.json", "diffusion_pytorch_model.fp16",
       ".safetensors"},
      {"model.safetensors.index.fp16.json", "model", ".fp16.safetensors"},
  };
  for (const auto& c : cases) {
    const std::string first = absl::StrCat(c.stem, "-00001-of-00002", c.suffix);
    const std::string second = absl::StrCat(c.stem, "-00002-of-00002", c.suffix);
    const Folder folder({{first, Shard({"a"})},
                         {second, Shard({"b"})},
                         {c.index, Index({{"a", first}, {"b", second}})}});
    EXPECT_THAT(KeysIn(folder.path()), ElementsAre("a", "b")) << c.index;
  }
}

// The hub's cache: snapshots/<commit>/ holds links into blobs/.
// row F13: in a folder they are the user's own, and no tar of shards is read.
TEST(Shards, LinksInTheFolderAreFollowed) {
  Files blobs;
  for (const auto& [name, bytes] : TwoShards()) blobs["blobs/" + name + ".hash"] = bytes;
  const Folder cache(blobs);
  std::filesystem::create_directories(cache.Path("snapshots/1"));
  for (const auto& [name, bytes] : TwoShards()) {
    std::filesystem::create_symlink("../../blobs/" + name + ".hash",
                                    cache.Path("snapshots/1/" + name));
  }
  EXPECT_THAT(KeysIn(cache.Path("snapshots/1")), ElementsAre("a", "b"));
  EXPECT_THAT(KeysIn(cache.Path("snapshots/1/") + kIndex), ElementsAre("a", "b"));
}

TEST(Shards, ALinkThatLeadsNowhereIsAMissingShard) {
  const Folder folder(Without(TwoShards(), kSecond));
  std::filesystem::create_symlink("../nowhere", folder.Path(kSecond));
  const auto weights = OpenWeights(folder.path(), Format::kUnknown, Limits());
  EXPECT_EQ(weights.status().code(), kInvalid);
  EXPECT_THAT(std::string(weights.status().message()), HasSubstr("missing"));
}

TEST(Shards, LeavesTiesAndMetadataOfAllShardsAreKept) {
  const auto shard = [&](const char* x, const char* y, const char* metadata) {
    return Safetensors(
        absl::StrCat("{\"__metadata__\":{\"format\":\"pt\",\"ballast.ties\":\"[[\\\"", x,
                     "\\\",\\\"", y, "\\\"]]\",\"ballast.metadata\":\"", metadata, "\"},\"", x,
                     "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"", y,
                     "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}"),
        "zz");
  };
  const Folder folder(
      {{kFirst, shard("a", "b", R"({\"\":{\"version\":1}})")},
       {kSecond, shard("c", "d", R"({\"\":{\"version\":2},\"fc\":{\"version\":3}})")},
       {kIndex, Index({{"a", kFirst}, {"b", kFirst}, {"c", kSecond}, {"d", kSecond}},
                      R"({"total_size":2,"total_parameters":4,"mesh":{"x":[1]}})")}});
  const auto weights = OpenWeights(folder.path(), Format::kUnknown, Limits());
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_THAT(weights->dict.ties, ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3)));
  EXPECT_EQ(weights->dict.metadata_json, R"({"":{"version":1},"fc":{"version":3}})");
  std::vector<std::string> leaves;
  for (const SourceLeaf& leaf : weights->dict.leaves) {
    leaves.push_back(absl::StrCat(leaf.path, "=", leaf.type, ":", leaf.json));
  }
  EXPECT_THAT(leaves,
              ElementsAre("__metadata__.total_parameters=int:4", "__metadata__.mesh=dict:"));
  EXPECT_THAT(weights->dict.warnings, IsEmpty());  // ties counted once
}

struct BadCase {
  const char* row;
  Files files;
  const char* open;  // in the folder; "": the folder
  absl::StatusCode code;
  Reason reason;
  const char* message;
};

void ExpectRefused(const BadCase& c, const Limits& limits = Limits()) {
  const Folder folder(c.files);
  const std::string path = *c.open == '\0' ? folder.path() : folder.Path(c.open);
  const auto weights = OpenWeights(path, Format::kUnknown, limits);
  EXPECT_EQ(weights.status().code(), c.code) << c.row << ": " << weights.status();
  EXPECT_EQ(GetReason(weights.status()), c.reason) << c.row << ": " << weights.status();
  EXPECT_THAT(std::string(weights.status().message()), HasSubstr(c.message)) << c.row;
  EXPECT_THAT(std::string(weights.status().message()), HasSubstr(path)) << c.row;
}

TEST(Shards, ShardNamesThatAreNoPlainNamesAreUnsafe) {
  for (const char* name :
       {"../../../etc/passwd", "/abs", R"(C:\\x.safetensors)", R"(\\\\srv\\x)", "a/b.safetensors",
        "file:///etc/passwd", "", ".hidden.safetensors", "..", "nul\\u0000.safetensors",
        "sp ace.safetensors", "ümlaut.safetensors", "line\\nfeed.safetensors"}) {
    ExpectRefused({"F1",
                   {{kIndex, Index({{"a", name}})}},
                   kIndex,
                   kInvalid,
                   Reason::kUnsafe,
                   "want a plain file name"});
  }
  ExpectRefused({"F1",
                 {{kIndex, Index({{"a", std::string(256, 'n')}})}},
                 "",
                 kInvalid,
                 Reason::kUnsafe,
                 "want a plain file name"});
}

TEST(Shards, SafetensorsIndexesDoNotLeadToPickles) {
  const Files files = With(TwoShards(), kIndex, Index({{"a", kFirst}, {"b", "pytorch_model.bin"}}));
  ExpectRefused({"F2", files, "", kInvalid, Reason::kUnsafe, "must not lead to pickles"});
  ExpectRefused({"F2 by another name",
                 {{"i.json", Index({{"a", kFirst}, {"b", "evil.bin"}})}},
                 "i.json",
                 kInvalid,
                 Reason::kUnsafe,
                 "must not lead to pickles"});
  ExpectRefused({"a kind that is none",
                 {{"i.json", Index({{"a", "x.pt"}})}},
                 "i.json",
                 kInvalid,
                 Reason::kMalformed,
                 "want .safetensors or .bin"});
  ExpectRefused({"D75 in a shard", With(TwoShards(), kSecond, std::string("\x80\x02}q\x00.", 6)),
                 "", kInvalid, Reason::kWrongFormat, "want safetensors"});
}

TEST(Shards, WhatIsWrongWithTheFilesOfAnIndexIsNamed) {
  const std::string third = "model-00003-of-00003.safetensors";
  const BadCase cases[] = {
      {"F3", Without(TwoShards(), kSecond), "", kInvalid, Reason::kMalformed,
       "1 of 2 shards are missing: model-00002-of-00002.safetensors"},
      {"F14",
       {{kIndex, TwoShards()[kIndex]}, {kFirst, Shard({"a"})}},
       kIndex,
       kInvalid,
       Reason::kMalformed,
       "missing: model-00002"},
      {"F4", With(TwoShards(), "model-00003-of-00003.safetensors", Shard({"c"})), "", kInvalid,
       Reason::kMalformed, "not in the index: model-00003-of-00003.safetensors"},
      {"F5 in the index only",
       With(TwoShards(), kIndex, Index({{"a", kFirst}, {"b", kSecond}, {"c", kSecond}})), "",
       kInvalid, Reason::kMalformed,
       "the index has 1 key that no shard has: \"c\" (model-00002-of-00002.safetensors)"},
      {"F5 in the shard only", With(TwoShards(), kSecond, Shard({"b", "c"})), "", kInvalid,
       Reason::kMalformed,
       "key \"c\" is in model-00002-of-00002.safetensors, but not in the index"},
      {"F5 in another shard",
       {{kFirst, Shard({"b"})}, {kSecond, Shard({"a"})}, {kIndex, TwoShards()[kIndex]}},
       "",
       kInvalid,
       Reason::kMalformed,
       "but the index says model-00002-of-00002.safetensors"},
      {"F6",
       {{kFirst, Shard({"a"})}, {kSecond, Shard({"a"})}},
       "",
       kInvalid,
       Reason::kMalformed,
       "key \"a\" is in two shards, model-00001-of-00002.safetensors and model-00002"},
      {"F6 with an index", With(TwoShards(), kSecond, Shard({"b", "a"})), "", kInvalid,
       Reason::kMalformed, "key \"a\" is in two shards"},
      {"F10",
       {{kFirst, Shard({"a"})}, {kIndex, Index({{"a", kFirst}})}},
       "",
       kInvalid,
       Reason::kMalformed,
       "1 of 2 shards is missing: model-00002-of-00002.safetensors"},
      {"F10 without an index",
       {{"model-00001-of-00003.safetensors", Shard({"a"})}, {third, Shard({"c"})}},
       "",
       kInvalid,
       Reason::kMalformed,
       "1 of 3 shards is missing: model-00002-of-00003.safetensors"},
      {"F10 many",
       {{"m-00002-of-99999.bin", Shard({"a"})}},
       "",
       kInvalid,
       Reason::kMalformed,
       "99998 of 99999 shards are missing: m-00001-of-99999.bin, m-00003-of-99999.bin"},
      {"two counts",
       {{kFirst, Shard({"a"})}, {third, Shard({"c"})}},
       "",
       kInvalid,
       Reason::kMalformed,
       "is one of 3 shards"},
      {"number 0",
       {{"m-00000-of-00001.bin", Shard({"a"})}},
       "",
       kInvalid,
       Reason::kMalformed,
       "number is 0, want 1 to 1"},
      {"twice",
       {{"m-00001-of-00002.bin", ""}, {"m-000001-of-00002.bin", ""}},
       "",
       kInvalid,
       Reason::kMalformed,
       "is shard 1, which is there twice"},
      {"a bad shard", With(TwoShards(), kSecond, Shard({"b"}) + "x"), "", kInvalid,
       Reason::kMalformed, "model-00002-of-00002.safetensors: byte"},
  };
  for (const BadCase& c : cases) ExpectRefused(c);
}

TEST(Shards, WhatIsWrongWithTheTextOfAnIndexIsNamed) {
  const std::string map = absl::StrCat("\"weight_map\":{\"a\":\"", kFirst, "\"}");
  const struct {
    const char* row;
    std::string text;
    Reason reason;
    const char* message;
  } cases[] = {
      {"F7 key",
       absl::StrCat("{\"weight_map\":{\"a\":\"", kFirst, "\",\"\\u0061\":\"", kFirst, "\"}}"),
       Reason::kMalformed, "weight_map has key \"a\" twice"},
      {"F7 map", absl::StrCat("{", map, ",", map, "}"), Reason::kMalformed,
       "has \"weight_map\" twice"},
      {"F7 member", absl::StrCat("{\"metadata\":{\"x\":1,\"x\":1},", map, "}"), Reason::kMalformed,
       "metadata has \"x\" twice"},
      {"F9 missing", "{\"metadata\":{\"total_size\":1}}", Reason::kMalformed, "has no weight_map"},
      {"F9 list", "{\"weight_map\":[]}", Reason::kMalformed, "weight_map is of type list"},
      {"F9 text", "{\"weight_map\":\"x\"}", Reason::kMalformed, "weight_map is of type str"},
      {"F9 number", "{\"weight_map\":{\"a\":1}}", Reason::kMalformed,
       "\"a\" leads to a value of type int, want the name of a file"},
      {"F9 object", "{\"weight_map\":{\"a\":{}}}", Reason::kMalformed, "of type dict"},
      {"F9 null", "{\"weight_map\":{\"a\":null}}", Reason::kMalformed, "of type NoneType"},
      {"F9 empty", "{\"weight_map\":{}}", Reason::kMalformed, "weight_map is empty"},
      {"metadata", absl::StrCat("{\"metadata\":7,", map, "}"), Reason::kMalformed,
       "metadata is of type int"},
      {"cut", "{\"weight_map\":{\"a\"", Reason::kMalformed, "is not JSON at byte"},
      {"two", absl::StrCat("{", map, "}{}"), Reason::kMalformed, "is not JSON at byte"},
      {"zeros", absl::StrCat("{", map, "}", std::string(3, '\0')), Reason::kMalformed,
       "is zero, want JSON"},
      {"a control character in a key", "{\"weight_map\":{\"a\\u0001\":\"x.bin\"}}",
       Reason::kMalformed, "control character"},
  };
  for (const auto& c : cases) {
    const auto index = ParseShardIndex(c.text, ".safetensors", Limits());
    EXPECT_EQ(index.status().code(), kInvalid) << c.row << ": " << index.status();
    EXPECT_EQ(GetReason(index.status()), c.reason) << c.row;
    EXPECT_THAT(std::string(index.status().message()), HasSubstr(c.message)) << c.row;
  }
}

// row F8
TEST(Shards, ATotalSizeIsAHint) {
  const struct {
    const char* metadata;
    const char* warning;  // "": none
  } cases[] = {
      {R"({"total_size":2})", ""},
      {R"({"total_size":3})", "total_size is 3, but the tensors have 2 bytes"},
      {R"({"total_size":2.0})", "total_size is of type float"},
      {R"({"total_size":"2"})", "total_size is of type str"},
      {R"({"total_size":-2})", "total_size is of type int, want a number of bytes"},
      {R"({"total_size":null})", "total_size is of type NoneType"},
      {R"({"total_size":[2]})", "total_size is of type list"},
      {R"({})", "has no total_size"},
  };
  for (const auto& c : cases) {
    const Folder folder(
        With(TwoShards(), kIndex, Index({{"a", kFirst}, {"b", kSecond}}, c.metadata)));
    const auto weights = OpenWeights(folder.path(), Format::kUnknown, Limits());
    ASSERT_TRUE(weights.ok()) << c.metadata << ": " << weights.status();
    const std::string all = absl::StrJoin(weights->dict.warnings, "; ");
    EXPECT_THAT(all, HasSubstr(c.warning)) << c.metadata;
    EXPECT_EQ(all.empty(), *c.warning == '\0') << all;
  }
}

// row F11
TEST(Shards, ShardsOfSeveralDtypesAndContainersAreRead) {
  const std::string dat = Hex("01 01 62 00 01 01") + "b";  // "b": uint8 [1]
  const Folder folder(
      {{"pytorch_model-00001-of-00002.bin", Shard({"a"})},
       {"pytorch_model-00002-of-00002.bin", dat},
       {"pytorch_model.bin.index.json", Index({{"a", "pytorch_model-00001-of-00002.bin"},
                                               {"b", "pytorch_model-00002-of-00002.bin"}})}});
  EXPECT_THAT(KeysIn(folder.path()), ElementsAre("a", "b"));
  const auto weights = OpenWeights(folder.path(), Format::kUnknown, Limits());
  EXPECT_THAT(weights->dict.warnings,
              ElementsAre("pytorch_model-00002-of-00002.bin: is torchsharp, others are "
                          "safetensors"));
}

TEST(Shards, LimitsAreNamed) {
  const auto limited = [](uint64_t Limits::*field, uint64_t value) {
    Limits limits;
    limits.*field = value;
    return limits;
  };
  const auto kExhausted = absl::StatusCode::kResourceExhausted;
  const BadCase two{"F12", TwoShards(), "", kExhausted, Reason::kLimit, ""};
  const struct {
    Limits limits;
    const char* message;
  } cases[] = {
      {limited(&Limits::shard_index_bytes_max, 20), "want at most 20 (shard_index_bytes_max)"},
      {limited(&Limits::shards_max, 1), "more than 1 shards (shards_max)"},
      {limited(&Limits::entries_max, 1), "more than 1 keys (entries_max)"},
      {limited(&Limits::folder_entries_max, 2), "more than 2 files (folder_entries_max)"},
  };
  for (const auto& c : cases) {
    BadCase row = two;
    row.message = c.message;
    ExpectRefused(row, c.limits);
  }
  BadCase bare = two;
  bare.files = Without(TwoShards(), kIndex);
  bare.message = "the shards have more than 1 tensors (entries_max)";
  ExpectRefused(bare, limited(&Limits::entries_max, 1));
  bare.message = "2 shards, want at most 1 (shards_max)";
  ExpectRefused(bare, limited(&Limits::shards_max, 1));
}

// row F27
TEST(Shards, LineEndingsOfWindowsAreWhiteSpace) {
  const std::string text = absl::StrCat("{\r\n  \"metadata\": {\"total_size\": 2},\r\n",
                                        "  \"weight_map\": {\r\n    \"a\": \"", kFirst,
                                        "\",\r\n    \"b\": \"", kSecond, "\"\r\n  }\r\n}\r\n");
  EXPECT_THAT(KeysIn(Folder(With(TwoShards(), kIndex, text)).path()), ElementsAre("a", "b"));
}

// row F28: U+00E9, and e with U+0301: equal after normalisation, and two keys here.
TEST(Shards, KeysAreComparedByBytes) {
  const Folder folder({{kFirst, Shard({"\u00e9"})}, {kSecond, Shard({"e\u0301"})}});
  EXPECT_THAT(KeysIn(folder.path()), SizeIs(2));
}

TEST(Shards, FoldersThatHoldNoneOrSeveralAreRefused) {
  const auto kAmbiguous = absl::StatusCode::kFailedPrecondition;
  const auto kUnsupported = absl::StatusCode::kUnimplemented;
  const BadCase cases[] = {
      {"two formats",
       {{"model.safetensors", ""}, {"pytorch_model.bin", ""}},
       "",
       kAmbiguous,
       Reason::kAmbiguous,
       "may be model.safetensors, pytorch_model.bin; name the one"},
      {"a file beside shards", With(TwoShards(), "consolidated.safetensors", Shard({"a"})), "",
       kAmbiguous, Reason::kAmbiguous, "may be model.safetensors.index.json, consolidated"},
      {"two series",
       {{kFirst, ""}, {kSecond, ""}, {"ema-00001-of-00001.bin", ""}},
       "",
       kAmbiguous,
       Reason::kAmbiguous,
       "may be ema-00001-of-00001.bin …, model-00001-of-00002.safetensors …"},
      {"two indexes", With(TwoShards(), "model.safetensors.index.fp16.json", ""), "", kAmbiguous,
       Reason::kAmbiguous, "index.fp16.json, model.safetensors.index.json"},
      {"nothing",
       {{"config.json", "{}"}, {"unet/x", ""}, {"vae/x", ""}},
       "",
       absl::StatusCode::kNotFound,
       Reason::kNone,
       "no weights are in this folder, want an index of shards"},
      {"sub-folders",
       {{"unet/x", ""}, {"vae/x", ""}},
       "",
       absl::StatusCode::kNotFound,
       Reason::kNone,
       "not searched: unet, vae"},
      {"F15",
       {{".metadata", "x"}, {"__0_0.distcp", "x"}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "python -m torch.distributed.checkpoint.format_utils dcp_to_torch"},
      {"F15 beside weights",
       {{"__0_0.distcp", "x"}, {"model.safetensors", "x"}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "(__0_0.distcp)"},
      {"F16",
       {{".metadata", "relative_path ../../x"}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "torch.distributed.checkpoint folder (.metadata)"},
      {"FSDP in Trainer",
       {{"pytorch_model_fsdp_0/.metadata", ""}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "(pytorch_model_fsdp_0)"},
      {"DeepSpeed",
       {{"mp_rank_00_model_states.pt", ""}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "python zero_to_fp32.py"},
      {"ZeRO",
       {{"zero_pp_rank_0_mp_rank_00_optim_states.pt", ""}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "DeepSpeed"},
      {"Lightning with DeepSpeed",
       {{"checkpoint/mp_rank_00_model_states.pt", ""}, {"latest", ""}, {"zero_to_fp32.py", ""}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "DeepSpeed checkpoint folder (zero_to_fp32.py)"},
      {"DeepSpeed's own",
       {{"global_step500/x", ""}, {"latest", ""}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "(global_step500)"},
      {"Megatron",
       {{"mp_rank_00/model_optim_rng.pt", ""}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "Megatron-LM"},
      {"rank slices",
       {{"shard-00001-model-00001-of-00001.safetensors", Shard({"a"})}},
       "",
       kUnsupported,
       Reason::kUnsupported,
       "one rank's slices"},
      {"a rank slice by its path",
       {{"shard-00001-model-00001-of-00001.safetensors", Shard({"a"})}},
       "shard-00001-model-00001-of-00001.safetensors",
       kUnsupported,
       Reason::kUnsupported,
       "one rank's slices"},
      {"slices that a shard tells of",
       With(TwoShards(), kSecond,
            Shard({"b"}, R"({"DCP_SHARDING_INFO":"{\"b\":{\"saved_offsets\":[4]}}"})")),
       "", kUnsupported, Reason::kUnsupported, "slices of bigger ones"},
      {"a schema",
       {{"schema.json", R"({"ballast_schema":1,"entries":[]})"}},
       "schema.json",
       kInvalid,
       Reason::kMalformed,
       "has no weight_map"},
      {"absent", {}, "absent", absl::StatusCode::kNotFound, Reason::kNone, "No such file"},
  };
  for (const BadCase& c : cases) ExpectRefused(c);
}

TEST(Shards, AnIndexAmongOthersIsReadByItsPath) {
  const Folder folder(With(TwoShards(), "pytorch_model.bin", "x"));
  EXPECT_THAT(KeysIn(folder.Path(kIndex)), ElementsAre("a", "b"));
}

TEST(Shards, ZeRO3BesideWholeWeightsIsNotInTheWay) {
  const Folder folder(With(With(TwoShards(), "zero_to_fp32.py", ""), "global_step5/x", ""));
  EXPECT_THAT(KeysIn(folder.path()), ElementsAre("a", "b"));
}

TEST(ShardNames, AreTakenApartAndPutTogether) {
  const auto shard = ParseShardName("model-00007-of-000163.fp16.safetensors");
  ASSERT_TRUE(shard.has_value());
  EXPECT_EQ(shard->stem, "model");
  EXPECT_EQ(shard->number, 7u);
  EXPECT_EQ(shard->count, 163u);
  EXPECT_EQ(shard->suffix, ".fp16.safetensors");
  EXPECT_EQ(shard->Sibling(12), "model-00012-of-000163.fp16.safetensors");
  for (const char* name :
       {"model.safetensors", "model-1-of-2.bin", "-00001-of-00002.bin", "model-00001-of-00002",
        "model00001-of-00002.bin", "a-of-b.bin", "model-0000000001-of-00002.bin", ""}) {
    EXPECT_FALSE(ParseShardName(name).has_value()) << name;
  }
  for (const char* name : {"config.json", "model.index.json", ".safetensors.index.json",
                           "model.safetensors.index", "model.safetensors.indexer.json"}) {
    EXPECT_FALSE(ParseIndexName(name).has_value()) << name;
  }
  EXPECT_EQ(ShardFileName("model", 0, 1, ".safetensors"), "model.safetensors");
  EXPECT_EQ(ShardFileName("pytorch_model", 1, 12, ".bin"), "pytorch_model-00002-of-00012.bin");
}

TEST(ShardIndex, ItsTextIsSortedAndReadBack) {
  const std::string text =
      ShardIndexText(5, {{"b", "m-00002-of-00002.bin"}, {"a\"", "m-00001-of-00002.bin"}});
  EXPECT_EQ(text,
            "{\n  \"metadata\": {\n    \"total_size\": 5\n  },\n  \"weight_map\": {\n"
            "    \"a\\\"\": \"m-00001-of-00002.bin\",\n    \"b\": \"m-00002-of-00002.bin\"\n"
            "  }\n}\n");
  const auto index = ParseShardIndex(text, ".bin", Limits());
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->total_size_bytes, 5u);
  EXPECT_THAT(index->files, ElementsAre("m-00001-of-00002.bin", "m-00002-of-00002.bin"));
  EXPECT_THAT(index->warnings, IsEmpty());
  EXPECT_TRUE(HasWeightMap(text));
  EXPECT_FALSE(HasWeightMap(R"({"a":{"weight_map":{}}})"));
  EXPECT_FALSE(HasWeightMap("{"));
}

// row F17
TEST(StateDictHints, AnAdapterIsNotAModel) {
  SourceStateDict dict;
  for (const char* key : {"base.q.lora_A.weight", "base.q.lora_B.weight", "base.score.weight"}) {
    dict.entries.emplace_back().spec.key = key;
  }
  EXPECT_THAT(AdapterHint(dict), HasSubstr("adapter"));
  dict.entries.resize(1);
  dict.entries.emplace_back().spec.key = "fc.weight";
  dict.entries.emplace_back().spec.key = "fc.bias";
  EXPECT_EQ(AdapterHint(dict), "");
  EXPECT_EQ(AdapterHint(SourceStateDict()), "");
}

}  // namespace
}  // namespace ballast

// The description of files and versions: every member of the document, on real files.
#include "storage/formats/inspect.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "storage/base/digest.h"
#include "storage/base/file.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

using Json = nlohmann::ordered_json;

Json Describe(const ByteSource& file, bool digests = false) {
  const auto dict = ReadStateDict(file, Format::kUnknown, Limits());
  EXPECT_TRUE(dict.ok()) << dict.status();
  if (!dict.ok()) return {};
  const auto source = MakeFileTensorSource(&file, &*dict, ::testing::TempDir(), Limits());
  const auto text = InspectJson(*dict, digests ? source.get() : nullptr);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? Json::parse(*text) : Json();
}

Json DescribeGolden(const std::string& name, bool digests = false) {
  auto file = OpenFile(BALLAST_SOURCE_DIR "/tests/golden/" + name);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? Describe(**file, digests) : Json();
}

std::vector<std::string> MembersOf(const Json& document) {
  std::vector<std::string> names;
  for (const auto& [name, value] : document.items()) names.push_back(name);
  return names;
}

TEST(Inspect, TellsEverythingOfAZip) {
  const Json document = DescribeGolden("digits.pth", true);
  EXPECT_THAT(
      MembersOf(document),
      ::testing::ElementsAre("format", "writer", "bytes", "container", "storages", "entries",
                             "ties", "views", "leaves", "globals", "metadata", "warnings"));
  EXPECT_EQ(document["format"], "pytorch");
  EXPECT_EQ(document["writer"], "torch 1.6-2.0");
  EXPECT_EQ(document["container"],
            Json::parse(R"({"file_bytes":8379,"archive":"digits","records":12,
                            "deflated_records":0,"version":3,"pickle_protocol":2})"));
  // Ten storages for eleven tensors: two share their bias of ten floats.
  EXPECT_EQ(document["entries"].size(), 11u);
  EXPECT_EQ(document["storages"]["count"], 10);
  EXPECT_EQ(document["storages"]["stored_bytes"], document["bytes"].get<int>() - 40);
  EXPECT_EQ(document["storages"]["used_bytes"], document["storages"]["stored_bytes"]);
  EXPECT_EQ(document["ties"], Json::parse(R"([["fc.bias","aux.bias"]])"));
  EXPECT_EQ(document["entries"][0]["key"], "conv.weight");
  EXPECT_EQ(document["entries"][0]["sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(document["metadata"][""], Json::parse(R"({"version":1})"));
  EXPECT_EQ(document["globals"][0],
            Json::parse(R"({"name":"collections.OrderedDict","verdict":"allowed"})"));
  for (const char* empty : {"views", "leaves", "warnings"}) EXPECT_EQ(document[empty].size(), 0u);
}

TEST(Inspect, TellsViewsLeavesAndWarningsOfAStream) {
  const Json document = DescribeGolden("legacy.pth");
  EXPECT_EQ(document["format"], "pytorch-legacy");
  EXPECT_EQ(document["writer"], "torch 0.4-1.5");
  EXPECT_EQ(document["container"], Json::parse(R"({"file_bytes":4952,"pickle_protocol":2})"));
  EXPECT_FALSE(document["entries"][0].contains("sha256"));
  // The view and the transposed tensor share a storage of 48 bytes.
  const Json& views = document["views"];
  ASSERT_EQ(views.size(), 2u);
  EXPECT_EQ(views[0]["key"], "weights.view");
  EXPECT_EQ(views[0]["storage_bytes"], 48);
  EXPECT_EQ(views[0]["offset_bytes"], 8);
  EXPECT_EQ(views[0]["used_bytes"], 16);
  EXPECT_FALSE(views[0].contains("strides"));
  EXPECT_EQ(views[1]["strides"], Json::parse("[1,4]"));
  EXPECT_EQ(document["storages"]["used_bytes"], document["storages"]["stored_bytes"]);
  EXPECT_EQ(document["leaves"], Json::parse(R"([{"path":"epoch","type":"int","value":3}])"));
  EXPECT_THAT(document["warnings"].dump(), ::testing::HasSubstr("1 pickled modules"));
  EXPECT_THAT(
      document["globals"].dump(),
      ::testing::HasSubstr(R"({"name":"torch.nn.modules.linear.Linear","verdict":"inert"})"));
}

TEST(Inspect, KnowsItsOwnFiles) {
  const std::vector<Tensor> tensors = {MakeTensor("a", DType::kFloat32, {3})};
  for (const Format format : {Format::kPyTorch, Format::kPyTorchLegacy}) {
    const StringSource file(*WriteAll(format, tensors));
    EXPECT_EQ(Describe(file)["writer"], "Ballast") << FormatName(format);
  }
  const StringSource safetensors(*WriteAll(Format::kSafetensors, tensors));
  EXPECT_EQ(Describe(safetensors)["container"]["data_offset"].get<uint64_t>() % 64, 0u);
}

TEST(Inspect, CountsWhatTensorsReachOfTheirStorages) {
  SourceStateDict dict;
  dict.storages.resize(3);
  for (SourceStorage& storage : dict.storages) storage.size_bytes = storage.stored_bytes = 100;
  const auto add = [&](uint32_t storage, uint64_t offset, Shape shape, Shape strides) {
    SourceEntry& entry = dict.entries.emplace_back();
    entry.spec = {absl::StrCat("k", dict.entries.size()), DType::kInt16, std::move(shape)};
    entry.storage = storage;
    entry.offset_bytes = offset;
    entry.strides.assign(strides.begin(), strides.end());
  };
  add(0, 10, {5}, {});         // 10 … 20
  add(0, 14, {5}, {});         // 14 … 24
  add(0, 16, {1}, {});         // inside
  add(0, 60, {2, 3}, {1, 4});  // 60 … 60 + 2 · (1 + 8 + 1)
  add(1, 0, {0}, {});          // nothing
  add(2, 0, {50}, {});         // all
  const Json document = Json::parse(*InspectJson(dict, nullptr));
  EXPECT_EQ(document["storages"],
            Json::parse(R"({"count":3,"stored_bytes":300,"used_bytes":134})"));
}

TEST(Inspect, AVersionHasNoContainer) {
  Manifest manifest;
  manifest.format = Format::kPyTorch;
  manifest.writer = "torch 2.7+";
  manifest.leaves_json = R"([{"path":"best","type":"float","text":"nan"}])";
  manifest.entries.emplace_back().spec = {"w", DType::kInt8, {0}};
  const Json document = Json::parse(*InspectJson(manifest, nullptr));
  EXPECT_EQ(document["writer"], "torch 2.7+");
  EXPECT_EQ(document["container"], Json::object());
  EXPECT_TRUE(document["storages"].is_null());
  EXPECT_EQ(document["leaves"][0]["text"], "nan");
  for (const char* empty : {"ties", "views", "globals", "warnings"}) {
    EXPECT_EQ(document[empty], Json::array()) << empty;
  }
}

}  // namespace
}  // namespace ballast

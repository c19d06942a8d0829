#include <ballast/local.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "storage/base/digest.h"
#include "storage/base/status.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ConvertOptions To(Format format) {
  ConvertOptions options;
  options.to = format;
  return options;
}

TEST(LocalTest, ConvertsBetweenAllFormatsWithoutLoss) {
  const TestFolder folder;
  const std::string first = folder.Write(
      "a", SafetensorsFile({NoiseTensor("w", 3'000'000, 1), {"f", "F32", {2, 1}, Noise(8, 2)}}));
  ASSERT_TRUE(ConvertFile(first, folder.Path("b"), To(Format::kTorchSharp), Limits()).ok());
  ASSERT_TRUE(ConvertFile(folder.Path("b"), folder.Path("c"), To(Format::kPyTorch), Limits()).ok());
  const auto last =
      ConvertFile(folder.Path("c"), folder.Path("d"), To(Format::kSafetensors), Limits());
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->from, Format::kPyTorch);
  EXPECT_EQ(last->entries, 2u);
  InspectOptions digests;
  digests.digests = true;
  const auto before = InspectFile(first, digests, Limits());
  const auto after = InspectFile(folder.Path("d"), digests, Limits());
  ASSERT_TRUE(before.ok() && after.ok());
  const auto sorted_digests = [](const std::string& text) {
    std::map<std::string, std::string> out;
    const nlohmann::json description = nlohmann::json::parse(text);
    for (const auto& entry : description["entries"]) {
      out[entry["key"].get<std::string>()] = entry["sha256"].get<std::string>();
    }
    return out;
  };
  EXPECT_EQ(sorted_digests(*before), sorted_digests(*after));
}

TEST(LocalTest, APlainDictSaysWhatItLeavesOut) {
  const TestFolder folder;
  const StringSource digits(
      ReadFileBytes(std::string(BALLAST_SOURCE_DIR) + "/tests/golden/digits.pth"));
  for (const Format format : {Format::kPyTorch, Format::kPyTorchLegacy}) {
    ConvertOptions options = To(format);
    std::string usual, plain;
    StringSink usual_sink(&usual), plain_sink(&plain);
    const auto kept = ConvertSource(digits, &usual_sink, options, Limits());
    ASSERT_TRUE(kept.ok()) << kept.status();
    EXPECT_THAT(kept->warnings, IsEmpty());
    options.plain_dict = true;
    const auto lost = ConvertSource(digits, &plain_sink, options, Limits());
    ASSERT_TRUE(lost.ok()) << lost.status();
    EXPECT_THAT(lost->warnings, ElementsAre(HasSubstr("_metadata")));
    EXPECT_NE(usual, plain);
    EXPECT_THAT(plain, ::testing::Not(HasSubstr("_metadata")));
  }
  ConvertOptions options = To(Format::kTorchSharp);
  options.plain_dict = true;
  std::string out;
  StringSink sink(&out);
  EXPECT_EQ(ConvertSource(digits, &sink, options, Limits()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(LocalTest, AFailedConversionLeavesNoFile) {
  const TestFolder in, out;
  const std::string bad = in.Write("bad", SafetensorsFile({NoiseTensor("w", 99, 1)}) + "x");
  const auto converted = ConvertFile(bad, out.Path("o"), To(Format::kTorchSharp), Limits());
  EXPECT_EQ(converted.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(out.Names(), IsEmpty());
}

TEST(LocalTest, ACancelledConversionLeavesNoFile) {
  const TestFolder in, out;
  ConvertOptions options = To(Format::kTorchSharp);
  options.control.cancel.Cancel();
  const std::string path = in.Write("in", SafetensorsFile({NoiseTensor("w", 99, 1)}));
  const auto converted = ConvertFile(path, out.Path("o"), options, Limits());
  EXPECT_EQ(converted.status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(out.Names(), IsEmpty());
}

TEST(LocalTest, RulesHoldForConversions) {
  const TestFolder folder;
  const std::string path =
      folder.Write("in", SafetensorsFile({NoiseTensor("net.w", 9, 1), NoiseTensor("other", 9, 2)}));
  ConvertOptions options = To(Format::kTorchSharp);
  options.rules.select = "net";
  const auto converted = ConvertFile(path, folder.Path("out"), options, Limits());
  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_EQ(converted->entries, 1u);
  EXPECT_THAT(ReadFileBytes(folder.Path("out")), HasSubstr("w"));
}

TEST(LocalTest, InspectSaysWhatIsThere) {
  const StringSource file(
      SafetensorsFile({{"a.b", "BF16", {2, 3}, Noise(12, 1)}, {"s", "I64", {}, Noise(8, 2)}}));
  const auto text = InspectSource(file, {}, Limits());
  ASSERT_TRUE(text.ok()) << text.status();
  const nlohmann::json json = nlohmann::json::parse(*text);
  EXPECT_EQ(json["format"], "safetensors");
  EXPECT_EQ(json["bytes"], 20);
  ASSERT_EQ(json["entries"].size(), 2u);
  EXPECT_EQ(json["entries"][0]["key"], "a.b");
  EXPECT_EQ(json["entries"][0]["dtype"], "bfloat16");
  EXPECT_THAT(json["entries"][0]["shape"], ElementsAre(2, 3));
  EXPECT_EQ(json["entries"][0]["role"], "weights");
  EXPECT_FALSE(json["entries"][0].contains("sha256"));
  for (const char* list : {"ties", "views", "leaves", "globals", "warnings"}) {
    EXPECT_TRUE(json[list].is_array()) << list;
  }
  EXPECT_TRUE(json["metadata"].is_null());
}

TEST(LocalTest, InspectDigestsAreOverTheTensorsBytes) {
  const std::string bytes = Noise(2'500'000, 3);
  const StringSource file(SafetensorsFile({{"a", "U8", {bytes.size()}, bytes}}));
  InspectOptions options;
  options.digests = true;
  const auto text = InspectSource(file, options, Limits());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(nlohmann::json::parse(*text)["entries"][0]["sha256"], Sha256Of(bytes).Hex());
}

TEST(LocalTest, SpecsFollowTheRules) {
  const StringSource file(
      SafetensorsFile({NoiseTensor("net.a", 4, 1), NoiseTensor("net.b", 4, 1)}));
  KeyRuleOptions rules;
  rules.select = "net";
  rules.exclude = {"b"};
  const auto specs = FileSpecs(file, Format::kUnknown, rules, false, Limits());
  ASSERT_TRUE(specs.ok()) << specs.status();
  ASSERT_EQ(specs->size(), 1u);
  EXPECT_EQ((*specs)[0].key, "a");
}

}  // namespace
}  // namespace ballast

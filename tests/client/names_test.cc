#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/status.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

class NamesTest : public ::testing::Test {
 protected:
  void Push(const std::string& model, uint64_t seed = 1) {
    const std::string path = folder_.Write("in", SafetensorsFile({NoiseTensor("w", 20, seed)}));
    ASSERT_TRUE(client_->PushFile(path, model, {}).ok());
  }

  TestFolder folder_;
  Registry registry_;
  std::unique_ptr<Client> client_ = registry_.NewClient();
};

TEST_F(NamesTest, AnEmptyRegistryHasNoModels) {
  const auto models = client_->AllModels("");
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_TRUE(models->empty());
}

TEST_F(NamesTest, PagesAreFollowedToTheEnd) {
  for (int i = 0; i < 7; ++i) Push("list/m" + std::to_string(i));
  Push("other");
  std::vector<std::string> names;
  std::string token;
  do {
    const auto page = client_->ListModels("list/", token, 3);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->items.size(), 3u);
    for (const ModelDescription& model : page->items) names.push_back(model.model);
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_EQ(names.size(), 7u);
  EXPECT_EQ(client_->AllModels("list/")->size(), 7u);
  EXPECT_EQ(client_->AllModels("")->size(), 8u);
}

TEST_F(NamesTest, VersionsComeNewestFirst) {
  for (uint64_t i = 1; i <= 3; ++i) Push("m", i);
  const auto versions = client_->AllVersions("m");
  ASSERT_TRUE(versions.ok()) << versions.status();
  ASSERT_EQ(versions->size(), 3u);
  EXPECT_EQ(versions->front().version, 3u);
  EXPECT_EQ(client_->GetModel("m")->versions, 3u);
}

TEST_F(NamesTest, AnAliasMovesOnlyFromWhereItIsExpected) {
  Push("m", 1);
  Push("m", 2);
  const auto set = client_->SetAlias("m:1", "prod", 0);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->previous_version, 0u);
  const auto lost = client_->SetAlias("m:2", "prod", 2);
  EXPECT_EQ(lost.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(GetReason(lost.status()), Reason::kConflict);
  EXPECT_EQ(client_->SetAlias("m:2", "prod", 1)->previous_version, 1u);
  EXPECT_EQ(client_->GetVersion("m@prod")->version, 2u);
  EXPECT_TRUE(client_->DeleteAlias("m", "prod").ok());
  EXPECT_EQ(client_->GetVersion("m@prod").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(NamesTest, ControlCallsAreTriedAgainAfterACut) {
  Push("m");
  int calls = 0;
  const std::unique_ptr<Client> client = registry_.NewClient(
      [&](const std::string& method) { return method == "GetVersion" && ++calls == 1; });
  EXPECT_TRUE(client->GetVersion("m").ok());
  EXPECT_GT(calls, 1);
}

TEST_F(NamesTest, ABoundSchemaGatesAndCanBeRead) {
  Push("m");
  const auto schema = client_->GetSchema("m:1");
  ASSERT_TRUE(schema.ok()) << schema.status();
  EXPECT_EQ(*client_->BindSchema("m", *schema), 1u);
  EXPECT_EQ(*client_->GetBoundSchema("m"), *schema);
  EXPECT_TRUE(client_->GetModel("m")->has_schema);
  EXPECT_TRUE(client_->Validate("m", {})->ok);
  const std::string other = folder_.Write("o", SafetensorsFile({NoiseTensor("x", 1, 1)}));
  EXPECT_EQ(GetReason(client_->PushFile(other, "m", {}).status()), Reason::kSchemaMismatch);
  EXPECT_TRUE(client_->UnbindSchema("m").ok());
  EXPECT_EQ(client_->GetBoundSchema("m").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(client_->PushFile(other, "m", {}).ok());
}

TEST_F(NamesTest, SpecsAreComparedWithoutAVersion) {
  ValidateOptions options;
  options.schema.json = R"({"ballast_schema":1,"entries":[{"key":"w","shape":[2]}]})";
  const TensorSpec fits{"w", DType::kUint8, Shape{2}}, differs{"w", DType::kUint8, Shape{3}};
  EXPECT_TRUE(client_->ValidateSpecs({fits}, options)->ok);
  const auto report = client_->ValidateSpecs({differs}, options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->ok);
  EXPECT_EQ(report->shape_mismatches.size(), 1u);
}

TEST_F(NamesTest, InspectDescribesAVersionWithDigestsOfItsBytes) {
  Push("m", 5);
  InspectOptions options;
  options.digests = true;
  const auto json = client_->Inspect("m", options);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_THAT(*json, HasSubstr(Sha256Of(Noise(20, 5)).Hex()));
}

TEST_F(NamesTest, ConvertsAStreamThroughTheServer) {
  StringSource in(SafetensorsFile({NoiseTensor("w", 3 << 20, 1)}));
  SourceStream stream(&in);
  std::string dat;
  StringSink sink(&dat);
  ConvertOptions options;
  options.to = Format::kTorchSharp;
  const auto converted = client_->ConvertStream(&stream, &sink, options);
  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_EQ(converted->from, Format::kSafetensors);
  EXPECT_EQ(converted->bytes, dat.size());
  EXPECT_NE(dat.find(Noise(3 << 20, 1)), std::string::npos);
}

TEST_F(NamesTest, AConversionThatFailsSaysWhy) {
  StringSource in("this is not a model");
  SourceStream stream(&in);
  std::string out;
  StringSink sink(&out);
  ConvertOptions options;
  options.to = Format::kTorchSharp;
  EXPECT_EQ(client_->ConvertStream(&stream, &sink, options).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(out, "");
}

TEST_F(NamesTest, TheServerSaysWhatItCanDo) {
  const auto capabilities = client_->GetCapabilities();
  ASSERT_TRUE(capabilities.ok()) << capabilities.status();
  EXPECT_GT(capabilities->limits.at("entries_max"), 0u);
  EXPECT_FALSE(capabilities->formats.empty());
}

}  // namespace
}  // namespace ballast

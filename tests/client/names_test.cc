#include "absl/time/clock.h"
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

TEST_F(NamesTest, StatsSayWhatTheServerHolds) {
  Push("m", 1);
  Push("m", 1);
  Push("n", 2);
  registry_.monitor()->usage.blocks = {7, 99};
  registry_.monitor()->exact = {8, 100};
  const auto stats = client_->GetStats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->models, 2u);
  EXPECT_EQ(stats->versions, 3u);
  EXPECT_EQ(stats->logical_bytes, 60u);
  EXPECT_EQ(stats->blocks, 7u);
  EXPECT_EQ(stats->block_bytes, 99u);
  EXPECT_EQ(stats->disk_free_bytes, registry_.monitor()->usage.disk_free_bytes);
  EXPECT_LE(stats->started, stats->counted);
  EXPECT_FALSE(stats->server_version.empty());
  EXPECT_EQ(client_->GetStats(true)->blocks, 8u);
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

TEST_F(NamesTest, TheHistoryOfAliasesIsComplete) {
  Push("m", 1);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(client_->SetAlias("m:1", "a" + std::to_string(i)).ok());
  }
  ASSERT_TRUE(client_->DeleteAlias("m", "a3").ok());
  const auto moves = client_->AliasHistory("m");
  ASSERT_TRUE(moves.ok()) << moves.status();
  ASSERT_EQ(moves->size(), 6u);
  EXPECT_EQ(moves->front().alias, "a3");
  EXPECT_EQ(moves->front().from, 1u);
  EXPECT_EQ(moves->front().to, 0u);
  EXPECT_GT(moves->front().time, absl::Now() - absl::Hours(1));
  EXPECT_EQ(client_->AliasHistory("m", "a3")->size(), 2u);
  EXPECT_EQ(client_->AliasHistory("none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(NamesTest, ADeletedVersionComesBack) {
  Push("m", 1);
  Push("m", 2);
  const auto deleted = client_->DeleteVersion("m", 2);
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->deleted, 1u);
  EXPECT_GT(deleted->until, absl::Now() + absl::Hours(6 * 24));
  EXPECT_EQ(client_->GetVersion("m")->version, 1u);
  const auto listed = client_->DeletedVersions("m");
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 1u);
  ASSERT_TRUE(listed->front().deletion.has_value());
  EXPECT_EQ(listed->front().deletion->until - listed->front().deletion->time, absl::Hours(7 * 24));
  EXPECT_EQ(client_->UndeleteVersion("m", 2)->version, 2u);
  EXPECT_EQ(client_->GetVersion("m")->version, 2u);
  ASSERT_TRUE(client_->SetAlias("m:2", "prod").ok());
  EXPECT_EQ(client_->DeleteAllVersions("m").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(client_->DeleteAllVersions("m", {.force = true})->deleted, 2u);
  EXPECT_TRUE(client_->AllModels("")->empty());
  EXPECT_EQ(client_->DeleteVersion("m", 0).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(NamesTest, MutationsThatAreCutAreMadeOnce) {
  Push("m", 1);
  Push("m", 2);
  int cuts = 0;
  const std::unique_ptr<Client> client = registry_.NewClient([&](const std::string& method) {
    const bool mutation =
        method == "DeleteVersion" || method == "UndeleteVersion" || method == "SetRetention";
    return mutation && ++cuts % 4 == 2;  // each answer, once
  });
  const auto deleted = client->DeleteAllVersions("m");
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->deleted, 2u);
  EXPECT_TRUE(client->UndeleteVersion("m", 1).ok());
  EXPECT_TRUE(client->SetRetention("m", RetentionRules{3, absl::ZeroDuration(), {}}).ok());
  EXPECT_GE(cuts, 6);
}

TEST_F(NamesTest, RetentionIsReadAsItWasSet) {
  Push("m");
  EXPECT_FALSE(client_->GetRetention("m")->has_value());
  const RetentionRules rules{3, absl::Hours(24), {{"release", std::nullopt}, {"stage", "prod"}}};
  ASSERT_TRUE(client_->SetRetention("m", rules).ok());
  const auto read = client_->GetRetention("m");
  ASSERT_TRUE(read.ok() && read->has_value()) << read.status();
  EXPECT_EQ((*read)->keep_last, 3u);
  EXPECT_EQ((*read)->keep_newer_than, absl::Hours(24));
  ASSERT_EQ((*read)->keep_labelled.size(), 2u);
  EXPECT_EQ((*read)->keep_labelled[0].value, std::nullopt);
  EXPECT_EQ((*read)->keep_labelled[1].value, "prod");
  ASSERT_TRUE(client_->SetRetention("m", std::nullopt).ok());
  EXPECT_FALSE(client_->GetRetention("m")->has_value());
}

TEST_F(NamesTest, ACollectionReportsWhatItFrees) {
  for (uint64_t i = 1; i <= 3; ++i) Push("m", i);
  ASSERT_TRUE(client_->SetRetention("m", RetentionRules{1, absl::ZeroDuration(), {}}).ok());
  ASSERT_TRUE(client_->DeleteVersion("m", 2).ok());
  const auto usage = client_->GetVersionUsage("m:1");
  ASSERT_TRUE(usage.ok()) << usage.status();
  GarbageOptions options;
  options.dry_run = true;
  const auto dry = client_->CollectGarbage(options);
  ASSERT_TRUE(dry.ok()) << dry.status();
  EXPECT_TRUE(dry->dry_run);
  EXPECT_EQ(dry->deleted_versions, 1u);
  ASSERT_EQ(dry->deletions.size(), 2u);
  EXPECT_EQ(dry->deletions[0].reason, "retention");
  EXPECT_EQ(dry->deletions[0].version, 1u);
  EXPECT_EQ(dry->deletions[0].exclusive_bytes, usage->exclusive_bytes);
  EXPECT_EQ(dry->deletions[1].reason, "deleted");
  const auto done = client_->CollectGarbage();
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_FALSE(done->dry_run);
  EXPECT_EQ(done->held_versions, 2u);
  EXPECT_EQ(client_->GetVersion("m")->version, 3u);

  options.control.progress = [](const Progress& progress) {
    EXPECT_EQ(progress.phase, Progress::Phase::kCollect);
    return false;
  };
  EXPECT_EQ(client_->CollectGarbage(options).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(NamesTest, AVerificationTellsDamageAndItsCallerCanStopIt) {
  Push("m", 1);
  VerifyStoreOptions options;
  options.bytes_per_second = uint64_t{1} << 40;
  std::vector<DamageDescription> damage;
  options.damage = [&](const DamageDescription& found) { damage.push_back(found); };
  const auto sound = client_->Verify("", options);
  ASSERT_TRUE(sound.ok()) << sound.status();
  EXPECT_TRUE(sound->sound);
  EXPECT_EQ(sound->versions, 1u);
  EXPECT_TRUE(damage.empty());
  const auto entries = client_->AllEntries("m");
  ASSERT_TRUE(entries.ok());
  registry_.monitor()->problems = {"file 7: rotten"};
  const auto rotten = client_->Verify("", options);
  ASSERT_TRUE(rotten.ok()) << rotten.status();
  EXPECT_FALSE(rotten->sound);
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].kind, "record");
  EXPECT_EQ(damage[0].problem, "file 7: rotten");
  EXPECT_TRUE(client_->Verify("m", options)->sound);
  EXPECT_EQ(client_->Verify("nothing").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(client_->Verify("NOTHING").status().code(), absl::StatusCode::kInvalidArgument);
  options.control.progress = [](const Progress& progress) {
    EXPECT_EQ(progress.phase, Progress::Phase::kVerify);
    return false;
  };
  EXPECT_EQ(client_->Verify("", options).status().code(), absl::StatusCode::kCancelled);
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

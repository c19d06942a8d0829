#include "proto/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/base/status.h"

namespace ballast {
namespace {

using testing::HasSubstr;

ManifestEntry EntryOf(const std::string& key, Shape shape, DType dtype = DType::kFloat32) {
  ManifestEntry entry;
  entry.spec = {key, dtype, std::move(shape), Kind::kParameter, Role::kWeights};
  const uint64_t blocks = BlockCount(CheckedTensorBytes(entry.spec));
  for (uint64_t i = 0; i < blocks; ++i) {
    entry.blocks.push_back({Sha256Of(absl::StrCat(key, i)), static_cast<uint32_t>(i * 7)});
  }
  return entry;
}

Manifest SampleManifest() {
  Manifest manifest;
  manifest.format = Format::kPyTorch;
  manifest.writer = "torch 2.1";
  manifest.metadata_json = R"({"":{"version":1}})";
  manifest.leaves_json = R"([{"path":"epoch","type":"int","value":3}])";
  manifest.entries.push_back(EntryOf("größe", {3, 4}));
  manifest.entries[0].health = Health{1, 2, 3, -0.5, 7, 1.25};
  manifest.entries.push_back(EntryOf("empty", {0, 7}));
  manifest.entries.push_back(EntryOf("scalar", {}, DType::kInt64));
  manifest.entries.push_back(manifest.entries[0]);
  manifest.entries[3].spec.key = "tied";
  manifest.entries[3].spec.role = Role::kOther;
  manifest.ties = {{0, 3}};
  return manifest;
}

std::vector<v1::ManifestPiece> Pieces(const Manifest& manifest, bool with_blocks = true) {
  std::vector<v1::ManifestPiece> pieces;
  EXPECT_TRUE(wire::ForEachManifestPiece(manifest, with_blocks, [&](const v1::ManifestPiece& p) {
                pieces.push_back(p);
                return absl::OkStatus();
              }).ok());
  return pieces;
}

absl::StatusOr<Manifest> Join(const std::vector<v1::ManifestPiece>& pieces,
                              const Limits& limits = {}, bool with_blocks = true) {
  wire::ManifestAssembler assembler(limits);
  for (const v1::ManifestPiece& piece : pieces) RETURN_IF_ERROR(assembler.Add(piece));
  EXPECT_TRUE(assembler.done());
  return assembler.Take(with_blocks);
}

TEST(Wire, ManifestSurvivesTheTrip) {
  const absl::StatusOr<Manifest> back = Join(Pieces(SampleManifest()));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, SampleManifest());
}

TEST(Wire, ManifestOfOneHugeTensorIsCutIntoSmallMessages) {
  Manifest manifest;
  manifest.entries.push_back(EntryOf("big", {uint64_t{200} << 30}, DType::kUint8));  // 200 GiB
  manifest.entries.push_back(EntryOf("next", {1}));
  const std::vector<v1::ManifestPiece> pieces = Pieces(manifest);
  EXPECT_GT(pieces.size(), 3u);
  for (const v1::ManifestPiece& piece : pieces) EXPECT_LT(piece.ByteSizeLong(), 3u << 20);
  const absl::StatusOr<Manifest> back = Join(pieces);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, manifest);
}

TEST(Wire, LongMetadataIsCutBetweenCharacters) {
  Manifest manifest;
  for (int i = 0; i < 1'000'000; ++i) manifest.metadata_json += "ä€";
  const std::vector<v1::ManifestPiece> pieces = Pieces(manifest);
  EXPECT_GT(pieces.size(), 2u);
  const absl::StatusOr<Manifest> back = Join(pieces);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->metadata_json, manifest.metadata_json);
}

TEST(Wire, EntriesWithoutBlocksAreEnoughForValidation) {
  const absl::StatusOr<Manifest> back = Join(Pieces(SampleManifest(), false), {}, false);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->entries[0].spec, SampleManifest().entries[0].spec);
  EXPECT_TRUE(back->entries[0].blocks.empty());
}

struct BadPiece {
  const char* name;
  std::function<void(v1::ManifestPiece*)> spoil;
  absl::StatusCode code;
  const char* message;
};

TEST(Wire, RefusesPiecesThatAreNoManifest) {
  const std::vector<BadPiece> table = {
      {"unknown dtype", [](auto* p) { p->mutable_entries(0)->set_dtype("float33"); },
       absl::StatusCode::kInvalidArgument, "dtype is \"float33\""},
      {"cut digest", [](auto* p) { p->mutable_entries(0)->mutable_block_digests()->pop_back(); },
       absl::StatusCode::kInvalidArgument, "do not describe whole blocks"},
      {"CRCs of other blocks", [](auto* p) { p->mutable_entries(0)->add_block_crc32s(1); },
       absl::StatusCode::kInvalidArgument, "do not describe whole blocks"},
      {"a block too few",
       [](auto* p) {
         p->mutable_entries(0)->clear_block_digests();
         p->mutable_entries(0)->clear_block_crc32s();
       },
       absl::StatusCode::kInvalidArgument, "number of blocks is 0, want 1"},
      {"duplicate key", [](auto* p) { p->mutable_entries(1)->set_key("scalar"); },
       absl::StatusCode::kInvalidArgument, "key \"scalar\" is there twice"},
      {"nothing to continue", [](auto* p) { p->mutable_entries(0)->set_continued(true); },
       absl::StatusCode::kInvalidArgument, "nothing to continue"},
      {"tie of different tensors", [](auto* p) { p->mutable_ties(0)->set_entries(0, 1); },
       absl::StatusCode::kInvalidArgument, "declared tied but differ"},
      {"unknown format", [](auto* p) { p->set_format("gguf"); }, absl::StatusCode::kInvalidArgument,
       "format is \"gguf\""},
      {"overflowing shape", [](auto* p) { p->mutable_entries(0)->set_shape(0, UINT64_MAX); },
       absl::StatusCode::kResourceExhausted, "more than 2^63-1 elements"},
      {"control character", [](auto* p) { p->mutable_entries(0)->set_key("a\nb"); },
       absl::StatusCode::kInvalidArgument, "control character"},
  };
  for (const BadPiece& bad : table) {
    std::vector<v1::ManifestPiece> pieces = Pieces(SampleManifest());
    bad.spoil(&pieces[0]);
    const absl::Status status = Join(pieces).status();
    EXPECT_EQ(status.code(), bad.code) << bad.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message)) << bad.name;
  }
}

TEST(Wire, LimitsBoundWhatPiecesMayClaim) {
  Limits limits;
  limits.entries_max = 3;
  EXPECT_EQ(Join(Pieces(SampleManifest()), limits).status().code(),
            absl::StatusCode::kResourceExhausted);
  limits = {};
  limits.manifest_bytes_max = 100;
  EXPECT_EQ(Join(Pieces(SampleManifest()), limits).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Wire, NothingFollowsTheLastPiece) {
  wire::ManifestAssembler assembler(Limits{});
  v1::ManifestPiece last;
  last.set_last(true);
  ASSERT_TRUE(assembler.Add(last).ok());
  EXPECT_THAT(std::string(assembler.Add(last).message()), HasSubstr("follows the last one"));
}

TEST(Wire, ReportSurvivesTheTrip) {
  Report report;
  report.ok = false;
  report.items_omitted = 5;
  for (int i = 0; i < 20'000; ++i) {
    report.missing.push_back(
        {absl::StrCat("layer.", i, std::string(60, 'k')), "float32 [2]", "", ""});
  }
  report.unexpected.push_back({"x", "", "float32 [1]", "did you mean \"y\"?"});
  report.shape_mismatches.push_back({"a", "float32 [1]", "float32 [2]", ""});
  report.dtype_mismatches.push_back({"b", "float32 [1]", "float16 [1]", ""});
  Report back;
  int pieces = 0;
  bool last = false;
  ASSERT_TRUE(wire::ForEachReportPiece(report, [&](const v1::ReportPiece& piece) {
                EXPECT_LT(piece.ByteSizeLong(), 3u << 20);
                ++pieces;
                last = wire::AddReportPiece(piece, &back);
                return absl::OkStatus();
              }).ok());
  EXPECT_TRUE(last);
  EXPECT_GT(pieces, 1);
  EXPECT_EQ(back, report);
}

TEST(Wire, RulesSurviveTheTrip) {
  const KeyRuleOptions options{"model", {"fc.*", "?"}, {"*.bias"}, {"a(.*)=\\1"}};
  v1::KeyRules rules;
  wire::RulesToProto(options, &rules);
  const KeyRuleOptions back = wire::RulesFromProto(rules);
  EXPECT_EQ(back.select, options.select);
  EXPECT_EQ(back.include, options.include);
  EXPECT_EQ(back.exclude, options.exclude);
  EXPECT_EQ(back.rename, options.rename);
}

TEST(Wire, ForeignStatusCodesAndDetailsDoNoHarm) {
  EXPECT_EQ(wire::StatusFromWire(99, "odd", "\xff\xff").code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(wire::StatusFromWire(14, "away", "").code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(wire::StatusFromWire(0, "", "").ok());
}

TEST(Wire, TextIsCutAndJoined) {
  const std::string text(kDataMessageBytes + 5, 't');
  std::string joined;
  int pieces = 0;
  ASSERT_TRUE(wire::ForEachTextPiece(text, [&](absl::string_view piece) {
                joined.append(piece.data(), piece.size());
                ++pieces;
                return absl::OkStatus();
              }).ok());
  EXPECT_EQ(pieces, 2);
  EXPECT_EQ(joined, text);
}

}  // namespace
}  // namespace ballast

#include "storage/model/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

ManifestEntry Entry(const std::string& key, DType dtype, Shape shape, const std::string& bytes) {
  ManifestEntry entry{.spec = {.key = key, .dtype = dtype, .shape = std::move(shape)},
                      .blocks = {}};
  for (size_t at = 0; at < bytes.size(); at += kBlockBytes) {
    const std::string block = bytes.substr(at, kBlockBytes);
    entry.blocks.push_back({Sha256Of(block), Crc32(block)});
  }
  return entry;
}

std::string Counting(size_t n, size_t modulus) {
  std::string out(n, '\0');
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<char>(i % modulus);
  return out;
}

// The entries of golden_digest.py.
Manifest Golden() {
  Manifest manifest;
  manifest.entries = {
      Entry("fc.weight", DType::kFloat32, {3, 2}, Counting(24, 256)),
      Entry("big", DType::kUint8, {kBlockBytes + 1}, Counting(kBlockBytes + 1, 251)),
      Entry("", DType::kInt64, {}, std::string("\7\0\0\0\0\0\0\0", 8)),
      Entry("Ünï", DType::kBfloat16, {0, 4}, ""),
  };
  return manifest;
}

// Every field away from its default.
Manifest Full() {
  Manifest manifest = Golden();
  manifest.entries[0].spec.kind = Kind::kParameter;
  manifest.entries[2].spec.kind = Kind::kBuffer;
  manifest.entries[2].spec.role = Role::kOther;
  manifest.entries[0].health = Health{0, 1, 2, -1.5, 3, 0.25};
  manifest.entries.push_back(manifest.entries[0]);
  manifest.entries[4].spec.key = "tied.weight";
  manifest.ties = {{0, 4}};
  manifest.format = Format::kPyTorch;
  manifest.writer = "torch 1.6 or later";
  manifest.metadata_json = R"({"":{"version":1}})";
  manifest.leaves_json = R"([{"path":"epoch","type":"int","value":3}])";
  return manifest;
}

TEST(VersionDigest, IsWhatThePythonScriptPrints) {
  EXPECT_EQ(VersionDigest(Golden()).Hex(),
            "8953057741b0d8cf09be9315e2b87757672fc51ad01f58dc71a734f619c2bc67");
  EXPECT_EQ(VersionDigest(Manifest()).Hex(),
            "adbbfb2a1acb31dcc6d53b567e3aa713873c34f48cded17edb31993ce68b0d32");
}

TEST(VersionDigest, IgnoresOrderTiesKindsRolesAndSourceFacts) {
  Manifest changed = Golden();
  std::swap(changed.entries[0], changed.entries[2]);
  changed.entries[1].spec.kind = Kind::kBuffer;
  changed.entries[1].spec.role = Role::kOther;
  changed.format = Format::kTorchSharp;
  changed.writer = "w";
  changed.metadata_json = "{}";
  changed.leaves_json = "[]";
  EXPECT_EQ(VersionDigest(changed), VersionDigest(Golden()));

  Manifest tied = Full(), untied = Full();
  untied.ties.clear();
  EXPECT_EQ(VersionDigest(tied), VersionDigest(untied));
}

TEST(VersionDigest, ChangesWithKeyDTypeShapeAndBytes) {
  const Digest before = VersionDigest(Golden());
  Manifest m = Golden();
  m.entries[0].spec.key = "fc.weighu";
  EXPECT_NE(VersionDigest(m), before);
  m = Golden();
  m.entries[0].spec.dtype = DType::kInt32;
  EXPECT_NE(VersionDigest(m), before);
  m = Golden();
  m.entries[0].spec.shape = {2, 3};
  EXPECT_NE(VersionDigest(m), before);
  m = Golden();
  m.entries[1].blocks[1].digest.bytes[31] ^= 1;
  EXPECT_NE(VersionDigest(m), before);
}

TEST(Manifest, ComesBackFromItsEncoding) {
  for (const Manifest& manifest : {Manifest(), Golden(), Full()}) {
    const auto back = DecodeManifest(EncodeManifest(manifest), Limits());
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, manifest);
  }
}

TEST(Manifest, ComesBackWithEveryDTypeAndFormat) {
  Manifest manifest;
  for (const DTypeInfo& info : AllDTypes()) {
    manifest.entries.push_back(
        Entry(std::string(info.name), info.dtype, {8}, std::string(info.bits, 'x')));
  }
  for (const Format format : AllFormats()) {
    manifest.format = format;
    EXPECT_EQ(DecodeManifest(EncodeManifest(manifest), Limits()).value(), manifest);
  }
}

TEST(Manifest, RefusesTruncationAtEveryLength) {
  const std::string whole = EncodeManifest(Full());
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto decoded = DecodeManifest(absl::string_view(whole).substr(0, length), Limits());
    ASSERT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument) << length;
  }
}

TEST(Manifest, RefusesBytesBehindItsEnd) {
  const absl::Status status = DecodeManifest(EncodeManifest(Full()) + '\0', Limits()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("goes on after its end"));
}

TEST(Manifest, AnyChangedByteIsRefusedOrDecodesToSomethingThatIsWhole) {
  const std::string whole = EncodeManifest(Full());
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int value : {0x00, 0x7F, 0x80, 0xFF}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(value);
      const auto decoded = DecodeManifest(bytes, Limits());
      ASSERT_TRUE(!decoded.ok() || CheckManifest(*decoded, Limits()).ok()) << at;
    }
  }
}

TEST(Manifest, WithoutHealthIsEncodedAsEver) {
  const std::string bytes = EncodeManifest(Golden());
  EXPECT_EQ(bytes.substr(0, 6), std::string("BLM1\0\0", 6));
  EXPECT_EQ(DecodeManifest(bytes, Limits())->entries[0].health, std::nullopt);
}

TEST(Manifest, HealthIsNoPartOfTheDigest) {
  Manifest with = Full(), without = Full();
  for (ManifestEntry& entry : without.entries) entry.health.reset();
  EXPECT_EQ(VersionDigest(with), VersionDigest(without));
}

std::string Header(const std::string& rest) {
  return std::string("BLM1\0\1\0\0\0", 9) + rest;  // flags 0, torchsharp, three empty strings
}

TEST(Manifest, RefusesClaimsThatItsBytesCannotKeep) {
  const struct {
    std::string bytes, message;
  } rows[] = {
      {"", "does not begin with BLM1"},
      {std::string("BLM2\0\1\0\0\0\0\0", 11), "does not begin with BLM1"},
      {std::string("BLM1\2\1\0\0\0\0\0", 11), "unknown flags"},
      {std::string("BLM1\1\1\0\0\0\0\0", 11), "has no health although it says so"},
      {std::string("BLM1\0\x0b\0\0\0\0\0", 11), "unknown format"},
      {std::string("BLM1\0\1", 6) + "\xff\xff\xff\xff\x7f", "ends too early"},
      {std::string("BLM1\0\1", 6) + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "above 2^63-1"},
      {Header("\xff\xff\xff\xff\x0f"), "entries_max"},
      {Header("\xff\xff\x3f"), "at byte"},
      {Header(std::string("\1\1k\x10\0\0\0\0", 8)), "unknown dtype"},
      {Header(std::string("\1\1k\6\3\0\0\0", 8)), "unknown dtype, kind or role"},
      {Header(std::string("\1\1k\6\0\2\0\0", 8)), "unknown dtype, kind or role"},
      {Header(std::string("\1\1k\6\0\0\x41", 7)), "too many dims"},
      {Header(std::string("\1\1k\6\0\0\1", 7) + "\xff\xff\xff\xff\x0f"), "ends too early"},
      {Header(std::string("\0\1\1\0", 4)), "more tie groups than entries"},
  };
  for (const auto& row : rows) {
    const absl::Status status = DecodeManifest(row.bytes, Limits()).status();
    EXPECT_FALSE(status.ok()) << row.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message));
  }
}

TEST(Manifest, RefusesMoreThanItsLimit) {
  Limits limits;
  limits.manifest_bytes_max = 10;
  const absl::Status status = DecodeManifest(EncodeManifest(Full()), limits).status();
  EXPECT_EQ(GetReason(status), Reason::kLimit);
  EXPECT_THAT(std::string(status.message()), HasSubstr("manifest_bytes_max"));
}

TEST(CheckManifest, NamesTheKeyThatIsWrong) {
  const struct {
    void (*spoil)(Manifest*);
    std::string message;
  } rows[] = {
      {[](Manifest* m) { m->entries[1].spec.key = "fc.weight"; },
       "key \"fc.weight\" is there twice"},
      {[](Manifest* m) { m->entries[0].spec.key = "a\nb"; }, "\"a\\x0ab\""},
      {[](Manifest* m) { m->entries[1].blocks.pop_back(); },
       "key \"big\": number of blocks is 1, want 2"},
      {[](Manifest* m) { m->entries[3].blocks.emplace_back(); },
       "key \"Ünï\": number of blocks is 1, want 0"},
      {[](Manifest* m) { m->entries[0].spec.shape = {uint64_t{1} << 60}; }, "\"fc.weight\""},
      {[](Manifest* m) {
         m->ties = {{0, 1}};
       },
       "\"fc.weight\" and \"big\" are declared tied but differ"},
      {[](Manifest* m) { m->ties = {{0}}; }, "fewer than two"},
      {[](Manifest* m) {
         m->ties = {{0, 0}};
       },
       "ascending indices of distinct"},
      {[](Manifest* m) {
         m->ties = {{0, 4}, {0, 4}};
       },
       "ascending indices of distinct"},
      {[](Manifest* m) {
         m->ties = {{4, 0}};
       },
       "ascending indices of distinct"},
      {[](Manifest* m) {
         m->ties = {{0, 5}};
       },
       "ascending indices of distinct"},
      {[](Manifest* m) { m->entries[0].health->zeros = 6; },
       "key \"fc.weight\": health is 0 NaN, 1 Inf, 6 zeros of 6 values from -1.5 to 3"},
      {[](Manifest* m) { m->entries[0].health->nan = UINT64_MAX; }, "want what such a tensor"},
      {[](Manifest* m) { m->entries[0].health->mean = 3.5; }, "around 3.5"},
      {[](Manifest* m) { m->entries[0].health->mean = std::nan(""); }, "around nan"},
      {[](Manifest* m) { m->entries[0].health->max = HUGE_VAL; }, "to inf"},
      {[](Manifest* m) {
         m->entries[0].spec.dtype = DType::kFloat6E2m3;
         m->entries[0].spec.shape = {32};
       },
       "of 0 values"},
      {[](Manifest* m) { m->metadata_json = std::string((16u << 20) + 1, ' '); },
       "metadata_bytes_max"},
  };
  for (const auto& row : rows) {
    Manifest manifest = Full();
    row.spoil(&manifest);
    EXPECT_THAT(std::string(CheckManifest(manifest, Limits()).message()), HasSubstr(row.message));
  }
  EXPECT_TRUE(CheckManifest(Full(), Limits()).ok());
}

TEST(CheckManifest, CountsEntriesAgainstTheLimit) {
  Limits limits;
  limits.entries_max = 4;
  EXPECT_TRUE(CheckManifest(Golden(), limits).ok());
  EXPECT_THAT(std::string(CheckManifest(Full(), limits).message()), HasSubstr("entries_max"));
}

TEST(TensorCrc32, OfBlocksIsThatOfTheWhole) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{kBlockBytes}, size_t{kBlockBytes + 1},
                            size_t{3 * kBlockBytes - 5}}) {
    const std::string bytes = Counting(size, 253);
    const ManifestEntry entry = Entry("k", DType::kUint8, {size}, bytes);
    EXPECT_EQ(TensorCrc32(entry), Crc32(bytes)) << size;
  }
}

TEST(Blocks, CoverATensorExactly) {
  EXPECT_EQ(BlockCount(0), 0u);
  for (const uint64_t size : {uint64_t{1}, kBlockBytes, kBlockBytes + 1, 5 * kBlockBytes - 1}) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < BlockCount(size); ++i) sum += BlockSize(size, i);
    EXPECT_EQ(sum, size);
  }
}

TEST(PayloadBytes, SumsTheTensors) { EXPECT_EQ(PayloadBytes(Golden()), 24 + kBlockBytes + 1 + 8); }

TEST(TieRepresentatives, PointAtTheFirstOfTheirGroup) {
  EXPECT_EQ(TieRepresentatives(5, {{1, 3}, {2, 4}}), (std::vector<uint32_t>{0, 1, 2, 1, 2}));
  EXPECT_EQ(TieRepresentatives(2, {}), (std::vector<uint32_t>{0, 1}));
}

}  // namespace
}  // namespace ballast

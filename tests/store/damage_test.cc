// One flipped byte anywhere in a data folder: detected and named, or harmless; wrong bytes
// are never given out, and nothing that was acknowledged is silently gone.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/verifier.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

uint64_t Seed() {
  const char* given = std::getenv("BALLAST_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

// A small store with every kind of file: block files, small blocks, index and records in
// files and in the log.
class DamageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Fill();
    // As after a crash: with the seal the damage would be found by it alone.
    ASSERT_TRUE(fs::remove(good_ + "/SEAL"));
  }

  void Fill() {
    const auto engine = OpenRocks(good_);
    const auto catalog = *Catalog::Open(engine->blobs(), engine->records(), SmallLimits());
    Push(catalog.get(), "a", {MakeBlock(1, 900'000), MakeBlock(2, 900'000), MakeBlock(3, 100)});
    Push(catalog.get(), "a", {MakeBlock(4, 3000), MakeBlock(5, 70'000)});
    CatalogPush::PublishOptions prod;
    prod.alias = "prod";
    EXPECT_THAT(PushBlocks(catalog.get(), "b", {MakeBlock(6, 500)}, "", prod), IsOk());
    // A removal makes ReturnSpace write what is in memory to files.
    ASSERT_THAT(engine->blobs()->NewBatch(1), IsOk());
    auto batch = *engine->blobs()->NewBatch(1);
    const TestBlock gone = MakeBlock(99, 10);
    ASSERT_THAT(batch->Add(gone.digest, gone.crc32, gone.bytes), IsOk());
    ASSERT_THAT(batch->Flush(), IsOk());
    ASSERT_THAT(engine->blobs()->RemoveIfOlder({gone.digest}, 100), IsOk());
    ASSERT_THAT(engine->blobs()->ReturnSpace(), IsOk());
    Push(catalog.get(), "b", {MakeBlock(7, 400), MakeBlock(8, 20'000)});
    Push(catalog.get(), "c", {MakeBlock(9, 1200)});
  }

  static void Push(Catalog* catalog, const std::string& model,
                   const std::vector<TestBlock>& blocks) {
    ASSERT_THAT(PushBlocks(catalog, model, blocks), IsOk());
  }

  // A copy of the good store with this byte changed.
  std::string Damaged(const std::string& name, size_t at, char flip) {
    fs::remove_all(bad_);
    fs::copy(good_, bad_, fs::copy_options::recursive);
    std::string bytes = ReadFile(bad_ + "/" + name);
    bytes[at] = static_cast<char>(bytes[at] ^ flip);
    WriteFile(bad_ + "/" + name, bytes);
    return bad_;
  }

  // What a reader sees: versions, aliases and bytes; and every complaint.
  struct Sight {
    std::set<std::string> right;
    std::vector<std::string> complaints;
    bool wrong_bytes = false;
  };
  static Sight Look(const std::string& folder) {
    Sight sight;
    auto engine = RocksEngine::Open({folder, SmallLimits()});
    if (!engine.ok()) {
      sight.complaints.push_back(engine.status().ToString());
      return sight;
    }
    const auto catalog = *Catalog::Open((*engine)->blobs(), (*engine)->records(), SmallLimits());
    LookAtVersions(catalog.get(), (*engine)->blobs(), &sight);
    VerifyOptions options;
    options.damage = [&](const Damage& damage) {
      sight.complaints.push_back(absl::StrCat("damage: ", damage.problem));
      return absl::OkStatus();
    };
    Verifier verifier((*engine)->blobs(), (*engine)->records(), (*engine)->monitor(),
                      SmallLimits());
    const auto verified = verifier.Verify(options);
    if (!verified.ok()) sight.complaints.push_back(verified.status().ToString());
    return sight;
  }

  static void LookAtVersions(Catalog* catalog, BlobStore* blobs, Sight* sight) {
    for (const std::string text : {"a:1", "a:2", "b:1", "b:2", "b@prod", "c", "b:9"}) {
      const auto version = catalog->GetVersion(*ParseReference(text));
      const auto manifest = version.ok() ? catalog->GetManifest(*version) : version.status();
      if (!manifest.ok()) {
        if (!absl::IsNotFound(manifest.status())) {
          sight->complaints.push_back(manifest.status().ToString());
        }
        continue;
      }
      bool all = VersionDigest(*manifest) == version->digest;
      std::vector<Digest> digests;
      for (const ManifestEntry& entry : manifest->entries) {
        for (const BlockRef& block : entry.blocks) digests.push_back(block.digest);
      }
      for (const Digest& digest : digests) {
        const auto one = blobs->Get(digest);
        const auto many = blobs->GetMany({digest});
        if (!one.ok() || !many.ok()) {
          all = false;
          sight->complaints.push_back((one.ok() ? many.status() : one.status()).ToString());
          continue;
        }
        const bool right = Sha256Of(one->bytes) == digest && Sha256Of((*many)[0].bytes) == digest;
        sight->wrong_bytes = sight->wrong_bytes || !right;
      }
      if (all) sight->right.insert(text);
    }
  }

  const TempDir dir_;
  const std::string good_ = dir_.path() + "/good";
  const std::string bad_ = dir_.path() + "/bad";
};

TEST_F(DamageTest, AFlippedByteIsDetectedAndNamedOrHarmless) {
  // Opening the good store itself would write its logs to files.
  const Sight good = Look(Damaged("FORMAT", 0, 0));
  ASSERT_THAT(good.complaints, ::testing::IsEmpty());
  ASSERT_EQ(good.right.size(), 6u);
  std::mt19937_64 random(Seed());
  std::map<std::string, std::pair<int, int>> by_kind;  // detected, harmless
  for (const auto& entry : fs::recursive_directory_iterator(good_)) {
    if (!entry.is_regular_file() || entry.file_size() == 0) continue;
    const std::string name = fs::relative(entry.path(), good_).string();
    const uint64_t size = entry.file_size();
    std::vector<size_t> places;
    // The beginnings and ends hold headers and footers.
    for (size_t i = 0; i < 5; ++i) {
      places.push_back(random() % size);
      places.push_back(size - 1 - random() % std::min<uint64_t>(size, 64));
      places.push_back(random() % std::min<uint64_t>(size, 64));
    }
    for (const size_t at : places) {
      const char flip = static_cast<char>(1 << random() % 8);
      const Sight sight = Look(Damaged(name, at, flip));
      const std::string where = absl::StrCat(name, " at ", at, " ^ ", static_cast<int>(flip));
      EXPECT_FALSE(sight.wrong_bytes) << where;
      for (const std::string& complaint : sight.complaints) {
        EXPECT_FALSE(absl::StrContains(complaint, "\n")) << complaint;
      }
      if (sight.complaints.empty()) {
        EXPECT_EQ(sight.right, good.right) << where << ": lost without a word";
      }
      // "db/000012.sst" and "db/MANIFEST-000005" by ".sst" and "MANIFEST".
      const std::string file = entry.path().filename().string();
      const std::string ending = entry.path().extension().string();
      auto& [detected, harmless] =
          by_kind[ending == ".sst" || ending == ".log" ? ending : file.substr(0, file.find('-'))];
      ++(sight.complaints.empty() ? harmless : detected);
    }
  }
  for (const auto& [kind, counts] : by_kind) {
    std::cout << kind << ": " << counts.first << " detected, " << counts.second << " harmless\n";
  }
  EXPECT_GT(by_kind[".sst"].first, 0);
  EXPECT_GT(by_kind[".log"].first, 0);
}

// RocksDB alone takes some of these for a log whose writer died, and forgets the rest.
TEST_F(DamageTest, EveryByteOfTheLogsAndTheManifestIsGuarded) {
  std::vector<std::string> logs;
  for (const auto& entry : fs::directory_iterator(good_ + "/db")) {
    const std::string name = entry.path().filename().string();
    const bool log = absl::EndsWith(name, ".log") || absl::StartsWith(name, "MANIFEST-");
    if (log && entry.file_size() > 0) logs.push_back(name);
  }
  ASSERT_GE(logs.size(), 2u);
  for (const std::string& name : logs) {
    const uint64_t size = fs::file_size(good_ + "/db/" + name);
    const size_t step = std::max<size_t>(1, size / 100);
    for (size_t at = 0; at < size; at += step) {
      for (const int flip : {0x01, 0x80}) {
        const auto engine =
            RocksEngine::Open({Damaged("db/" + name, at, static_cast<char>(flip)), SmallLimits()});
        ASSERT_FALSE(engine.ok()) << name << " at " << at << " ^ " << flip;
        EXPECT_THAT(engine, IsError(absl::StatusCode::kDataLoss, "the store is damaged: put"));
      }
    }
  }
}

TEST_F(DamageTest, DamageFoundByAReadOutlivesAReopeningAndIsHealed) {
  std::string file;
  for (const auto& entry : fs::directory_iterator(good_ + "/db")) {
    if (absl::EndsWith(entry.path().string(), ".sst") && entry.file_size() > 1'000'000) {
      file = entry.path().filename().string();
    }
  }
  const TestBlock block = MakeBlock(1, 900'000);
  const std::string folder = Damaged("db/" + file, 450'000, 1);
  {
    const auto engine = OpenRocks(folder);
    EXPECT_TRUE((*engine->blobs()->Touch({block.digest}, 0))[0].has_value());
    EXPECT_THAT(engine->blobs()->Get(block.digest),
                IsError(absl::StatusCode::kDataLoss, block.digest.Hex()));
    EXPECT_FALSE((*engine->blobs()->Touch({block.digest}, 0))[0].has_value());
  }
  {
    const auto engine = OpenRocks(folder);
    EXPECT_FALSE((*engine->blobs()->Touch({block.digest}, 0))[0].has_value());
    const auto catalog = *Catalog::Open(engine->blobs(), engine->records(), SmallLimits());
    const auto healing = PushBlocks(catalog.get(), "healer", {block, MakeBlock(2, 900'000)});
    ASSERT_THAT(healing, IsOk());
    EXPECT_EQ(healing->bytes_new, 900'000u);
  }
  const Sight sight = Look(folder);
  EXPECT_THAT(sight.complaints, ::testing::IsEmpty());
  EXPECT_EQ(sight.right.size(), 6u);
}

// Small blocks lie in files that RocksDB compacts.
TEST_F(DamageTest, ACompactionThatMeetsDamageStopsNoWrites) {
  const TestBlock block = MakeBlock(20, 60'000);
  {
    const auto engine = OpenRocks(good_);
    const auto catalog = *Catalog::Open(engine->blobs(), engine->records(), SmallLimits());
    Push(catalog.get(), "d", {block});
  }
  OpenRocks(good_);  // writes the log to files
  std::string file;
  size_t at = std::string::npos;
  for (const auto& entry : fs::directory_iterator(good_ + "/db")) {
    if (!absl::EndsWith(entry.path().string(), ".sst")) continue;
    const size_t found = ReadFile(entry.path().string()).find(block.bytes.substr(1000, 1000));
    if (found == std::string::npos) continue;
    file = entry.path().filename().string();
    at = found;
  }
  ASSERT_NE(at, std::string::npos);
  const std::string folder = Damaged("db/" + file, at, 1);
  // Every opening writes the log to another file; after some of them RocksDB compacts.
  for (uint64_t i = 0; i < 12; ++i) {
    const auto engine = OpenRocks(folder);
    const auto catalog = *Catalog::Open(engine->blobs(), engine->records(), SmallLimits());
    Push(catalog.get(), "e", {MakeBlock(30 + i, 1000)});
    engine->blobs()->Get(block.digest).status().IgnoreError();
  }
  const auto engine = OpenRocks(folder);
  EXPECT_THAT(engine->blobs()->Get(block.digest), IsError(absl::StatusCode::kDataLoss, ""));
  const auto catalog = *Catalog::Open(engine->blobs(), engine->records(), SmallLimits());
  const auto healing = PushBlocks(catalog.get(), "healer", {block});
  ASSERT_THAT(healing, IsOk());
  EXPECT_EQ(healing->bytes_new, block.bytes.size());
  const absl::StatusOr<Chunk> healed = engine->blobs()->Get(block.digest);
  ASSERT_THAT(healed, IsOk());
  EXPECT_EQ(healed->bytes, block.bytes);
  ASSERT_THAT(engine->blobs()->ReturnSpace(), IsOk());
  Push(catalog.get(), "e", {MakeBlock(60, 1000)});
}

}  // namespace
}  // namespace ballast

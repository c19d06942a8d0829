#include "tests/store/store_fixture.h"

#include <cstdlib>
#include <filesystem>
#include <random>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "tests/support/memory_engine.h"

namespace ballast {
namespace {

class RocksStores : public TestStores {
 public:
  RocksStores() : engine_(OpenRocks(dir_.path())) {}
  BlobStore* blobs() override { return engine_->blobs(); }
  RecordStore* records() override { return engine_->records(); }

 private:
  const TempDir dir_;
  const std::unique_ptr<RocksEngine> engine_;
};

class MemoryStores : public TestStores {
 public:
  explicit MemoryStores(const Faults& faults = {}) : engine_(faults) {}
  BlobStore* blobs() override { return engine_.blobs(); }
  RecordStore* records() override { return engine_.records(); }

 private:
  MemoryEngine engine_;
};

}  // namespace

TempDir::TempDir() {
  path_ = (std::filesystem::temp_directory_path() / "ballast-store-XXXXXX").string();
  if (mkdtemp(path_.data()) == nullptr) std::abort();
}

TempDir::~TempDir() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

Limits SmallLimits() {
  Limits limits;
  limits.block_file_bytes = 8u << 20;  // files of 2 MiB
  limits.block_cache_bytes = 8u << 20;
  return limits;
}

std::unique_ptr<RocksEngine> OpenRocks(const std::string& path) {
  auto engine = RocksEngine::Open({path, SmallLimits()});
  EXPECT_THAT(engine, IsOk());
  return engine.ok() ? *std::move(engine) : nullptr;
}

std::unique_ptr<TestStores> OpenStores(const std::string& kind) {
  if (kind == "memory") return std::make_unique<MemoryStores>();
  if (kind == "deaf") {
    Faults faults;
    faults.lost_notification = 1;
    return std::make_unique<MemoryStores>(faults);
  }
  return std::make_unique<RocksStores>();
}

TestBlock MakeBlock(uint64_t seed, size_t size_bytes) {
  std::mt19937_64 random(seed * 1'000'003 + size_bytes);
  TestBlock block;
  block.bytes.resize(size_bytes + 8);
  for (size_t i = 0; i < size_bytes; i += 8) {
    const uint64_t word = random();
    std::memcpy(&block.bytes[i], &word, 8);
  }
  block.bytes.resize(size_bytes);
  block.digest = Sha256Of(block.bytes);
  block.crc32 = Crc32(block.bytes);
  return block;
}

Manifest MakeManifest(const std::vector<TestBlock>& blocks) {
  Manifest manifest;
  manifest.format = Format::kTensors;
  for (size_t i = 0; i < blocks.size(); ++i) {
    ManifestEntry& entry = manifest.entries.emplace_back();
    entry.spec.key = absl::StrCat("t", i);
    entry.spec.dtype = DType::kUint8;
    entry.spec.shape = {blocks[i].bytes.size()};
    entry.blocks = {{blocks[i].digest, blocks[i].crc32}};
  }
  return manifest;
}

absl::StatusOr<VersionInfo> PushBlocks(Catalog* catalog, const std::string& model,
                                       const std::vector<TestBlock>& blocks,
                                       const std::string& request_id,
                                       const CatalogPush::PublishOptions& options) {
  ASSIGN_OR_RETURN(const auto push, catalog->BeginPush(model, request_id));
  for (const TestBlock& block : blocks) {
    RETURN_IF_ERROR(push->Add(block.digest, block.crc32, block.bytes).status());
  }
  return push->Publish(MakeManifest(blocks), options);
}

absl::Status CheckVersion(Catalog* catalog, BlobStore* blobs, const VersionInfo& version) {
  ASSIGN_OR_RETURN(const Manifest manifest, catalog->GetManifest(version));
  if (VersionDigest(manifest) != version.digest) {
    return absl::DataLossError(absl::StrCat(version.model, ":", version.version, ": digest"));
  }
  for (const ManifestEntry& entry : manifest.entries) {
    for (const BlockRef& block : entry.blocks) {
      ASSIGN_OR_RETURN(const Chunk chunk, blobs->Get(block.digest));
      if (Sha256Of(chunk.bytes) != block.digest) {
        return absl::DataLossError(absl::StrCat("block ", block.digest.Hex(), ": bytes"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace ballast

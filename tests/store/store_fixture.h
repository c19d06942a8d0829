// What the tests of stores share: folders, engines by name, blocks and manifests.
#ifndef BALLAST_TESTS_STORE_STORE_FIXTURE_H_
#define BALLAST_TESTS_STORE_STORE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/base/crc32.h"
#include "storage/base/digest.h"
#include "storage/base/limits.h"
#include "storage/model/manifest.h"
#include "storage/store/catalog.h"
#include "storage/store/rocksdb/engine.h"

namespace ballast {

// A folder that is gone when the object is.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Small block files, so that a few MiB make several of them.
Limits SmallLimits();

// Both stores of one engine.
class TestStores {
 public:
  virtual ~TestStores() = default;
  virtual BlobStore* blobs() = 0;
  virtual RecordStore* records() = 0;
};
// `kind`: "rocksdb", "memory", or "deaf": memory whose watchers are never told anything.
std::unique_ptr<TestStores> OpenStores(const std::string& kind);
std::unique_ptr<RocksEngine> OpenRocks(const std::string& path);

struct TestBlock {
  std::string bytes;
  Digest digest;
  uint32_t crc32 = 0;
};
// Incompressible, the same for the same seed and size.
TestBlock MakeBlock(uint64_t seed, size_t size_bytes);

// A manifest of uint8 tensors "t0", "t1", …; the i-th consists of blocks[i].
Manifest MakeManifest(const std::vector<TestBlock>& blocks);

// Pushes `blocks` as one version.
absl::StatusOr<VersionInfo> PushBlocks(Catalog* catalog, const std::string& model,
                                       const std::vector<TestBlock>& blocks,
                                       const std::string& request_id = "",
                                       const CatalogPush::PublishOptions& options = {});

// An error for every block of the version that is not there with the right bytes.
absl::Status CheckVersion(Catalog* catalog, BlobStore* blobs, const VersionInfo& version);

inline absl::Status GetStatus(const absl::Status& status) { return status; }
template <typename T>
absl::Status GetStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "") {
  if (arg.ok()) return true;
  *result_listener << ::testing::PrintToString(GetStatus(arg).ToString());
  return false;
}
MATCHER_P2(IsError, code, message_part, "") {
  const absl::Status status = GetStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code && status.message().find(message_part) != absl::string_view::npos;
}

}  // namespace ballast

#endif  // BALLAST_TESTS_STORE_STORE_FIXTURE_H_

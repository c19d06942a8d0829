// Blocks of a version by their numbers, for those who have the others already.
#ifndef BALLAST_SERVER_USE_CASES_BLOCK_PULL_H_
#define BALLAST_SERVER_USE_CASES_BLOCK_PULL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/services.h"
#include "server/use_cases/memory_budget.h"
#include "server/use_cases/pull.h"
#include "storage/store/catalog_facts.h"

namespace ballast {

// `count` blocks from number `first` on; numbers as a push has them: distinct blocks in the
// order of their first appearance in the manifest.
struct BlockRun {
  uint64_t first = 0;
  uint64_t count = 0;
};

// Not thread-safe.
class BlockPull {
 public:
  // Errors: NotFound, PermissionDenied; InvalidArgument  reference; OutOfRange  a block that
  //         the version does not have; DataLoss; Unavailable.
  static absl::StatusOr<std::unique_ptr<BlockPull>> Open(const Services& services,
                                                         absl::string_view principal,
                                                         const std::string& reference,
                                                         std::vector<BlockRun> runs);

  const VersionInfo& version() const { return version_; }

  // The next whole blocks in the order of the runs, at most kDataMessageBytes; `position` is
  // the number of the first one, the CRC-32 comes from the manifest. Empty at the end.
  // Errors: DataLoss, Unavailable.
  absl::StatusOr<PullPiece> Next();

 private:
  struct Block {
    Digest digest;
    uint32_t crc32 = 0;
    uint32_t size_bytes = 0;
  };

  BlockPull() = default;
  void Number(const Manifest& manifest);
  absl::Status CheckRuns() const;
  std::vector<const Block*> Take();

  VersionInfo version_;
  std::unique_ptr<MemoryBudget::Share> memory_;  // of the manifest; what is below takes less
  BlobStore* blobs_ = nullptr;                   // Must outlive this.
  std::vector<Block> blocks_;                    // by number
  std::vector<BlockRun> runs_;
  size_t run_ = 0;       // of runs_, the one under way
  uint64_t within_ = 0;  // of its blocks, how many are done
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_BLOCK_PULL_H_

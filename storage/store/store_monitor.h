// How much an engine holds, for those who run it. Apart from the engine interfaces:
// nothing that stores or serves a block asks this.
#ifndef BALLAST_STORAGE_STORE_STORE_MONITOR_H_
#define BALLAST_STORAGE_STORE_STORE_MONITOR_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ballast {

// Blocks that the store answers for, each counted once however many versions use it.
struct BlockTotals {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  friend bool operator==(const BlockTotals&, const BlockTotals&) = default;
};

struct StoreUsage {
  BlockTotals blocks;               // kept while blocks come and go; exact
  uint64_t dead_bytes = 0;          // of removed blocks whose file has not been rewritten yet
  uint64_t files_bytes = 0;         // the engine's data files
  uint64_t disk_bytes = 0;          // the file system that they are on
  uint64_t disk_free_bytes = 0;     // of it, what this process may still use
  uint64_t cache_bytes = 0;         // memory: blocks read lately
  uint64_t cache_pinned_bytes = 0;  // of it, held by calls
  uint64_t buffer_bytes = 0;        // memory: written, and on the disk only as the log
  uint64_t backlog_bytes = 0;       // that the engine still wants to reorganise
  uint64_t background_errors = 0;   // failed writes of the engine's own threads, since the start
};

// Thread-safe.
class StoreMonitor {
 public:
  virtual ~StoreMonitor() = default;

  // Cheap: numbers in memory and one question to the file system; no data is read.
  // Errors: Unavailable  the file system does not answer.
  virtual absl::StatusOr<StoreUsage> Usage() = 0;

  // Counts the blocks one by one: reads the whole index, about 80 bytes a block. Blocks
  // that come or go meanwhile may be counted or not.
  // Errors: DataLoss, Unavailable.
  virtual absl::StatusOr<BlockTotals> CountBlocks() = 0;

  // Reads what the engine keeps beside the blocks (records, its index) from the disk and
  // checks it against the engine's own checksums; calls `damaged` for each file or part
  // that fails, with one line that names it. An error of `damaged` ends it.
  // Errors: Unavailable, and those of `damaged`.
  virtual absl::Status CheckFiles(
      const std::function<absl::Status(absl::string_view problem)>& damaged) = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_STORE_MONITOR_H_

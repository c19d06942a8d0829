// Garbage collection: removes what no version, deleted version or schema uses, beside
// pushes and pulls.
//
//   1 tidy    each model: versions that no retention rule keeps are deleted, deleted ones
//             whose window is over are removed, old request answers are forgotten
//   2 raise   the epoch, to N
//   3 settle  every push intent of an epoch < N: wait until its push has ended or has taken
//             N over; after limits.push_lease_ms remove the intent (the push is fenced).
//             Nobody waits for a push that was left, by its client or with its server: it
//             is held until so long after that, then removed
//   4 mark    the blocks of all versions, deleted versions and schemas
//   5 sweep   the blocks that are not marked and whose epoch is < N and < those of all
//             intents that are held: so the blocks of a push that was left stay for it, and
//             other garbage of the same age with them
//
// 4 and 5 are done for one range of digests after the other if limits.gc_mark_bytes_max
// does not suffice for all. Why nothing is lost: a push whose intent was not seen in 3
// has read its epoch after 2, so its blocks are not older than N; one that was seen has
// published before 4, or has raised its blocks to N, or cannot publish any more. An
// undeletion is a push. A version that is deleted while 4 runs is listed as deleted
// afterwards, and deleted versions are listed after live ones.
//
// Stopped anywhere, it leaves garbage and nothing else; the next collection is as good.
#ifndef BALLAST_STORAGE_STORE_COLLECTOR_H_
#define BALLAST_STORAGE_STORE_COLLECTOR_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "storage/base/limits.h"
#include "storage/store/blob_store.h"
#include "storage/store/catalog.h"
#include "storage/store/record_store.h"
#include "storage/store/version_use.h"

namespace ballast {

// What a deletion frees, or will free.
struct DeletionUse {
  enum class Why : uint8_t {
    kDeleted,    // it can be brought back until `until`
    kRemoved,    // its window is over
    kRetention,  // no rule keeps it
  };
  std::string model;
  uint64_t version = 0;
  Why why = Why::kDeleted;
  absl::Time until;
  uint64_t exclusive_bytes = 0;  // stored for this version alone
};

// What a collection did, or (dry run) would do.
struct Collection {
  bool dry_run = false;
  uint64_t models = 0;  // with a version, deleted or not, or a schema
  uint64_t versions_live = 0;
  uint64_t versions_held = 0;     // deleted, and can be brought back
  uint64_t versions_deleted = 0;  // by retention rules
  uint64_t versions_removed = 0;  // for good
  uint64_t answers_forgotten = 0;
  uint64_t pushes_fenced = 0;  // dry run: pushes under way or left
  uint64_t pushes_held = 0;    // left, and their blocks kept for them
  uint64_t passes = 0;         // ranges of digests
  uint64_t blocks_live = 0, bytes_live = 0;
  uint64_t blocks_held = 0, bytes_held = 0;  // only deleted versions use them
  uint64_t blocks_freed = 0, bytes_freed = 0;
  // Dry run: newest first within a model; at most limits.report_items_max.
  std::vector<DeletionUse> deletions;
  uint64_t deletions_omitted = 0;
};

struct CollectProgress {
  enum class Phase : uint8_t { kTidy, kSettle, kMark, kSweep, kReturnSpace };
  Phase phase = Phase::kTidy;
  uint64_t done = 0;  // models, intents that are waited for, versions, blocks
  uint64_t bytes_freed = 0;
};

struct CollectOptions {
  bool dry_run = false;  // changes nothing, not even the epoch
  // Called often, from the collecting thread; an error stops the collection. Null: not.
  std::function<absl::Status(const CollectProgress&)> progress;
};

// Thread-safe.
class Collector {
 public:
  // All must outlive the collector. `clock` serves tests; null: the real one.
  Collector(Catalog* catalog, BlobStore* blobs, RecordStore* records, const Limits& limits,
            std::function<absl::Time()> clock = nullptr);

  // In a dry run, new blocks of pushes under way count as garbage.
  // Errors: Aborted/CONFLICT  a collection is running. DataLoss  a record or manifest is
  //         damaged; nothing that it may refer to was removed. Unavailable, and what
  //         `progress` says.
  absl::StatusOr<Collection> Collect(const CollectOptions& options);

  // How much of a version is its own. Errors: as MeasureVersion (version_use.h).
  absl::StatusOr<VersionUse> Measure(const VersionInfo& version);

 private:
  Catalog* const catalog_;      // Must outlive this.
  BlobStore* const blobs_;      // Must outlive this.
  RecordStore* const records_;  // Must outlive this.
  const Limits limits_;
  const std::function<absl::Time()> clock_;
  std::mutex running_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_COLLECTOR_H_

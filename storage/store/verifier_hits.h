// Damaged blocks that were found, and the search for what they hit.
#ifndef BALLAST_STORAGE_STORE_VERIFIER_HITS_H_
#define BALLAST_STORAGE_STORE_VERIFIER_HITS_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "storage/base/limits.h"
#include "storage/store/blob_store.h"
#include "storage/store/record_store.h"
#include "storage/store/verifier.h"
#include "storage/store/version_record.h"

namespace ballast {

// Not thread-safe. Memory: some MiB, whatever is damaged.
class DamagedBlocks {
 public:
  static constexpr size_t kMax = 4096;

  explicit DamagedBlocks(const Limits& limits) : limits_(limits) {}
  void Add(const Digest& digest, const BlobCheck& check);
  bool full() const { return found_.size() >= kMax; }
  bool empty() const { return found_.empty(); }

  // Reads the manifests of all versions, hands on each block that was added with what it
  // hits, and forgets them. A block that is missing and hits nothing was collected meanwhile:
  // no damage. Adds the versions that are hit to `versions`. Returns how many were told.
  absl::StatusOr<uint64_t> Tell(BlobStore* blobs, RecordStore* records,
                                const std::function<absl::Status(const Damage&)>& tell,
                                std::set<std::pair<std::string, uint64_t>>* versions);

 private:
  void HitVersion(const VersionRecord& record, const Manifest* manifest, bool deleted);
  void Note(const Digest& digest, const std::string& what);
  void AddLine(Damage* damage, std::string line);

  const Limits& limits_;  // Must outlive this.
  std::vector<Damage> found_;
  absl::flat_hash_map<Digest, size_t> places_;  // in found_
  uint64_t line_bytes_ = 0;                     // of all
  // Of the version that is looked at: what a block is to it, first and how often.
  struct Use {
    std::string what;
    uint64_t count = 0;
  };
  absl::flat_hash_map<size_t, Use> uses_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_VERIFIER_HITS_H_

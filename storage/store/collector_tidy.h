// The first step of a collection: what one model no longer needs in its record.
#ifndef BALLAST_STORAGE_STORE_COLLECTOR_TIDY_H_
#define BALLAST_STORAGE_STORE_COLLECTOR_TIDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "storage/base/limits.h"
#include "storage/store/catalog.h"
#include "storage/store/collector.h"
#include "storage/store/mark_set.h"
#include "storage/store/version_record.h"

namespace ballast {

// In a dry run nothing is changed, but noted. Not thread-safe.
class ModelTidy {
 public:
  // Who deletes versions that no retention rule keeps.
  static constexpr absl::string_view kPrincipal = "retention";

  // What is noted of a version that is deleted, or would be.
  struct Note {
    uint32_t owner = BlockMark::kNobody;  // index into Collection::deletions
    BlockUse use = BlockUse::kHeld;
  };

  // All must outlive this.
  ModelTidy(Catalog* catalog, RecordStore* records, const Limits& limits, absl::Time now,
            Collection* collection)
      : catalog_(catalog), records_(records), limits_(limits), now_(now), out_(collection) {}

  absl::Status Tidy(const std::string& model);
  // Null: nothing is noted of it.
  const Note* Find(const std::string& model, uint64_t version) const;

 private:
  absl::Status ApplyRetention(const std::string& model);
  absl::StatusOr<std::vector<uint64_t>> NotKept(const std::string& model, const Retention& rules);
  absl::Status DeleteSome(const std::string& model, std::vector<uint64_t> versions);
  absl::Status RemoveDeleted(const std::string& model);
  absl::Status ForgetAnswers(const std::string& model);
  absl::Status ForgetMoves(const std::string& model);
  void TakeNote(const std::string& model, uint64_t version, DeletionUse::Why why, absl::Time until);

  Catalog* const catalog_;
  RecordStore* const records_;
  const Limits& limits_;
  const absl::Time now_;
  Collection* const out_;
  absl::flat_hash_map<std::string, absl::flat_hash_map<uint64_t, Note>> notes_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_COLLECTOR_TIDY_H_

// Both engine interfaces in memory, with faults on demand: what a distributed engine
// may do to its callers, and RocksDB never does. Faults are drawn from a seed, so a
// failing run of one thread can be repeated.
#ifndef BALLAST_TESTS_SUPPORT_MEMORY_ENGINE_H_
#define BALLAST_TESTS_SUPPORT_MEMORY_ENGINE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "storage/store/blob_store.h"
#include "storage/store/record_store.h"

namespace ballast {

// Probabilities, 0 to 1.
struct Faults {
  double unknown_applied = 0;    // a commit is applied, and answered as unknown
  double unknown_lost = 0;       // a commit is not applied, and answered as unknown
  double unknown_late = 0;       // answered as unknown, applied during a later call
  double unavailable = 0;        // any call does nothing and answers Unavailable
  double short_page = 0;         // a page ends before its limit
  double lost_notification = 0;  // a watcher is not called
};

class FaultSource {
 public:
  FaultSource(const Faults& faults, uint64_t seed) : faults_(faults), random_(seed) {}
  void Set(const Faults& faults);
  Faults faults();
  // True with this probability.
  bool Happens(double probability);
  // 0 to bound - 1.
  uint64_t Below(uint64_t bound);

 private:
  std::mutex mutex_;
  Faults faults_;
  std::mt19937_64 random_;
};

// Thread-safe.
class MemoryBlobs : public BlobStore {
 public:
  // `faults` must outlive this.
  explicit MemoryBlobs(FaultSource* faults) : faults_(faults) {}
  absl::StatusOr<std::unique_ptr<BlobBatch>> NewBatch(Epoch epoch) override;
  absl::StatusOr<Chunk> Get(const Digest& digest) override;
  absl::StatusOr<std::vector<std::optional<BlobInfo>>> Touch(absl::Span<const Digest> digests,
                                                             Epoch epoch) override;
  absl::StatusOr<BlobCheck> Check(const Digest& digest) override;
  absl::StatusOr<std::vector<bool>> HasCrcs(absl::Span<const uint32_t> crcs,
                                            const DigestFilter& counts) override;
  absl::StatusOr<uint64_t> RemoveIfOlder(absl::Span<const Digest> digests, Epoch epoch) override;
  absl::StatusOr<std::vector<Digest>> Scan(uint32_t shard, std::string* cursor) override;
  absl::Status ReturnSpace() override { return MaybeUnavailable(); }

  // Replaces the stored bytes, as a rotten disk would without checksums: only Check finds it.
  void Corrupt(const Digest& digest, std::string bytes);

 private:
  class Batch;
  struct Blob {
    std::shared_ptr<const std::string> bytes;
    BlobInfo info;
    bool damaged = false;  // that is known
  };
  absl::Status MaybeUnavailable();

  FaultSource* const faults_;
  std::mutex mutex_;
  std::map<Digest, Blob> blobs_;
};

// Thread-safe.
class MemoryRecords : public RecordStore {
 public:
  // `faults` must outlive this.
  explicit MemoryRecords(FaultSource* faults) : faults_(faults) {}
  absl::StatusOr<CommitOutcome> Commit(absl::string_view record,
                                       absl::Span<const RecordCondition> conditions,
                                       absl::Span<const RecordEdit> edits) override;
  absl::StatusOr<std::vector<std::optional<std::string>>> Read(
      absl::string_view record, absl::Span<const std::string> keys) override;
  absl::StatusOr<RecordPage> List(absl::string_view record, absl::string_view after,
                                  absl::string_view prefix, size_t limit) override;
  absl::StatusOr<std::unique_ptr<RecordWatch>> Watch(absl::string_view record,
                                                     std::function<void()> changed) override;

  // Applies the commits that are still under way (those whose conditions hold).
  void ApplyLate();

 private:
  class WatchImpl;
  struct Watcher {
    std::string record;
    std::mutex mutex;
    std::function<void()> changed;  // null: ended
  };
  struct Pending {
    std::string record;
    std::vector<RecordCondition> conditions;
    std::vector<RecordEdit> edits;
  };
  using Record = std::map<std::string, std::string, std::less<>>;

  absl::Status Begin();  // Unavailable, or lets late commits arrive
  bool Apply(absl::string_view record, absl::Span<const RecordCondition> conditions,
             absl::Span<const RecordEdit> edits);
  void Notify(absl::string_view record);

  FaultSource* const faults_;
  std::mutex mutex_;
  std::map<std::string, Record, std::less<>> records_;
  std::deque<Pending> late_;
  std::mutex watch_mutex_;
  std::vector<std::shared_ptr<Watcher>> watchers_;
};

class MemoryEngine {
 public:
  explicit MemoryEngine(const Faults& faults = {}, uint64_t seed = 1)
      : faults_(faults, seed), blobs_(&faults_), records_(&faults_) {}
  MemoryBlobs* blobs() { return &blobs_; }
  MemoryRecords* records() { return &records_; }
  // From now on.
  void SetFaults(const Faults& faults) { faults_.Set(faults); }

 private:
  FaultSource faults_;
  MemoryBlobs blobs_;
  MemoryRecords records_;
};

}  // namespace ballast

#endif  // BALLAST_TESTS_SUPPORT_MEMORY_ENGINE_H_

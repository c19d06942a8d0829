// Both engine interfaces, handing everything on to another store: bases for stores that
// are wrong, stop or wait at one point.
#ifndef BALLAST_TESTS_SUPPORT_FORWARDING_STORES_H_
#define BALLAST_TESTS_SUPPORT_FORWARDING_STORES_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/store/blob_store.h"
#include "storage/store/record_store.h"

namespace ballast {

// `base` must outlive this.
class ForwardingBlobs : public BlobStore {
 public:
  explicit ForwardingBlobs(BlobStore* base) : base_(base) {}
  absl::StatusOr<std::unique_ptr<BlobBatch>> NewBatch(Epoch epoch) override {
    return base_->NewBatch(epoch);
  }
  absl::StatusOr<Chunk> Get(const Digest& digest) override { return base_->Get(digest); }
  absl::StatusOr<std::vector<std::optional<BlobInfo>>> Touch(absl::Span<const Digest> digests,
                                                             Epoch epoch) override {
    return base_->Touch(digests, epoch);
  }
  absl::StatusOr<std::vector<bool>> HasCrcs(absl::Span<const uint32_t> crcs,
                                            const DigestFilter& counts) override {
    return base_->HasCrcs(crcs, counts);
  }
  absl::StatusOr<BlobCheck> Check(const Digest& digest) override { return base_->Check(digest); }
  absl::StatusOr<uint64_t> RemoveIfOlder(absl::Span<const Digest> digests, Epoch epoch) override {
    return base_->RemoveIfOlder(digests, epoch);
  }
  absl::StatusOr<std::vector<Digest>> Scan(uint32_t shard, std::string* cursor) override {
    return base_->Scan(shard, cursor);
  }
  absl::Status ReturnSpace() override { return base_->ReturnSpace(); }

 private:
  BlobStore* const base_;
};

// `base` must outlive this.
class ForwardingRecords : public RecordStore {
 public:
  explicit ForwardingRecords(RecordStore* base) : base_(base) {}
  absl::StatusOr<CommitOutcome> Commit(absl::string_view record,
                                       absl::Span<const RecordCondition> conditions,
                                       absl::Span<const RecordEdit> edits) override {
    return base_->Commit(record, conditions, edits);
  }
  absl::StatusOr<std::vector<std::optional<std::string>>> Read(
      absl::string_view record, absl::Span<const std::string> keys) override {
    return base_->Read(record, keys);
  }
  absl::StatusOr<RecordPage> List(absl::string_view record, absl::string_view after,
                                  absl::string_view prefix, size_t limit) override {
    return base_->List(record, after, prefix, limit);
  }
  absl::StatusOr<std::unique_ptr<RecordWatch>> Watch(absl::string_view record,
                                                     std::function<void()> changed) override {
    return base_->Watch(record, std::move(changed));
  }

 private:
  RecordStore* const base_;
};

}  // namespace ballast

#endif  // BALLAST_TESTS_SUPPORT_FORWARDING_STORES_H_

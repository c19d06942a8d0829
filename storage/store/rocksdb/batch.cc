#include "storage/store/rocksdb/batch.h"

#include <atomic>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "storage/base/limits.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

class RocksBatch : public BlobBatch {
 public:
  RocksBatch(const BlobContext* context, Epoch epoch) : context_(context), epoch_(epoch) {}
  ~RocksBatch() override { WaitForFile().IgnoreError(); }

  absl::StatusOr<bool> Add(const Digest& digest, uint32_t crc32, absl::string_view bytes) override;
  absl::Status Flush() override;
  uint64_t durable_bytes() const override { return durable_bytes_; }

 private:
  absl::StatusOr<bool> IsKnown(const Digest& digest);
  absl::Status Gather(const Digest& digest, uint32_t crc32, absl::string_view bytes);
  absl::Status OpenFile();
  absl::Status StartFinishing();
  absl::Status WaitForFile();
  absl::Status CommitFile(BlockFileWriter* file);
  absl::Status FlushFile();
  absl::Status FlushSmall();
  absl::Status Fail(absl::Status status) {
    if (failed_.ok()) failed_ = status;
    return status;
  }

  const BlobContext* const context_;
  const Epoch epoch_;
  absl::Status failed_;

  // Gathered: in a file if there is one, else in memory.
  std::unique_ptr<BlockFileWriter> file_;
  std::vector<WrittenBlock> small_;
  std::vector<std::string> small_bytes_;
  uint64_t small_size_ = 0;
  absl::flat_hash_set<Digest> gathered_;

  // The full file before it, being finished.
  std::future<absl::Status> finishing_;
  absl::flat_hash_set<Digest> finishing_digests_;

  std::atomic<uint64_t> durable_bytes_ = 0;
};

absl::StatusOr<bool> RocksBatch::Add(const Digest& digest, uint32_t crc32,
                                     absl::string_view bytes) {
  RETURN_IF_ERROR(failed_);
  if (bytes.empty() || bytes.size() > kBlockBytes) {
    return absl::InvalidArgumentError(absl::StrCat("block ", digest.Hex(), ": size is ",
                                                   bytes.size(), ", want 1 to ", kBlockBytes));
  }
  const absl::StatusOr<bool> known = IsKnown(digest);
  if (!known.ok()) return Fail(known.status());
  if (*known) return false;
  RETURN_IF_ERROR(Fail(Gather(digest, crc32, bytes)));
  return true;
}

// The epoch is raised here and not at the flush: a block answered as known must not
// be removed by a collection that begins now.
absl::StatusOr<bool> RocksBatch::IsKnown(const Digest& digest) {
  if (gathered_.contains(digest) || finishing_digests_.contains(digest)) return true;
  if (context_->index->IsDamaged(digest)) return false;
  ASSIGN_OR_RETURN(const auto entry, context_->index->Find(digest));
  if (!entry.has_value()) return false;
  if (entry->info.epoch >= epoch_) return true;
  ASSIGN_OR_RETURN(const auto raised, context_->index->Raise({digest}, epoch_));
  return raised[0].has_value();
}

absl::Status RocksBatch::Gather(const Digest& digest, uint32_t crc32, absl::string_view bytes) {
  if (file_ == nullptr && small_size_ + bytes.size() < kSmallFlushBytes) {
    small_.push_back(
        {digest, static_cast<uint32_t>(small_.size()), static_cast<uint32_t>(bytes.size()), crc32});
    small_bytes_.emplace_back(bytes);
    small_size_ += bytes.size();
    gathered_.insert(digest);
    return absl::OkStatus();
  }
  if (file_ == nullptr) RETURN_IF_ERROR(OpenFile());
  RETURN_IF_ERROR(file_->Append(digest, crc32, bytes));
  gathered_.insert(digest);
  return file_->full() ? StartFinishing() : absl::OkStatus();
}

// What was gathered in memory becomes the beginning of the file.
absl::Status RocksBatch::OpenFile() {
  ASSIGN_OR_RETURN(file_, BlockFileWriter::Create(context_));
  for (size_t i = 0; i < small_.size(); ++i) {
    RETURN_IF_ERROR(file_->Append(small_[i].digest, small_[i].crc32, small_bytes_[i]));
  }
  small_.clear();
  small_bytes_.clear();
  small_size_ = 0;
  return absl::OkStatus();
}

absl::Status RocksBatch::StartFinishing() {
  RETURN_IF_ERROR(WaitForFile());
  finishing_digests_.swap(gathered_);
  finishing_ = std::async(std::launch::async,
                          [this, file = std::move(file_)] { return CommitFile(file.get()); });
  return absl::OkStatus();
}

absl::Status RocksBatch::WaitForFile() {
  if (!finishing_.valid()) return absl::OkStatus();
  const absl::Status status = finishing_.get();
  finishing_digests_.clear();
  return status;
}

// Runs beside Add: touches nothing of the batch but durable_bytes_.
absl::Status RocksBatch::CommitFile(BlockFileWriter* file) {
  RETURN_IF_ERROR(file->FinishAndIngest());
  ASSIGN_OR_RETURN(const std::vector<uint64_t> dead,
                   context_->index->AddFile(file->container(), file->blocks(), epoch_));
  context_->step("block file indexed");
  RETURN_IF_ERROR(context_->database->Sync());
  durable_bytes_ += file->bytes();
  for (const uint64_t unused : dead) RETURN_IF_ERROR(context_->DropFile(unused));
  return absl::OkStatus();
}

absl::Status RocksBatch::FlushFile() {
  if (file_ == nullptr) return absl::OkStatus();
  const std::unique_ptr<BlockFileWriter> file = std::move(file_);
  return CommitFile(file.get());
}

absl::Status RocksBatch::FlushSmall() {
  if (small_.empty()) return context_->database->Sync();
  ASSIGN_OR_RETURN(const uint64_t container, context_->index->NewContainer());
  ASSIGN_OR_RETURN(const std::vector<uint64_t> dead,
                   context_->index->AddSmall(container, small_, small_bytes_, epoch_));
  context_->step("small blocks written");
  RETURN_IF_ERROR(context_->database->Sync());
  for (const uint64_t unused : dead) RETURN_IF_ERROR(context_->DropFile(unused));
  durable_bytes_ += small_size_;
  small_.clear();
  small_bytes_.clear();
  small_size_ = 0;
  return absl::OkStatus();
}

absl::Status RocksBatch::Flush() {
  RETURN_IF_ERROR(failed_);
  RETURN_IF_ERROR(Fail(WaitForFile()));
  RETURN_IF_ERROR(Fail(FlushFile()));
  RETURN_IF_ERROR(Fail(FlushSmall()));
  gathered_.clear();
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<BlobBatch> NewRocksBatch(const BlobContext* context, Epoch epoch) {
  return std::make_unique<RocksBatch>(context, epoch);
}

}  // namespace ballast

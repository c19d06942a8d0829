#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/limits.h"
#include "storage/base/status.h"
#include "tests/support/memory_engine.h"

namespace ballast {

void FaultSource::Set(const Faults& faults) {
  std::lock_guard<std::mutex> lock(mutex_);
  faults_ = faults;
}

Faults FaultSource::faults() {
  std::lock_guard<std::mutex> lock(mutex_);
  return faults_;
}

bool FaultSource::Happens(double probability) {
  if (probability <= 0) return false;
  std::lock_guard<std::mutex> lock(mutex_);
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

uint64_t FaultSource::Below(uint64_t bound) {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random_);
}

class MemoryBlobs::Batch : public BlobBatch {
 public:
  Batch(MemoryBlobs* store, Epoch epoch) : store_(store), epoch_(epoch) {}

  absl::StatusOr<bool> Add(const Digest& digest, uint32_t crc32, absl::string_view bytes) override {
    RETURN_IF_ERROR(failed_);
    if (bytes.empty() || bytes.size() > kBlockBytes) {
      return absl::InvalidArgumentError(absl::StrCat("block ", digest.Hex(), ": size is ",
                                                     bytes.size(), ", want 1 to ", kBlockBytes));
    }
    if (failed_ = store_->MaybeUnavailable(); !failed_.ok()) return failed_;
    std::lock_guard<std::mutex> lock(store_->mutex_);
    if (gathered_.count(digest) != 0) return false;
    const auto known = store_->blobs_.find(digest);
    if (known != store_->blobs_.end() && !known->second.damaged) {
      known->second.info.epoch = std::max(known->second.info.epoch, epoch_);
      return false;
    }
    gathered_[digest] = {std::make_shared<const std::string>(bytes), {bytes.size(), crc32, epoch_}};
    return true;
  }

  absl::Status Flush() override {
    RETURN_IF_ERROR(failed_);
    if (failed_ = store_->MaybeUnavailable(); !failed_.ok()) return failed_;
    std::lock_guard<std::mutex> lock(store_->mutex_);
    for (auto& [digest, blob] : gathered_) {
      durable_ += blob.bytes->size();
      Blob& stored = store_->blobs_.try_emplace(digest, blob).first->second;
      blob.info.epoch = std::max(stored.info.epoch, epoch_);
      if (stored.damaged) stored = std::move(blob);
      stored.info.epoch = std::max(stored.info.epoch, epoch_);
    }
    gathered_.clear();
    return absl::OkStatus();
  }

  uint64_t durable_bytes() const override { return durable_; }

 private:
  MemoryBlobs* const store_;
  const Epoch epoch_;
  absl::Status failed_;
  std::map<Digest, Blob> gathered_;
  uint64_t durable_ = 0;
};

absl::Status MemoryBlobs::MaybeUnavailable() {
  if (!faults_->Happens(faults_->faults().unavailable)) return absl::OkStatus();
  return absl::UnavailableError("memory engine: injected");
}

absl::StatusOr<std::unique_ptr<BlobBatch>> MemoryBlobs::NewBatch(Epoch epoch) {
  RETURN_IF_ERROR(MaybeUnavailable());
  return std::make_unique<Batch>(this, epoch);
}

absl::StatusOr<Chunk> MemoryBlobs::Get(const Digest& digest) {
  RETURN_IF_ERROR(MaybeUnavailable());
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = blobs_.find(digest);
  if (it == blobs_.end()) {
    return absl::NotFoundError(absl::StrCat("block ", digest.Hex(), ": no such block"));
  }
  if (it->second.damaged && Sha256Of(*it->second.bytes) != digest) {
    return absl::DataLossError(absl::StrCat("block ", digest.Hex(), ": is damaged"));
  }
  return Chunk{*it->second.bytes, it->second.bytes};
}

absl::StatusOr<BlobCheck> MemoryBlobs::Check(const Digest& digest) {
  RETURN_IF_ERROR(MaybeUnavailable());
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = blobs_.find(digest);
  if (it == blobs_.end()) {
    return BlobCheck{BlobCheck::State::kMissing, 0, "no such block"};
  }
  Blob& blob = it->second;
  blob.damaged = Sha256Of(*blob.bytes) != digest;
  if (!blob.damaged) return BlobCheck{BlobCheck::State::kSound, blob.bytes->size(), ""};
  return BlobCheck{BlobCheck::State::kWrongBytes, blob.bytes->size(),
                   "the stored bytes fail their SHA-256"};
}

absl::StatusOr<std::vector<std::optional<BlobInfo>>> MemoryBlobs::Touch(
    absl::Span<const Digest> digests, Epoch epoch) {
  RETURN_IF_ERROR(MaybeUnavailable());
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::optional<BlobInfo>> infos(digests.size());
  for (size_t i = 0; i < digests.size(); ++i) {
    const auto it = blobs_.find(digests[i]);
    if (it == blobs_.end() || it->second.damaged) continue;
    it->second.info.epoch = std::max(it->second.info.epoch, epoch);
    infos[i] = it->second.info;
  }
  return infos;
}

absl::StatusOr<std::vector<bool>> MemoryBlobs::HasCrcs(absl::Span<const uint32_t> crcs,
                                                       const DigestFilter& counts) {
  RETURN_IF_ERROR(MaybeUnavailable());
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<bool> has(crcs.size());
  for (size_t i = 0; i < crcs.size(); ++i) {
    for (const auto& [digest, blob] : blobs_) {
      const bool large = blob.info.size_bytes >= kCrcKnownBytes;
      has[i] = has[i] || (large && blob.info.crc32 == crcs[i] && counts(digest));
    }
  }
  return has;
}

absl::StatusOr<uint64_t> MemoryBlobs::RemoveIfOlder(absl::Span<const Digest> digests, Epoch epoch) {
  RETURN_IF_ERROR(MaybeUnavailable());
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t removed = 0;
  for (const Digest& digest : digests) {
    const auto it = blobs_.find(digest);
    if (it == blobs_.end() || it->second.info.epoch >= epoch) continue;
    blobs_.erase(it);
    ++removed;
  }
  return removed;
}

absl::StatusOr<std::vector<Digest>> MemoryBlobs::Scan(uint32_t shard, std::string* cursor) {
  constexpr size_t kPage = 7;
  RETURN_IF_ERROR(MaybeUnavailable());
  if (shard >= kShards || (!cursor->empty() && cursor->size() != Digest::kBytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("scan: shard is ", shard, ", want less than ", kShards));
  }
  std::lock_guard<std::mutex> lock(mutex_);
  Digest from;
  from.bytes[0] = static_cast<uint8_t>(shard << 4);
  auto it = blobs_.lower_bound(from);
  if (!cursor->empty()) it = blobs_.upper_bound(*Digest::FromBytes(*cursor));
  std::vector<Digest> page;
  for (; it != blobs_.end() && it->first.bytes[0] >> 4 == static_cast<int>(shard); ++it) {
    if (page.size() == kPage) break;
    page.push_back(it->first);
  }
  *cursor = page.size() < kPage ? std::string() : std::string(page.back().View());
  return page;
}

void MemoryBlobs::Corrupt(const Digest& digest, std::string bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  blobs_.at(digest).bytes = std::make_shared<const std::string>(std::move(bytes));
}

}  // namespace ballast

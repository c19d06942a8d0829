#include "server/use_cases/store_lane.h"

#include <utility>

#include "storage/base/status.h"

namespace ballast {
namespace {

// One block of full size, or many small ones: handing over costs a switch of threads.
constexpr uint64_t kLaneBatchBytes = 1u << 20;

}  // namespace

StoreLane::~StoreLane() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

absl::Status StoreLane::Add(const Digest& digest, uint32_t crc32, std::string bytes) {
  gathering_bytes_ += bytes.size();
  gathering_.push_back({digest, crc32, std::move(bytes)});
  return gathering_bytes_ < kLaneBatchBytes ? absl::OkStatus() : HandOver();
}

absl::Status StoreLane::HandOver() {
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty(); });
  RETURN_IF_ERROR(status_);
  waiting_ = std::exchange(gathering_, {});
  gathering_bytes_ = 0;
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status StoreLane::Drain() {
  if (thread_.joinable()) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.empty() && !writing_; });
  }
  RETURN_IF_ERROR(status_);
  gathering_bytes_ = 0;
  status_ = AddAll(std::exchange(gathering_, {}));
  return status_;
}

absl::Status StoreLane::AddAll(const Batch& batch) {
  for (const Block& block : batch) {
    ASSIGN_OR_RETURN(const bool stored, push_->Add(block.digest, block.crc32, block.bytes));
    ++(stored ? blocks_stored_ : blocks_known_);
  }
  return absl::OkStatus();
}

// After a failure batches are taken and dropped, so that nobody waits.
void StoreLane::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const Batch batch = std::exchange(waiting_, {});
    writing_ = true;
    changed_.notify_all();
    const bool failed = !status_.ok();
    lock.unlock();
    absl::Status status = failed ? absl::OkStatus() : AddAll(batch);
    lock.lock();
    status_.Update(status);
    writing_ = false;
    changed_.notify_all();
  }
}

}  // namespace ballast

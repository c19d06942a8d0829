#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "client/push_source.h"
#include "storage/base/crc32.h"
#include "storage/base/digest.h"
#include "storage/base/status.h"
#include "storage/model/value_counter.h"

namespace ballast {
namespace {

// Enough to keep two threads busy, few enough that both read nearly in order.
constexpr uint64_t kBlocksPerTask = 8;
constexpr int kThreads = 2;

struct Task {
  uint32_t entry = 0;
  uint64_t first_block = 0;
  uint64_t blocks = 0;
};

std::vector<Task> MakeTasks(const PushSource& source, const std::vector<uint32_t>& twins) {
  std::vector<Task> tasks;
  for (uint32_t i = 0; i < twins.size(); ++i) {
    if (twins[i] != i) continue;
    const uint64_t count = BlockCount(CheckedTensorBytes(source.facts().entries[i].spec));
    const uint64_t step = source.Splittable(i) ? kBlocksPerTask : std::max<uint64_t>(count, 1);
    for (uint64_t first = 0; first < count; first += step) {
      tasks.push_back({i, first, std::min(step, count - first)});
    }
  }
  return tasks;
}

// Bytes are looked at three times while they are in the cache.
constexpr size_t kPieceBytes = 64u << 10;

absl::StatusOr<BlockRef> HashBlock(TensorSource* reader, uint32_t entry, uint64_t offset,
                                   uint64_t size_bytes, Sha256* sha, ValueCounter* values) {
  BlockRef block;
  while (size_bytes > 0) {
    ASSIGN_OR_RETURN(const Chunk chunk, reader->Read(entry, offset, size_bytes));
    for (size_t at = 0; at < chunk.bytes.size(); at += kPieceBytes) {
      const absl::string_view piece = chunk.bytes.substr(at, kPieceBytes);
      sha->Update(piece);
      block.crc32 = Crc32(piece, block.crc32);
      values->Add(piece);
    }
    offset += chunk.bytes.size();
    size_bytes -= chunk.bytes.size();
  }
  block.digest = sha->Finish();
  return block;
}

ValueTally Sum(const std::vector<ValueTally>& parts) {
  ValueTally sum;
  for (const ValueTally& part : parts) sum.Append(part);
  return sum;
}

// The threads take tasks from one list and fill disjoint blocks of one manifest.
class BlockHasher {
 public:
  BlockHasher(const PushSource& source, Operation* operation, Progress::Phase phase)
      : source_(source), operation_(operation), phase_(phase), manifest_(source.facts()) {}

  absl::StatusOr<Manifest> Run();

 private:
  void Work();
  absl::Status HashTask(const Task& task, TensorSource* reader, Sha256* sha);

  const PushSource& source_;
  Operation* const operation_;
  const Progress::Phase phase_;
  Manifest manifest_;
  std::vector<std::vector<ValueTally>> tallies_;  // of each entry's blocks
  std::vector<Task> tasks_;
  uint64_t total_bytes_ = 0;
  std::atomic<size_t> next_ = 0;
  std::atomic<uint64_t> done_bytes_ = 0;
  std::mutex mutex_;
  absl::Status status_;  // the first failure
};

absl::Status BlockHasher::HashTask(const Task& task, TensorSource* reader, Sha256* sha) {
  ManifestEntry& entry = manifest_.entries[task.entry];
  const uint64_t size = CheckedTensorBytes(entry.spec);
  ValueCounter values(entry.spec.dtype);
  for (uint64_t i = task.first_block; i < task.first_block + task.blocks; ++i) {
    const uint64_t length = BlockSize(size, i);
    ASSIGN_OR_RETURN(entry.blocks[i],
                     HashBlock(reader, task.entry, i * kBlockBytes, length, sha, &values));
    tallies_[task.entry][i] = values.Finish();
    const uint64_t done = done_bytes_ += length;
    RETURN_IF_ERROR(operation_->Report(phase_, done, total_bytes_));
  }
  return absl::OkStatus();
}

void BlockHasher::Work() {
  const std::unique_ptr<TensorSource> reader = source_.NewReader();
  Sha256 sha;
  for (size_t i = next_++; i < tasks_.size(); i = next_++) {
    const absl::Status status = HashTask(tasks_[i], reader.get(), &sha);
    if (status.ok()) continue;
    const std::lock_guard lock(mutex_);
    if (status_.ok()) status_ = status;
    next_ = tasks_.size();
    return;
  }
}

absl::StatusOr<Manifest> BlockHasher::Run() {
  const std::vector<uint32_t> twins = TieRepresentatives(manifest_.entries.size(), manifest_.ties);
  tallies_.resize(twins.size());
  for (uint32_t i = 0; i < twins.size(); ++i) {
    const uint64_t size = CheckedTensorBytes(manifest_.entries[i].spec);
    manifest_.entries[i].blocks.resize(BlockCount(size));
    if (twins[i] != i) continue;
    tallies_[i].resize(BlockCount(size));
    total_bytes_ += size;
  }
  tasks_ = MakeTasks(source_, twins);
  std::vector<std::thread> others;
  for (int i = 1; i < kThreads && tasks_.size() > 1; ++i) others.emplace_back([this] { Work(); });
  Work();
  for (std::thread& thread : others) thread.join();
  RETURN_IF_ERROR(status_);
  for (uint32_t i = 0; i < twins.size(); ++i) {
    ManifestEntry& entry = manifest_.entries[i];
    entry.health = HealthOf(entry.spec.dtype, Sum(tallies_[twins[i]]));
    if (twins[i] != i) entry.blocks = manifest_.entries[twins[i]].blocks;
  }
  RETURN_IF_ERROR(source_.CheckContainer(manifest_));
  return std::move(manifest_);
}

}  // namespace

absl::StatusOr<Manifest> HashBlocks(const PushSource& source, Operation* operation,
                                    Progress::Phase phase) {
  return BlockHasher(source, operation, phase).Run();
}

}  // namespace ballast

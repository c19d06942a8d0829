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

// `sha` null: only the CRC. `values` null: they are not counted.
absl::StatusOr<BlockRef> ReadBlock(TensorSource* reader, uint32_t entry, uint64_t offset,
                                   uint64_t size_bytes, Sha256* sha, ValueCounter* values) {
  BlockRef block;
  while (size_bytes > 0) {
    ASSIGN_OR_RETURN(const Chunk chunk, reader->Read(entry, offset, size_bytes));
    for (size_t at = 0; at < chunk.bytes.size(); at += kPieceBytes) {
      const absl::string_view piece = chunk.bytes.substr(at, kPieceBytes);
      if (sha != nullptr) sha->Update(piece);
      block.crc32 = Crc32(piece, block.crc32);
      if (values != nullptr) values->Add(piece);
    }
    offset += chunk.bytes.size();
    size_bytes -= chunk.bytes.size();
  }
  if (sha != nullptr) block.digest = sha->Finish();
  return block;
}

ValueTally Sum(const std::vector<ValueTally>& parts) {
  ValueTally sum;
  for (const ValueTally& part : parts) sum.Append(part);
  return sum;
}

// The threads take tasks from one list and fill disjoint blocks of one manifest.
class BlockReader {
 public:
  BlockReader(const PushSource& source, Operation* operation, Progress::Phase phase,
              Manifest* manifest)
      : source_(source),
        operation_(operation),
        phase_(phase),
        manifest_(*manifest),
        twins_(TieRepresentatives(manifest->entries.size(), manifest->ties)) {}

  // All blocks; those that `hashed` names get their digest. `count_values`: and entries their
  // health.
  absl::Status ReadAll(const BlockFilter& hashed, bool count_values);
  // Only blocks that `hashed` names.
  absl::Status ReadAgain(const BlockFilter& hashed);

 private:
  using TaskReader = absl::Status (BlockReader::*)(const Task& task, TensorSource* reader,
                                                   Sha256* sha);
  absl::Status Run(std::vector<Task> tasks, TaskReader read);
  void Work(TaskReader read);
  absl::Status ReadTask(const Task& task, TensorSource* reader, Sha256* sha);
  absl::Status ReadTaskAgain(const Task& task, TensorSource* reader, Sha256* sha);
  absl::Status Done(uint64_t bytes) {
    return operation_->Report(phase_, done_bytes_ += bytes, total_bytes_);
  }

  const PushSource& source_;
  Operation* const operation_;
  const Progress::Phase phase_;
  Manifest& manifest_;
  const std::vector<uint32_t> twins_;
  BlockFilter hashed_;
  bool count_values_ = true;
  std::vector<std::vector<ValueTally>> tallies_;  // of each entry's blocks
  std::vector<Task> tasks_;
  uint64_t total_bytes_ = 0;
  std::atomic<size_t> next_ = 0;
  std::atomic<uint64_t> done_bytes_ = 0;
  std::mutex mutex_;
  absl::Status status_;  // the first failure
};

absl::Status BlockReader::ReadTask(const Task& task, TensorSource* reader, Sha256* sha) {
  ManifestEntry& entry = manifest_.entries[task.entry];
  const uint64_t size = CheckedTensorBytes(entry.spec);
  ValueCounter values(entry.spec.dtype);
  for (uint64_t i = task.first_block; i < task.first_block + task.blocks; ++i) {
    const uint64_t length = BlockSize(size, i);
    ASSIGN_OR_RETURN(entry.blocks[i],
                     ReadBlock(reader, task.entry, i * kBlockBytes, length,
                               hashed_(task.entry, i) ? sha : nullptr,
                               count_values_ ? &values : nullptr));
    if (count_values_) tallies_[task.entry][i] = values.Finish();
    RETURN_IF_ERROR(Done(length));
  }
  return absl::OkStatus();
}

absl::Status BlockReader::ReadTaskAgain(const Task& task, TensorSource* reader, Sha256* sha) {
  ManifestEntry& entry = manifest_.entries[task.entry];
  const uint64_t size = CheckedTensorBytes(entry.spec);
  for (uint64_t i = task.first_block; i < task.first_block + task.blocks; ++i) {
    if (!hashed_(task.entry, i)) continue;
    const uint64_t length = BlockSize(size, i);
    ASSIGN_OR_RETURN(const BlockRef block,
                     ReadBlock(reader, task.entry, i * kBlockBytes, length, sha, nullptr));
    if (block.crc32 != entry.blocks[i].crc32) {
      return ChecksumError("block ", i, " of ", QuotedKey(entry.spec.key),
                           " is not what it was a moment ago");
    }
    entry.blocks[i] = block;
    RETURN_IF_ERROR(Done(length));
  }
  return absl::OkStatus();
}

void BlockReader::Work(TaskReader read) {
  const std::unique_ptr<TensorSource> reader = source_.NewReader();
  Sha256 sha;
  for (size_t i = next_++; i < tasks_.size(); i = next_++) {
    const absl::Status status = (this->*read)(tasks_[i], reader.get(), &sha);
    if (status.ok()) continue;
    const std::lock_guard lock(mutex_);
    if (status_.ok()) status_ = status;
    next_ = tasks_.size();
    return;
  }
}

absl::Status BlockReader::Run(std::vector<Task> tasks, TaskReader read) {
  tasks_ = std::move(tasks);
  std::vector<std::thread> others;
  for (int i = 1; i < kThreads && tasks_.size() > 1; ++i) {
    others.emplace_back([this, read] { Work(read); });
  }
  Work(read);
  for (std::thread& thread : others) thread.join();
  RETURN_IF_ERROR(status_);
  for (uint32_t i = 0; i < twins_.size(); ++i) {
    if (twins_[i] != i) manifest_.entries[i].blocks = manifest_.entries[twins_[i]].blocks;
  }
  return absl::OkStatus();
}

absl::Status BlockReader::ReadAll(const BlockFilter& hashed, bool count_values) {
  hashed_ = hashed;
  count_values_ = count_values;
  tallies_.resize(twins_.size());
  for (uint32_t i = 0; i < twins_.size(); ++i) {
    const uint64_t size = CheckedTensorBytes(manifest_.entries[i].spec);
    manifest_.entries[i].blocks.resize(BlockCount(size));
    if (twins_[i] != i) continue;
    tallies_[i].resize(BlockCount(size));
    total_bytes_ += size;
  }
  RETURN_IF_ERROR(Run(MakeTasks(source_, twins_), &BlockReader::ReadTask));
  for (uint32_t i = 0; count_values && i < twins_.size(); ++i) {
    ManifestEntry& entry = manifest_.entries[i];
    entry.health = HealthOf(entry.spec.dtype, Sum(tallies_[twins_[i]]));
  }
  return source_.CheckContainer(manifest_);
}

absl::Status BlockReader::ReadAgain(const BlockFilter& hashed) {
  hashed_ = hashed;
  std::vector<Task> tasks;
  for (const Task& task : MakeTasks(source_, twins_)) {
    const uint64_t size = CheckedTensorBytes(manifest_.entries[task.entry].spec);
    uint64_t bytes = 0;
    for (uint64_t i = task.first_block; i < task.first_block + task.blocks; ++i) {
      if (hashed_(task.entry, i)) bytes += BlockSize(size, i);
    }
    if (bytes > 0) tasks.push_back(task);
    total_bytes_ += bytes;
  }
  return Run(std::move(tasks), &BlockReader::ReadTaskAgain);
}

}  // namespace

absl::StatusOr<Manifest> HashBlocks(const PushSource& source, Operation* operation,
                                    Progress::Phase phase) {
  Manifest manifest = source.facts();
  RETURN_IF_ERROR(BlockReader(source, operation, phase, &manifest)
                      .ReadAll([](uint32_t, uint64_t) { return true; }, true));
  return manifest;
}

absl::StatusOr<Manifest> NameBlocks(const PushSource& source, Operation* operation,
                                    Progress::Phase phase) {
  Manifest manifest = source.facts();
  RETURN_IF_ERROR(BlockReader(source, operation, phase, &manifest)
                      .ReadAll([](uint32_t, uint64_t) { return true; }, false));
  return manifest;
}

absl::StatusOr<Manifest> SumBlocks(const PushSource& source, Operation* operation,
                                   Progress::Phase phase) {
  Manifest manifest = source.facts();
  const auto hashed = [&](uint32_t entry, uint64_t block) {
    const uint64_t size = CheckedTensorBytes(manifest.entries[entry].spec);
    return BlockSize(size, block) < kCrcKnownBytes || !source.Splittable(entry);
  };
  RETURN_IF_ERROR(BlockReader(source, operation, phase, &manifest).ReadAll(hashed, true));
  return manifest;
}

absl::Status HashChosen(const PushSource& source, Operation* operation, Progress::Phase phase,
                        const BlockFilter& chosen, Manifest* manifest) {
  return BlockReader(source, operation, phase, manifest).ReadAgain(chosen);
}

bool IsHashed(const Manifest& manifest) {
  for (const ManifestEntry& entry : manifest.entries) {
    for (const BlockRef& block : entry.blocks) {
      if (block.digest == Digest()) return false;
    }
  }
  return true;
}

}  // namespace ballast

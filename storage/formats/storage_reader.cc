#include "storage/formats/storage_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "storage/base/checked.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"
#include "storage/formats/inflate.h"

namespace ballast {
namespace {

constexpr uint64_t kMemoryStorageBytesMax = 16 << 20;
constexpr uint64_t kMemoryBytesMax = 32 << 20;
constexpr uint64_t kVerifyStepBytes = 1 << 20;

// For checking without keeping.
class NullSink : public ByteSink {
 public:
  absl::Status Write(absl::string_view) override { return absl::OkStatus(); }
};

bool FitsMemory(const SourceStorage& storage, uint64_t used_bytes) {
  return storage.size_bytes <= std::min(kMemoryStorageBytesMax, kMemoryBytesMax - used_bytes);
}

}  // namespace

StorageReader::StorageReader(const ByteSource* source, const SourceStateDict* dict,
                             std::string spool_dir, const Limits& limits)
    : source_(source),
      dict_(dict),
      spool_dir_(std::move(spool_dir)),
      limits_(limits),
      pool_(kMemoryStorageBytesMax),
      progress_(dict->storages.size()) {}

absl::Status StorageReader::ReadAt(uint32_t storage, uint64_t offset_bytes, absl::Span<char> out) {
  const SourceStorage& info = dict_->storages[storage];
  if (!InRange(offset_bytes, out.size(), info.size_bytes)) {
    return absl::InternalError("an entry lies outside of its storage");
  }
  if (info.encoding == SourceStorage::Encoding::kRaw) {
    RETURN_IF_ERROR(source_->ReadAt(info.offset_bytes + offset_bytes, out));
    return Sum(storage, offset_bytes, {out.data(), out.size()});
  }
  ASSIGN_OR_RETURN(const Inflated* inflated, Inflate(storage));
  if (inflated->memory.owner == nullptr) {
    return spool_->ReadAt(inflated->spool_offset + offset_bytes, out);
  }
  std::memcpy(out.data(), inflated->memory.bytes.data() + offset_bytes, out.size());
  return absl::OkStatus();
}

absl::Status StorageReader::Sum(uint32_t storage, uint64_t offset_bytes, absl::string_view bytes) {
  const SourceStorage& info = dict_->storages[storage];
  Progress& progress = progress_[storage];
  if (!info.crc32 || progress.verified || offset_bytes != progress.summed_bytes) {
    return absl::OkStatus();
  }
  progress.crc32 = Crc32(bytes, progress.crc32);
  progress.summed_bytes += bytes.size();
  if (progress.summed_bytes < info.size_bytes) return absl::OkStatus();
  progress.verified = true;
  return CheckStorageCrc(info, progress.crc32);
}

uint64_t StorageReader::EntriesOn(uint32_t storage) {
  if (entries_on_.empty()) {
    entries_on_.resize(dict_->storages.size());
    for (const SourceEntry& entry : dict_->entries) {
      if (CheckedTensorBytes(entry.spec) > 0) ++entries_on_[entry.storage];
    }
  }
  return entries_on_[storage];
}

absl::Status StorageReader::InflateToSpool(const SourceStorage& storage, Inflated* inflated) {
  if (spool_ == nullptr) {
    ASSIGN_OR_RETURN(spool_,
                     SpoolFile::Create(spool_dir_, limits_.spool_bytes_max, "spool_bytes_max"));
  }
  inflated->spool_offset = spool_->size_bytes();
  return InflateTo(*source_, storage, spool_.get());
}

absl::StatusOr<const StorageReader::Inflated*> StorageReader::Inflate(uint32_t storage) {
  if (const auto it = inflated_.find(storage); it != inflated_.end()) return &it->second;
  const SourceStorage& info = dict_->storages[storage];
  Inflated inflated;
  inflated.entries_left = EntriesOn(storage);
  if (FitsMemory(info, memory_bytes_)) {
    inflated.memory = pool_.Get(info.size_bytes);
    RETURN_IF_ERROR(InflateInto(*source_, info, inflated.memory.bytes));
    memory_bytes_ += info.size_bytes;
  } else {
    RETURN_IF_ERROR(InflateToSpool(info, &inflated));
  }
  progress_[storage].verified = true;
  return &(inflated_[storage] = std::move(inflated));
}

void StorageReader::EntryDone(uint32_t storage) {
  const auto it = inflated_.find(storage);
  if (it == inflated_.end() || it->second.memory.owner == nullptr) return;
  if (--it->second.entries_left > 0) return;
  memory_bytes_ -= dict_->storages[storage].size_bytes;
  inflated_.erase(it);
}

absl::Status StorageReader::VerifyRaw(uint32_t storage) {
  const SourceStorage& info = dict_->storages[storage];
  Progress& progress = progress_[storage];
  if (info.size_bytes == 0) return Sum(storage, 0, "");
  while (!progress.verified) {
    const uint64_t n = std::min(kVerifyStepBytes, info.size_bytes - progress.summed_bytes);
    PooledBuffer buffer = pool_.Get(n);
    RETURN_IF_ERROR(ReadAt(storage, progress.summed_bytes, buffer.bytes));
  }
  return absl::OkStatus();
}

absl::Status StorageReader::VerifyRest() {
  NullSink sink;
  for (uint32_t i = 0; i < dict_->storages.size(); ++i) {
    const SourceStorage& info = dict_->storages[i];
    if (!info.crc32 || progress_[i].verified) continue;
    if (info.encoding == SourceStorage::Encoding::kRaw) {
      RETURN_IF_ERROR(VerifyRaw(i));
    } else {
      RETURN_IF_ERROR(InflateTo(*source_, info, &sink));
      progress_[i].verified = true;
    }
  }
  return absl::OkStatus();
}

}  // namespace ballast

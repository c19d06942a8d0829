#include "client/shard_folder.h"

#include <algorithm>
#include <utility>

#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr uint64_t kWritebackStepBytes = 8u << 20;

}  // namespace

std::vector<std::string> NamesOf(const ShardedLayout& layout) {
  std::vector<std::string> names;
  for (const ShardLayout& shard : layout.shards) names.push_back(shard.name);
  if (!layout.index_name.empty()) names.push_back(layout.index_name);
  return names;
}

absl::Status WriteIndex(const ShardedLayout& layout, const AtomicFolder& folder) {
  if (layout.index_name.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                   AtomicFile::Create(folder.PathOf(layout.index_name), false));
  RETURN_IF_ERROR(file->Write(layout.index_text));
  return file->Commit();
}

ShardFolder::ShardFolder(const AtomicFolder* folder, ShardedLayout layout, const Manifest& manifest)
    : folder_(folder), layout_(std::move(layout)) {
  for (const ManifestEntry& entry : manifest.entries) {
    sizes_.push_back(CheckedTensorBytes(entry.spec));
  }
  places_.resize(sizes_.size());
  shards_.resize(layout_.shards.size());
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    uint64_t file_offset = 0;
    for (const Extent& extent : layout_.shards[i].layout.extents) {
      if (extent.kind == Extent::Kind::kTensor) {
        places_[extent.entry].push_back({i, extent.offset, file_offset, extent.size_bytes});
        shards_[i].left_bytes += extent.size_bytes;
      }
      file_offset += extent.size_bytes;
    }
  }
}

absl::Status ShardFolder::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    while (entry_ < sizes_.size() && offset_ == sizes_[entry_]) {
      ++entry_;
      offset_ = 0;
    }
    if (entry_ == sizes_.size()) return absl::DataLossError("more data came than tensors");
    const uint64_t n = std::min<uint64_t>(bytes.size(), sizes_[entry_] - offset_);
    RETURN_IF_ERROR(WriteTensor(entry_, offset_, bytes.substr(0, n)));
    offset_ += n;
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status ShardFolder::WriteTensor(uint32_t entry, uint64_t offset, absl::string_view bytes) {
  for (const Place& place : places_[entry]) {
    const uint64_t begin = std::max(offset, place.tensor_offset);
    const uint64_t end = std::min(offset + bytes.size(), place.tensor_offset + place.size_bytes);
    if (begin >= end) continue;
    RETURN_IF_ERROR(WriteTo(place, begin, bytes.substr(begin - offset, end - begin)));
  }
  return absl::OkStatus();
}

absl::Status ShardFolder::WriteTo(const Place& place, uint64_t offset, absl::string_view bytes) {
  Shard& shard = shards_[place.shard];
  if (shard.file == nullptr) RETURN_IF_ERROR(OpenShard(place.shard));
  RETURN_IF_ERROR(shard.file->WriteAt(place.file_offset + offset - place.tensor_offset, bytes));
  shard.left_bytes -= bytes.size();
  shard.dirty_bytes += bytes.size();
  if (shard.left_bytes == 0) return CloseShard(place.shard);
  if (shard.dirty_bytes >= kWritebackStepBytes) {
    shard.file->StartWriteback(0, layout_.shards[place.shard].layout.size_bytes);
    shard.dirty_bytes = 0;
  }
  return absl::OkStatus();
}

// Creates the file with everything that is not a tensor. Zeros are left as holes: every
// file ends with bytes that are none.
absl::Status ShardFolder::OpenShard(uint32_t shard) {
  const ShardLayout& plan = layout_.shards[shard];
  ASSIGN_OR_RETURN(shards_[shard].file, AtomicFile::Create(folder_->PathOf(plan.name), false));
  uint64_t file_offset = 0;
  for (const Extent& extent : plan.layout.extents) {
    if (extent.kind == Extent::Kind::kLiteral) {
      const absl::string_view literals = plan.layout.literals;
      RETURN_IF_ERROR(shards_[shard].file->WriteAt(
          file_offset, literals.substr(extent.offset, extent.size_bytes)));
    }
    file_offset += extent.size_bytes;
  }
  return absl::OkStatus();
}

absl::Status ShardFolder::CloseShard(uint32_t shard) {
  RETURN_IF_ERROR(shards_[shard].file->Commit());
  shards_[shard].file.reset();
  shards_[shard].done = true;
  return absl::OkStatus();
}

absl::Status ShardFolder::Finish() {
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].done) continue;
    if (shards_[i].left_bytes > 0) {
      return absl::DataLossError("less data came than the tensors need");
    }
    RETURN_IF_ERROR(OpenShard(i));
    RETURN_IF_ERROR(CloseShard(i));
  }
  return WriteIndex(layout_, *folder_);
}

}  // namespace ballast

#include "storage/formats/tensor_source.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "storage/base/status.h"
#include "storage/formats/bool_bytes.h"
#include "storage/formats/buffer_pool.h"
#include "storage/formats/gather.h"
#include "storage/formats/storage_reader.h"
#include "storage/formats/transform.h"

namespace ballast {
namespace {

// Output made at once for a strided entry; bounds memory, and the number of passes
// over the storage of a transposed one.
constexpr uint64_t kPanelBytes = 32 << 20;
// Unused buffers that are kept: one panel, and blocks in flight.
constexpr size_t kPoolBytes = 40 << 20;

class Source : public FileTensorSource {
 public:
  Source(const ByteSource* source, const SourceStateDict* dict, const std::string& spool_dir,
         const Limits& limits)
      : dict_(dict), storages_(source, dict, spool_dir, limits), pool_(kPoolBytes) {}

  absl::StatusOr<Chunk> Read(uint32_t entry, uint64_t offset, uint64_t max_bytes) override {
    RETURN_IF_ERROR(Open(entry));
    if (offset >= size_ || max_bytes == 0) return absl::InternalError("read outside of an entry");
    const uint64_t to_block_end = kBlockBytes - offset % kBlockBytes;
    const uint64_t n = std::min({max_bytes, size_ - offset, to_block_end});
    const SourceEntry& info = dict_->entries[entry];
    absl::StatusOr<Chunk> chunk = direct_ ? ReadDirect(info, offset, n) : FromPanel(offset, n);
    if (!chunk.ok()) return WithContext(chunk.status(), QuotedKey(info.spec.key));
    if (offset + chunk->bytes.size() == size_) storages_.EntryDone(info.storage);
    return chunk;
  }

  bool RawRange(uint32_t entry, uint64_t* source_offset) const override {
    if (entry >= dict_->entries.size()) return false;
    const SourceEntry& info = dict_->entries[entry];
    const SourceStorage& storage = dict_->storages[info.storage];
    if (storage.encoding != SourceStorage::Encoding::kRaw || info.spec.dtype == DType::kBool ||
        !IsDirect(info)) {
      return false;
    }
    *source_offset = storage.offset_bytes + info.offset_bytes;
    return true;
  }

  absl::Status VerifyRest() override { return storages_.VerifyRest(); }

 private:
  // True if the entry's bytes lie in its storage as they are wanted.
  bool IsDirect(const SourceEntry& entry) const {
    return !NeedsTransform(entry, dict_->storages[entry.storage].big_endian) &&
           (entry.strides.empty() || CheckedTensorBytes(entry.spec) == 0 ||
            Gather(entry).contiguous());
  }

  absl::Status Open(uint32_t entry) {
    if (entry == current_) return absl::OkStatus();
    if (entry >= dict_->entries.size()) return absl::InternalError("no such entry");
    const SourceEntry& info = dict_->entries[entry];
    panel_ = Chunk();
    panel_begin_ = 0;
    gather_.reset();
    size_ = CheckedTensorBytes(info.spec);
    direct_ = IsDirect(info);
    if (!direct_ && InfoOf(info.spec.dtype).bits % 8 != 0) {
      return absl::InternalError("strided elements of less than a byte");
    }
    if (!direct_ && size_ > 0) gather_.emplace(info);
    current_ = entry;
    return absl::OkStatus();
  }

  absl::StatusOr<Chunk> ReadDirect(const SourceEntry& entry, uint64_t offset, uint64_t n) {
    PooledBuffer buffer = pool_.Get(n);
    RETURN_IF_ERROR(storages_.ReadAt(entry.storage, entry.offset_bytes + offset, buffer.bytes));
    Chunk chunk{absl::string_view(buffer.bytes.data(), n), std::move(buffer.owner)};
    if (entry.spec.dtype == DType::kBool) {
      RETURN_IF_ERROR(CheckBoolBytes(entry.spec.key, chunk.bytes, offset));
    }
    return chunk;
  }

  absl::StatusOr<Chunk> FromPanel(uint64_t offset, uint64_t n) {
    const bool in_panel = offset >= panel_begin_ && offset - panel_begin_ < panel_.bytes.size();
    if (!in_panel) RETURN_IF_ERROR(MakePanel(offset));
    return panel_.Sub(offset - panel_begin_, n);
  }

  absl::Status MakePanel(uint64_t offset) {
    const SourceEntry& entry = dict_->entries[current_];
    panel_ = Chunk();
    // Bytes that are only transformed need no more memory than a block.
    const uint64_t max_bytes = gather_->contiguous() ? kBlockBytes : kPanelBytes;
    const Gather::Panel where = gather_->PanelAt(offset, max_bytes);
    PooledBuffer buffer = pool_.Get(where.size_bytes);
    const auto read = [&](uint64_t at, absl::Span<char> out) {
      return storages_.ReadAt(entry.storage, at, out);
    };
    RETURN_IF_ERROR(gather_->Fill(where, max_bytes, read, buffer.bytes.data()));
    Transform(entry, dict_->storages[entry.storage].big_endian, buffer.bytes);
    if (entry.spec.dtype == DType::kBool) {
      RETURN_IF_ERROR(CheckBoolBytes(entry.spec.key, {buffer.bytes.data(), buffer.bytes.size()},
                                     where.begin_bytes));
    }
    panel_ = Chunk{{buffer.bytes.data(), buffer.bytes.size()}, std::move(buffer.owner)};
    panel_begin_ = where.begin_bytes;
    return absl::OkStatus();
  }

  const SourceStateDict* dict_;  // Must outlive this.
  StorageReader storages_;
  BufferPool pool_;

  // The entry read last.
  uint32_t current_ = UINT32_MAX;
  uint64_t size_ = 0;
  bool direct_ = false;
  std::optional<Gather> gather_;  // if not direct
  Chunk panel_;                   // made last
  uint64_t panel_begin_ = 0;      // in the entry
};

}  // namespace

std::unique_ptr<FileTensorSource> MakeFileTensorSource(const ByteSource* source,
                                                       const SourceStateDict* dict,
                                                       const std::string& spool_dir,
                                                       const Limits& limits) {
  return std::make_unique<Source>(source, dict, spool_dir, limits);
}

}  // namespace ballast

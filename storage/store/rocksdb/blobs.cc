#include "storage/store/rocksdb/blobs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/rocksdb/batch.h"

namespace ballast {
namespace {

// A pinned value. The cache is kept too, so that a chunk may outlive the engine.
struct Pin {
  std::shared_ptr<rocksdb::Cache> cache;
  rocksdb::PinnableSlice value;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BlobBatch>> RocksBlobs::NewBatch(Epoch epoch) {
  return NewRocksBatch(&context_, epoch);
}

// nullopt: nothing is stored there.
absl::StatusOr<std::optional<Chunk>> RocksBlobs::Read(const Digest& digest,
                                                      const BlockEntry& entry) {
  Database& database = *context_.database;
  const bool in_file = entry.location.where == BlockLocation::Where::kFile;
  auto pin = std::make_shared<Pin>();
  pin->cache = database.block_cache();
  const rocksdb::Status status = database.db()->Get(
      rocksdb::ReadOptions(), in_file ? database.blocks() : database.small(),
      BlockKey(entry.location.container, entry.location.sequence, digest), &pin->value);
  if (status.IsNotFound()) return std::nullopt;
  RETURN_IF_ERROR(FromRocks(status, absl::StrCat("block ", digest.Hex())));
  const absl::string_view bytes = ToView(pin->value);
  if (bytes.size() != entry.info.size_bytes) {
    return absl::DataLossError(absl::StrCat("block ", digest.Hex(), ": size is ", bytes.size(),
                                            " bytes, want ", entry.info.size_bytes));
  }
  return Chunk{bytes, std::move(pin)};
}

absl::StatusOr<Chunk> RocksBlobs::Get(const Digest& digest) {
  ASSIGN_OR_RETURN(auto entry, context_.index->Find(digest));
  while (entry.has_value()) {
    ASSIGN_OR_RETURN(auto chunk, Read(digest, *entry));
    if (chunk.has_value()) return *std::move(chunk);
    // It was removed or moved to another file since the index was read, or it is lost.
    ASSIGN_OR_RETURN(auto again, context_.index->Find(digest));
    if (again.has_value() && again->location == entry->location) {
      return absl::DataLossError(absl::StrCat("block ", digest.Hex(), ": is missing from ",
                                              "container ", entry->location.container));
    }
    entry = again;
  }
  return absl::NotFoundError(absl::StrCat("block ", digest.Hex(), ": no such block"));
}

absl::StatusOr<std::vector<std::optional<BlobInfo>>> RocksBlobs::Touch(
    absl::Span<const Digest> digests, Epoch epoch) {
  ASSIGN_OR_RETURN(auto infos, context_.index->Raise(digests, epoch));
  RETURN_IF_ERROR(context_.database->Sync());
  return infos;
}

absl::StatusOr<uint64_t> RocksBlobs::RemoveIfOlder(absl::Span<const Digest> digests, Epoch epoch) {
  ASSIGN_OR_RETURN(const BlockIndex::Removed removed,
                   context_.index->RemoveIfOlder(digests, epoch));
  RETURN_IF_ERROR(context_.database->Sync());
  context_.step("blocks removed");
  for (const uint64_t file : removed.dead_files) RETURN_IF_ERROR(context_.DropFile(file));
  RewriteThinFiles();
  return removed.blocks;
}

// What cannot be rewritten now (a full disk, a damaged block) stays as it is and is
// tried again after the next removal; nothing is lost by it but space.
void RocksBlobs::RewriteThinFiles() {
  std::lock_guard<std::mutex> lock(rewrite_mutex_);
  for (auto file = context_.index->NextThinFile(0); file.has_value();
       file = context_.index->NextThinFile(*file)) {
    RewriteFile(context_, *file).IgnoreError();
  }
}

absl::StatusOr<std::vector<Digest>> RocksBlobs::Scan(uint32_t shard, std::string* cursor) {
  return context_.index->Scan(shard, cursor);
}

}  // namespace ballast

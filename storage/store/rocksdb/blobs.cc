#include "storage/store/rocksdb/blobs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "rocksdb/iterator.h"
#include "storage/base/crc32.h"
#include "storage/base/limits.h"
#include "storage/base/status.h"
#include "storage/store/rocksdb/batch.h"

namespace ballast {
namespace {

// To begin a walk looks into every file of a family, and past the cache.
constexpr size_t kWorthWalking = 8;

// A pinned value. The cache is kept too, so that a chunk may outlive the engine.
struct Pin {
  std::shared_ptr<rocksdb::Cache> cache;
  rocksdb::PinnableSlice value;
};

absl::Status WrongBytes(const Digest& digest) {
  return absl::DataLossError(
      absl::StrCat("block ", digest.Hex(), ": the stored bytes fail their SHA-256"));
}

}  // namespace

// Blocks that were pushed together follow each other in their container, so the next one is
// usually one step away: a fraction of the cost of looking it up in the index and then in
// the file. The digest in the key tells whether it is the right one.
class BlockWalk {
 public:
  explicit BlockWalk(Database* database) : use_(database) {}

  // Appends the block if it is the next one; false if it is not, or cannot be read here.
  bool Next(const Digest& digest, std::string* out) {
    if (iterator_ == nullptr || !iterator_->Valid()) return false;
    iterator_->Next();
    ++at_.sequence;
    return Take(digest, out);
  }

  // Appends the block if it is at its place; false if it is not (any more), or cannot be read.
  bool Seek(const BlockLocation& place, const Digest& digest, std::string* out) {
    if (iterator_ == nullptr || place.where != at_.where) {
      rocksdb::ReadOptions options;
      options.fill_cache = false;
      iterator_.reset(use_->NewIterator(
          options, use_.family(place.where == BlockLocation::Where::kFile ? Family::kBlocks
                                                                          : Family::kSmall)));
    }
    at_ = place;
    iterator_->Seek(BlockKey(place.container, place.sequence, digest));
    return Take(digest, out);
  }

 private:
  // What is damaged here may have a new copy elsewhere: whoever asks looks there.
  bool Take(const Digest& digest, std::string* out) {
    if (!iterator_->Valid()) {
      iterator_->status().PermitUncheckedError();
      return false;
    }
    if (iterator_->key() != rocksdb::Slice(BlockKey(at_.container, at_.sequence, digest))) {
      return false;
    }
    out->append(iterator_->value().data(), iterator_->value().size());
    return true;
  }

  const Database::Use use_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  BlockLocation at_;
};

absl::StatusOr<std::unique_ptr<BlobBatch>> RocksBlobs::NewBatch(Epoch epoch) {
  return NewRocksBatch(&context_, epoch);
}

// nullopt: nothing is stored there.
absl::StatusOr<std::optional<Chunk>> RocksBlobs::Read(const Digest& digest, const BlockEntry& entry,
                                                      const rocksdb::ReadOptions& options) {
  Database& database = *context_.database;
  const bool in_file = entry.location.where == BlockLocation::Where::kFile;
  auto pin = std::make_shared<Pin>();
  pin->cache = database.block_cache();
  const rocksdb::Status status = database.Get(
      in_file ? Family::kBlocks : Family::kSmall,
      BlockKey(entry.location.container, entry.location.sequence, digest), &pin->value, options);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return FromRocks(status, absl::StrCat("block ", digest.Hex()));
  const absl::string_view bytes = ToView(pin->value);
  if (bytes.size() != entry.info.size_bytes) {
    return absl::DataLossError(absl::StrCat("block ", digest.Hex(), ": size is ", bytes.size(),
                                            " bytes, want ", entry.info.size_bytes));
  }
  return Chunk{bytes, std::move(pin)};
}

absl::StatusOr<RocksBlobs::Stored> RocksBlobs::Fetch(const Digest& digest,
                                                     const rocksdb::ReadOptions& options) {
  ASSIGN_OR_RETURN(auto entry, context_.index->Find(digest));
  while (entry.has_value()) {
    ASSIGN_OR_RETURN(auto chunk, Read(digest, *entry, options));
    if (chunk.has_value()) return Stored{*std::move(chunk), entry->info};
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

absl::StatusOr<Chunk> RocksBlobs::Get(const Digest& digest) {
  const bool suspect = context_.index->IsDamaged(digest);
  auto stored = Fetch(digest, rocksdb::ReadOptions());
  if (stored.ok() && suspect && Sha256Of(stored->chunk.bytes) != digest) {
    return WrongBytes(digest);
  }
  if (stored.ok()) return std::move(stored->chunk);
  if (absl::IsDataLoss(stored.status())) Remember(digest, BlobCheck::State::kUnreadable);
  return stored.status();
}

absl::StatusOr<BlobCheck> RocksBlobs::Check(const Digest& digest) {
  using State = BlobCheck::State;
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const auto stored = Fetch(digest, options);
  if (absl::IsNotFound(stored.status())) return BlobCheck{State::kMissing, 0, "no such block"};
  BlobCheck check;
  if (!stored.ok()) {
    // Whether the checksum fails or the disk: it cannot be read.
    check = {State::kUnreadable, 0, Printable(stored.status().message())};
  } else if (check.size_bytes = stored->chunk.bytes.size();
             Sha256Of(stored->chunk.bytes) != digest) {
    check.state = State::kWrongBytes;
    check.problem = std::string(WrongBytes(digest).message());
  } else if (Crc32(stored->chunk.bytes) != stored->info.crc32) {
    check.state = State::kWrongBytes;
    check.problem = absl::StrCat("block ", digest.Hex(), ": the index has a wrong CRC-32 of it");
  } else {
    check.state = State::kSound;
  }
  Remember(digest, check.state);
  return check;
}

// Damage is told even if it cannot be remembered: then it will be found again.
void RocksBlobs::Remember(const Digest& digest, BlobCheck::State state) {
  BlockIndex& index = *context_.index;
  if (state != BlobCheck::State::kSound) {
    index.MarkDamaged(digest, state == BlobCheck::State::kWrongBytes).IgnoreError();
  } else if (index.IsDamaged(digest)) {
    index.MarkSound(digest).IgnoreError();
  }
}

absl::Status RocksBlobs::AppendBlock(const Digest& digest, BlockWalk* walk, std::string* out) {
  if (context_.index->trusts_keys() && !context_.index->IsDamaged(digest)) {
    if (walk->Next(digest, out)) return absl::OkStatus();
    const auto entry = context_.index->Find(digest);
    const bool known = entry.ok() && entry->has_value();
    if (known && walk->Seek((*entry)->location, digest, out)) return absl::OkStatus();
  }
  // Gone, moved meanwhile, or damaged: Get knows how to tell.
  ASSIGN_OR_RETURN(const Chunk chunk, Get(digest));
  out->append(chunk.bytes.data(), chunk.bytes.size());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Chunk>> RocksBlobs::GetMany(absl::Span<const Digest> digests) {
  if (digests.size() < kWorthWalking) return BlobStore::GetMany(digests);
  const auto bytes = std::make_shared<std::string>();
  bytes->reserve(kBlockBytes);
  BlockWalk walk(context_.database);
  std::vector<size_t> ends;
  ends.reserve(digests.size());
  for (const Digest& digest : digests) {
    RETURN_IF_ERROR(AppendBlock(digest, &walk, bytes.get()));
    ends.push_back(bytes->size());
  }
  std::vector<Chunk> chunks;
  chunks.reserve(digests.size());
  size_t begin = 0;
  for (const size_t end : ends) {
    chunks.push_back(Chunk{absl::string_view(*bytes).substr(begin, end - begin), bytes});
    begin = end;
  }
  return chunks;
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
  if (removed.blocks > 0) removed_ = true;
  return removed.blocks;
}

// Whole files went when their last block did. What is left: files of which little is
// alive, the log, which holds small blocks until they are flushed, and small blocks and
// index entries that only a compaction drops.
absl::Status RocksBlobs::ReturnSpace() {
  RewriteThinFiles();
  if (!removed_.exchange(false)) return absl::OkStatus();
  Database& database = *context_.database;
  const auto compact = [&]() -> absl::Status {
    RETURN_IF_ERROR(database.Flush());
    RETURN_IF_ERROR(database.DropDeleted(Family::kSmall));
    return database.DropDeleted(Family::kIndex);
  };
  const absl::Status status = compact();
  if (!status.ok()) removed_ = true;
  return status;
}

// What cannot be rewritten now (a full disk, a damaged block) stays as it is and is
// tried again the next time; nothing is lost by it but space.
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

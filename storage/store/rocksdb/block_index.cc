#include "storage/store/rocksdb/block_index.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "rocksdb/write_batch.h"
#include "storage/base/limits.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr char kBlockPrefix = 'b';
constexpr char kFilePrefix = 'f';
constexpr char kDamagedPrefix = 'd';
constexpr char kCrcPrefix = 'c';
constexpr absl::string_view kCrcsKey = "C";
constexpr absl::string_view kWrongBytesKey = "w";
constexpr absl::string_view kCounterKey = "n";
constexpr absl::string_view kSmallKey = "s";
constexpr uint64_t kReserveCount = 64;
constexpr size_t kEntryBytes = 29;
constexpr size_t kFileUseBytes = 24;
constexpr size_t kTotalsBytes = 16;
constexpr size_t kScanPage = 1024;
constexpr size_t kCrcsAtOnce = 10'000;  // written

void PutLittleEndian(uint64_t value, size_t width, std::string* out) {
  for (size_t i = 0; i < width; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

void PutBigEndian(uint64_t value, size_t width, std::string* out) {
  for (size_t i = width; i-- > 0;) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t LittleEndianAt(absl::string_view bytes, size_t offset, size_t width) {
  uint64_t value = 0;
  for (size_t i = width; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  return value;
}

std::string IndexKey(const Digest& digest) {
  return absl::StrCat(absl::string_view(&kBlockPrefix, 1), digest.View());
}

std::string DamagedKey(const Digest& digest) {
  return absl::StrCat(absl::string_view(&kDamagedPrefix, 1), digest.View());
}

// What the keys of all blocks with a CRC begin with.
std::string CrcPrefix(uint32_t crc32) {
  std::string key(1, kCrcPrefix);
  PutBigEndian(crc32, 4, &key);
  return key;
}

std::string CrcKey(uint32_t crc32, const Digest& digest) {
  return absl::StrCat(CrcPrefix(crc32), digest.View());
}

std::string FileKey(uint64_t file) {
  std::string key(1, kFilePrefix);
  PutBigEndian(file, 8, &key);
  return key;
}

std::string EncodeEntry(const BlockEntry& entry) {
  std::string out;
  PutLittleEndian(static_cast<uint8_t>(entry.location.where), 1, &out);
  PutLittleEndian(entry.location.container, 8, &out);
  PutLittleEndian(entry.location.sequence, 4, &out);
  PutLittleEndian(entry.info.size_bytes, 4, &out);
  PutLittleEndian(entry.info.crc32, 4, &out);
  PutLittleEndian(entry.info.epoch, 8, &out);
  return out;
}

absl::StatusOr<BlockEntry> DecodeEntry(absl::string_view bytes) {
  if (bytes.size() != kEntryBytes || static_cast<uint8_t>(bytes[0]) > 1) {
    return absl::DataLossError(
        absl::StrCat("index: an entry has ", bytes.size(), " bytes, want ", kEntryBytes));
  }
  BlockEntry entry;
  entry.location.where = static_cast<BlockLocation::Where>(bytes[0]);
  entry.location.container = LittleEndianAt(bytes, 1, 8);
  entry.location.sequence = static_cast<uint32_t>(LittleEndianAt(bytes, 9, 4));
  entry.info.size_bytes = LittleEndianAt(bytes, 13, 4);
  entry.info.crc32 = static_cast<uint32_t>(LittleEndianAt(bytes, 17, 4));
  entry.info.epoch = LittleEndianAt(bytes, 21, 8);
  return entry;
}

}  // namespace

std::string ContainerPrefix(uint64_t container) {
  std::string key;
  PutBigEndian(container, 8, &key);
  return key;
}

std::string BlockKey(uint64_t container, uint32_t sequence, const Digest& digest) {
  std::string key;
  key.reserve(12 + Digest::kBytes);
  PutBigEndian(container, 8, &key);
  PutBigEndian(sequence, 4, &key);
  key.append(digest.View().data(), Digest::kBytes);
  return key;
}

uint64_t ContainerOfKey(absl::string_view key) {
  uint64_t container = 0;
  for (size_t i = 0; i < std::min<size_t>(8, key.size()); ++i) {
    container = container << 8 | static_cast<uint8_t>(key[i]);
  }
  return container;
}

absl::StatusOr<Digest> DigestOfKey(absl::string_view key) {
  if (key.size() != 12 + Digest::kBytes) {
    return absl::DataLossError(
        absl::StrCat("block file: a key has ", key.size(), " bytes, want ", 12 + Digest::kBytes));
  }
  return Digest::FromBytes(key.substr(12));
}

// One read-modify-write of the index under its mutex: entries and file uses are
// gathered, written as one batch, and the files' uses taken over when it succeeded.
class BlockIndex::Change {
 public:
  explicit Change(BlockIndex* index) : index_(index), lock_(index->mutex_), small_(index->small_) {}

  void Set(const Digest& digest, const BlockEntry& entry) {
    Put(IndexKey(digest), EncodeEntry(entry));
  }
  // A block that was not there.
  void Add(const Digest& digest, const BlockEntry& entry) {
    Set(digest, entry);
    PutCrc(digest, entry.info);
  }
  void PutCrc(const Digest& digest, const BlobInfo& info) {
    if (info.size_bytes >= kCrcKnownBytes) Put(CrcKey(info.crc32, digest), "");
  }
  void Put(const std::string& key, const std::string& value) {
    Note(batch_.Put(index_->database_->use().family(Family::kIndex), key, value));
  }
  void PutSmall(const std::string& key, const std::string& value) {
    Note(batch_.Put(index_->database_->use().family(Family::kSmall), key, value));
    ++small_.blocks;
    small_.bytes += value.size();
  }
  void SetDamaged(const Digest& digest, bool damaged) {
    if (damaged) {
      Put(DamagedKey(digest), "1");
    } else {
      Note(batch_.Delete(index_->database_->use().family(Family::kIndex), DamagedKey(digest)));
    }
    marks_[digest] = damaged;
  }
  // Makes room for a new copy of a block that is damaged, if it is.
  absl::Status EraseDamaged(const Digest& digest, Epoch* epoch) {
    if (!index_->IsDamaged(digest)) return absl::OkStatus();
    const auto old = index_->Find(digest);
    // An entry that is damaged itself: the new one takes its place.
    if (absl::IsDataLoss(old.status())) {
      SetDamaged(digest, false);
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(old.status());
    if (!old->has_value()) return absl::OkStatus();
    *epoch = std::max(*epoch, (*old)->info.epoch);
    Erase(digest, **old);
    return absl::OkStatus();
  }
  // Forgets a block and takes it out of its file's use.
  void Erase(const Digest& digest, const BlockEntry& entry) {
    if (index_->IsDamaged(digest)) SetDamaged(digest, false);
    Note(batch_.Delete(index_->database_->use().family(Family::kIndex), IndexKey(digest)));
    if (entry.info.size_bytes >= kCrcKnownBytes) {
      Note(batch_.Delete(index_->database_->use().family(Family::kIndex),
                         CrcKey(entry.info.crc32, digest)));
    }
    if (entry.location.where == BlockLocation::Where::kSmall) {
      Note(batch_.Delete(index_->database_->use().family(Family::kSmall),
                         BlockKey(entry.location.container, entry.location.sequence, digest)));
      small_.blocks -= std::min<uint64_t>(small_.blocks, 1);
      small_.bytes -= std::min(small_.bytes, entry.info.size_bytes);
      return;
    }
    FileUse& use = Use(entry.location.container);
    use.live_blocks -= std::min<uint64_t>(use.live_blocks, 1);
    use.live_bytes -= std::min(use.live_bytes, entry.info.size_bytes);
  }
  void RaiseEpoch(const Digest& digest, BlockEntry entry, Epoch epoch) {
    if (entry.info.epoch >= epoch) return;
    entry.info.epoch = epoch;
    Set(digest, entry);
  }
  FileUse& Use(uint64_t file) {
    const auto known = index_->files_.find(file);
    return uses_.try_emplace(file, known == index_->files_.end() ? FileUse{} : known->second)
        .first->second;
  }
  bool empty() const { return !changed_ && uses_.empty(); }

  // Files whose last block went are forgotten and added to `dead`, if given.
  absl::Status Write(absl::string_view where, std::vector<uint64_t>* dead, bool sync = false) {
    for (const auto& [file, use] : uses_) {
      if (use.live_blocks > 0) {
        std::string value;
        for (const uint64_t n : {use.live_blocks, use.live_bytes, use.total_bytes}) {
          PutLittleEndian(n, 8, &value);
        }
        Put(FileKey(file), value);
      } else {
        Note(batch_.Delete(index_->database_->use().family(Family::kIndex), FileKey(file)));
        if (dead != nullptr) dead->push_back(file);
      }
    }
    if (small_ != index_->small_) {
      std::string value;
      for (const uint64_t n : {small_.blocks, small_.bytes}) PutLittleEndian(n, 8, &value);
      Put(std::string(kSmallKey), value);
    }
    RETURN_IF_ERROR(FromRocks(status_, where));
    if (!changed_) return absl::OkStatus();
    RETURN_IF_ERROR(index_->database_->Write(&batch_, sync, where));
    TakeOver();
    return absl::OkStatus();
  }

 private:
  void TakeOver() {
    for (const auto& [file, use] : uses_) {
      if (use.live_blocks > 0) {
        index_->files_[file] = use;
      } else {
        index_->files_.erase(file);
      }
    }
    index_->small_ = small_;
    if (marks_.empty()) return;
    const std::lock_guard<std::mutex> lock(index_->damaged_mutex_);
    for (const auto& [digest, damaged] : marks_) {
      if (damaged) {
        index_->damaged_.insert(digest);
      } else {
        index_->damaged_.erase(digest);
      }
    }
    index_->damaged_count_ = index_->damaged_.size();
  }

  void Note(const rocksdb::Status& status) {
    changed_ = true;
    if (status_.ok()) status_ = status;
  }

  BlockIndex* const index_;
  const std::lock_guard<std::mutex> lock_;
  rocksdb::WriteBatch batch_;
  rocksdb::Status status_;
  bool changed_ = false;
  std::map<uint64_t, FileUse> uses_;
  std::map<Digest, bool> marks_;  // of damage, that change
  BlockTotals small_;
};

absl::StatusOr<std::unique_ptr<BlockIndex>> BlockIndex::Open(Database* database) {
  std::unique_ptr<BlockIndex> index(new BlockIndex(database));
  RETURN_IF_ERROR(index->Load(), "opening the index");
  return index;
}

absl::Status BlockIndex::Load() {
  std::string counter;
  const rocksdb::Status status = database_->Get(Family::kIndex, ToSlice(kCounterKey), &counter);
  if (status.ok() && counter.size() == 8) {
    next_container_ = reserved_ = LittleEndianAt(counter, 0, 8);
  } else if (status.ok()) {
    return absl::DataLossError("the container counter is damaged");
  } else if (!status.IsNotFound()) {
    return FromRocks(status, "reading the container counter");
  }
  RETURN_IF_ERROR(LoadFiles());
  RETURN_IF_ERROR(LoadDamaged());
  LoadCrcs();
  return LoadSmall();
}

absl::Status BlockIndex::LoadDamaged() {
  RETURN_IF_ERROR(database_->ForEach(Family::kIndex, absl::string_view(&kDamagedPrefix, 1), "",
                                     [&](absl::string_view key, absl::string_view) {
                                       const auto digest = Digest::FromBytes(key.substr(1));
                                       if (digest.ok()) damaged_.insert(*digest);
                                       return true;
                                     }));
  damaged_count_ = damaged_.size();
  std::string value;
  const rocksdb::Status status = database_->Get(Family::kIndex, ToSlice(kWrongBytesKey), &value);
  trusts_keys_ = status.IsNotFound();
  return status.IsNotFound() ? absl::OkStatus() : FromRocks(status, "reading a mark of damage");
}

// A store that was written before CRCs were indexed gets all of them, and then the mark. One that
// cannot be written now is used without them.
void BlockIndex::LoadCrcs() {
  std::string mark;
  const rocksdb::Status status = database_->Get(Family::kIndex, ToSlice(kCrcsKey), &mark);
  knows_crcs_ = status.ok() || (status.IsNotFound() && IndexCrcs().ok());
}

absl::Status BlockIndex::IndexCrcs() {
  std::string after;
  bool more = true;
  while (more) {
    more = false;
    size_t seen = 0;
    Change change(this);
    RETURN_IF_ERROR(database_->ForEach(
        Family::kIndex, absl::string_view(&kBlockPrefix, 1), after,
        [&](absl::string_view key, absl::string_view value) {
          more = seen++ == kCrcsAtOnce;
          if (more) return false;
          after = std::string(key);
          const auto digest = Digest::FromBytes(key.substr(1));
          const auto entry = DecodeEntry(value);
          // What is damaged is found when it is used.
          if (digest.ok() && entry.ok()) change.PutCrc(*digest, entry->info);
          return true;
        }));
    RETURN_IF_ERROR(change.Write("indexing CRCs", nullptr));
  }
  Change change(this);
  change.Put(std::string(kCrcsKey), "1");
  return change.Write("indexing CRCs", nullptr);
}

bool BlockIndex::IsDamaged(const Digest& digest) {
  if (damaged_count_ == 0) return false;
  const std::lock_guard<std::mutex> lock(damaged_mutex_);
  return damaged_.count(digest) != 0;
}

absl::Status BlockIndex::MarkDamaged(const Digest& digest, bool wrong_bytes) {
  Change change(this);
  const bool new_mark = !IsDamaged(digest) && damaged_count_ < kDamagedMax;
  if (new_mark) change.SetDamaged(digest, true);
  if (wrong_bytes && trusts_keys_) {
    change.Put(std::string(kWrongBytesKey), "1");
    trusts_keys_ = false;
  }
  return change.Write("remembering damage", nullptr, /*sync=*/true);
}

absl::Status BlockIndex::MarkSound(const Digest& digest) {
  Change change(this);
  if (IsDamaged(digest)) change.SetDamaged(digest, false);
  return change.Write("forgetting damage", nullptr, /*sync=*/true);
}

absl::StatusOr<std::optional<BlockEntry>> BlockIndex::FindSound(const Digest& digest) {
  if (IsDamaged(digest)) return std::nullopt;
  return Find(digest);
}

absl::Status BlockIndex::LoadFiles() {
  bool sound = true;
  RETURN_IF_ERROR(database_->ForEach(Family::kIndex, absl::string_view(&kFilePrefix, 1), "",
                                     [&](absl::string_view key, absl::string_view value) {
                                       sound = key.size() == 9 && value.size() == kFileUseBytes;
                                       if (!sound) return false;
                                       files_[ContainerOfKey(key.substr(1))] = {
                                           LittleEndianAt(value, 0, 8), LittleEndianAt(value, 8, 8),
                                           LittleEndianAt(value, 16, 8)};
                                       return true;
                                     }));
  return sound ? absl::OkStatus() : absl::DataLossError("a block file's use is damaged");
}

absl::Status BlockIndex::LoadSmall() {
  std::string value;
  const rocksdb::Status status = database_->Get(Family::kIndex, ToSlice(kSmallKey), &value);
  if (status.IsNotFound()) {
    ASSIGN_OR_RETURN(small_, Count([](const BlockEntry& entry) {
                       return entry.location.where == BlockLocation::Where::kSmall;
                     }));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(FromRocks(status, "reading the count of small blocks"));
  if (value.size() != kTotalsBytes) {
    return absl::DataLossError("the count of small blocks is damaged");
  }
  small_ = {LittleEndianAt(value, 0, 8), LittleEndianAt(value, 8, 8)};
  return absl::OkStatus();
}

absl::StatusOr<BlockTotals> BlockIndex::Count(
    const std::function<bool(const BlockEntry&)>& counts) {
  BlockTotals totals;
  absl::Status sound;
  RETURN_IF_ERROR(database_->ForEach(Family::kIndex, absl::string_view(&kBlockPrefix, 1), "",
                                     [&](absl::string_view, absl::string_view value) {
                                       const absl::StatusOr<BlockEntry> entry = DecodeEntry(value);
                                       sound = entry.status();
                                       if (!sound.ok()) return false;
                                       if (!counts(*entry)) return true;
                                       ++totals.blocks;
                                       totals.bytes += entry->info.size_bytes;
                                       return true;
                                     }));
  if (!sound.ok()) return sound;
  return totals;
}

absl::StatusOr<BlockTotals> BlockIndex::CountBlocks() {
  return Count([](const BlockEntry&) { return true; });
}

BlockTotals BlockIndex::totals() {
  std::lock_guard<std::mutex> lock(mutex_);
  BlockTotals totals = small_;
  for (const auto& [file, use] : files_) {
    totals.blocks += use.live_blocks;
    totals.bytes += use.live_bytes;
  }
  return totals;
}

uint64_t BlockIndex::dead_bytes() {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [file, use] : files_) bytes += use.total_bytes - use.live_bytes;
  return bytes;
}

absl::StatusOr<std::optional<BlockEntry>> BlockIndex::Find(const Digest& digest) {
  rocksdb::PinnableSlice value;
  const rocksdb::Status status = database_->Get(Family::kIndex, IndexKey(digest), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return FromRocks(status, absl::StrCat("index entry of block ", digest.Hex()));
  ASSIGN_OR_RETURN(const BlockEntry entry, DecodeEntry(ToView(value)),
                   absl::StrCat("block ", digest.Hex()));
  return entry;
}

// Each CRC is looked up once, in the order of the keys.
absl::StatusOr<std::vector<bool>> BlockIndex::HasCrcs(absl::Span<const uint32_t> crcs,
                                                      const BlobStore::DigestFilter& counts) {
  if (!knows_crcs_) return absl::FailedPreconditionError("the CRCs of blocks are not indexed");
  std::vector<size_t> order(crcs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return crcs[a] < crcs[b]; });
  const Database::Use use(database_);
  const std::unique_ptr<rocksdb::Iterator> at(
      use->NewIterator(rocksdb::ReadOptions(), use.family(Family::kIndex)));
  std::vector<bool> has(crcs.size());
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && crcs[order[i]] == crcs[order[i - 1]]) {
      has[order[i]] = has[order[i - 1]];
      continue;
    }
    const std::string prefix = CrcPrefix(crcs[order[i]]);
    bool found = false;
    for (at->Seek(prefix); !found && at->Valid() && at->key().starts_with(prefix); at->Next()) {
      ASSIGN_OR_RETURN(const Digest digest,
                       Digest::FromBytes(ToView(at->key()).substr(prefix.size())),
                       "a CRC in the index");
      found = counts(digest);
    }
    RETURN_IF_ERROR(FromRocks(at->status(), "looking up CRCs"));
    has[order[i]] = found;
  }
  return has;
}

absl::StatusOr<uint64_t> BlockIndex::NewContainer() {
  Change change(this);
  if (next_container_ == reserved_) {
    // Not synced: an index entry that names a container follows this in the log.
    std::string value;
    PutLittleEndian(reserved_ + kReserveCount, 8, &value);
    change.Put(std::string(kCounterKey), value);
    RETURN_IF_ERROR(change.Write("reserving containers", nullptr));
    reserved_ += kReserveCount;
  }
  return next_container_++;
}

absl::StatusOr<std::vector<uint64_t>> BlockIndex::AddFile(uint64_t file,
                                                          absl::Span<const WrittenBlock> blocks,
                                                          Epoch epoch) {
  Change change(this);
  FileUse use;
  for (const WrittenBlock& block : blocks) {
    use.total_bytes += block.size_bytes;
    ASSIGN_OR_RETURN(const auto known, FindSound(block.digest));
    if (known.has_value()) {
      change.RaiseEpoch(block.digest, *known, epoch);
      continue;
    }
    Epoch highest = epoch;
    RETURN_IF_ERROR(change.EraseDamaged(block.digest, &highest));
    change.Add(block.digest, {{BlockLocation::Where::kFile, file, block.sequence},
                              {block.size_bytes, block.crc32, highest}});
    ++use.live_blocks;
    use.live_bytes += block.size_bytes;
  }
  std::vector<uint64_t> dead;
  if (use.live_blocks > 0) {
    change.Use(file) = use;
  } else {
    dead.push_back(file);
  }
  RETURN_IF_ERROR(change.Write("indexing a block file", &dead));
  return dead;
}

absl::StatusOr<std::vector<uint64_t>> BlockIndex::AddSmall(uint64_t container,
                                                           absl::Span<const WrittenBlock> blocks,
                                                           absl::Span<const std::string> bytes,
                                                           Epoch epoch) {
  Change change(this);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const WrittenBlock& block = blocks[i];
    ASSIGN_OR_RETURN(const auto known, FindSound(block.digest));
    if (known.has_value()) {
      change.RaiseEpoch(block.digest, *known, epoch);
      continue;
    }
    Epoch highest = epoch;
    RETURN_IF_ERROR(change.EraseDamaged(block.digest, &highest));
    change.PutSmall(BlockKey(container, block.sequence, block.digest), bytes[i]);
    change.Add(block.digest, {{BlockLocation::Where::kSmall, container, block.sequence},
                              {block.size_bytes, block.crc32, highest}});
  }
  std::vector<uint64_t> dead;
  RETURN_IF_ERROR(change.Write("writing small blocks", &dead));
  return dead;
}

absl::StatusOr<std::vector<std::optional<BlobInfo>>> BlockIndex::Raise(
    absl::Span<const Digest> digests, Epoch epoch) {
  std::vector<std::optional<BlobInfo>> infos(digests.size());
  Change change(this);
  for (size_t i = 0; i < digests.size(); ++i) {
    ASSIGN_OR_RETURN(const auto known, FindSound(digests[i]));
    if (!known.has_value()) continue;
    change.RaiseEpoch(digests[i], *known, epoch);
    infos[i] = known->info;
    infos[i]->epoch = std::max(infos[i]->epoch, epoch);
  }
  RETURN_IF_ERROR(change.Write("raising epochs", nullptr));
  return infos;
}

absl::StatusOr<BlockIndex::Removed> BlockIndex::RemoveIfOlder(absl::Span<const Digest> digests,
                                                              Epoch epoch) {
  const std::set<Digest> distinct(digests.begin(), digests.end());
  Removed removed;
  Change change(this);
  for (const Digest& digest : distinct) {
    ASSIGN_OR_RETURN(const auto known, Find(digest));
    if (!known.has_value() || known->info.epoch >= epoch) continue;
    change.Erase(digest, *known);
    ++removed.blocks;
  }
  RETURN_IF_ERROR(change.Write("removing blocks", &removed.dead_files));
  return removed;
}

absl::StatusOr<bool> BlockIndex::MoveFile(uint64_t from, uint64_t to,
                                          absl::Span<const WrittenBlock> blocks) {
  Change change(this);
  FileUse use;
  for (const WrittenBlock& block : blocks) {
    use.total_bytes += block.size_bytes;
    ASSIGN_OR_RETURN(auto known, Find(block.digest));
    if (!known.has_value() || known->location.where != BlockLocation::Where::kFile ||
        known->location.container != from) {
      continue;
    }
    known->location = {BlockLocation::Where::kFile, to, block.sequence};
    change.Set(block.digest, *known);
    ++use.live_blocks;
    use.live_bytes += block.size_bytes;
  }
  change.Use(from) = {};
  if (use.live_blocks > 0) change.Use(to) = use;
  RETURN_IF_ERROR(change.Write("moving blocks to a new file", nullptr));
  return use.live_blocks > 0;
}

std::optional<uint64_t> BlockIndex::NextThinFile(uint64_t after) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto it = files_.upper_bound(after); it != files_.end(); ++it) {
    if (it->second.live_bytes < it->second.total_bytes / 2) return it->first;
  }
  return std::nullopt;
}

bool BlockIndex::HasFile(uint64_t file) {
  std::lock_guard<std::mutex> lock(mutex_);
  return files_.count(file) != 0;
}

absl::StatusOr<std::vector<Digest>> BlockIndex::Scan(uint32_t shard, std::string* cursor) {
  if (shard >= BlobStore::kShards || (!cursor->empty() && cursor->size() != Digest::kBytes)) {
    return absl::InvalidArgumentError(absl::StrCat("scan: shard is ", shard, ", want less than ",
                                                   BlobStore::kShards, " and a cursor of Scan"));
  }
  Digest first;
  first.bytes[0] = static_cast<uint8_t>(shard << 4);
  std::string start = IndexKey(first);
  start.resize(2);
  if (!cursor->empty()) start = absl::StrCat(absl::string_view(&kBlockPrefix, 1), *cursor);
  std::vector<Digest> page;
  RETURN_IF_ERROR(database_->ForEach(
      Family::kIndex, absl::string_view(&kBlockPrefix, 1), start,
      [&](absl::string_view key, absl::string_view) {
        if (static_cast<uint8_t>(key[1]) >> 4 != shard || page.size() == kScanPage) return false;
        std::copy_n(key.begin() + 1, Digest::kBytes, page.emplace_back().bytes.begin());
        return true;
      }));
  *cursor = page.size() < kScanPage ? std::string() : std::string(page.back().View());
  return page;
}

}  // namespace ballast

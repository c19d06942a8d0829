#include "storage/store/collector.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "absl/time/clock.h"
#include "storage/base/status.h"
#include "storage/store/catalog_walk.h"
#include "storage/store/collector_tidy.h"
#include "storage/store/epoch.h"
#include "storage/store/limit_time.h"
#include "storage/store/mark_set.h"
#include "storage/store/model_record.h"
#include "storage/store/record_iteration.h"
#include "storage/store/version_blocks.h"

namespace ballast {
namespace {

using Phase = CollectProgress::Phase;

// One collection.
class Run {
 public:
  Run(Catalog* catalog, BlobStore* blobs, RecordStore* records, const Limits& limits,
      absl::Time now, const CollectOptions& options)
      : catalog_(catalog),
        blobs_(blobs),
        records_(records),
        limits_(limits),
        now_(now),
        options_(options),
        tidy_(catalog, records, limits, now, &out_),
        marks_(limits.gc_mark_bytes_max) {
    out_.dry_run = options.dry_run;
  }

  absl::StatusOr<Collection> Execute();

 private:
  struct Intent {
    std::string record;
    std::string key;
    std::string value;  // as it was listed
  };
  // Of an intent: whether the collection has to care, and how.
  enum class Stand : uint8_t {
    kSettled,   // gone, or of this epoch
    kUnderWay,  // its push may live
    kHeld,      // left, and may come back
    kOver,      // left for too long
  };

  absl::Status Tell(Phase phase, uint64_t done);
  absl::Status TidyAll();
  absl::StatusOr<std::vector<Intent>> OldIntents();
  Stand StandOf(const std::string& key, const std::optional<std::string>& value) const;
  absl::StatusOr<bool> IsSettled(const Intent& intent, bool enough);
  absl::Status Settle();
  absl::Status Fence(const Intent& intent);
  absl::Status HoldLeft();
  absl::Status Mark();
  absl::Status MarkModel(const std::string& model);
  absl::Status MarkVersion(const VersionRecord& record, bool deleted);
  absl::Status Sweep();
  absl::Status SweepPage(std::vector<Digest> page);
  absl::Status Free(const std::vector<Digest>& digests, uint64_t bytes);
  void CountMarks();

  Catalog* const catalog_;
  BlobStore* const blobs_;
  RecordStore* const records_;
  const Limits& limits_;
  const absl::Time now_;
  const CollectOptions& options_;
  Collection out_;
  ModelTidy tidy_;
  MarkSet marks_;
  Epoch epoch_ = 0;
  Epoch sweep_epoch_ = 0;  // what is older is removed; at most epoch_
};

absl::Status Run::Tell(Phase phase, uint64_t done) {
  if (!options_.progress) return absl::OkStatus();
  return options_.progress({phase, done, out_.bytes_freed});
}

absl::StatusOr<Collection> Run::Execute() {
  RETURN_IF_ERROR(TidyAll());
  if (options_.dry_run) {
    epoch_ = sweep_epoch_ = std::numeric_limits<Epoch>::max();
    ASSIGN_OR_RETURN(const std::vector<Intent> intents, OldIntents());
    out_.pushes_fenced = intents.size();
  } else {
    ASSIGN_OR_RETURN(epoch_, RaiseEpoch(records_));
    RETURN_IF_ERROR(Settle());
    RETURN_IF_ERROR(HoldLeft());
  }
  do {
    ++out_.passes;
    RETURN_IF_ERROR(Mark());
    RETURN_IF_ERROR(Sweep());
  } while (!marks_.last());
  if (!options_.dry_run) {
    RETURN_IF_ERROR(Tell(Phase::kReturnSpace, 0));
    RETURN_IF_ERROR(blobs_->ReturnSpace(), "returning space to the disk");
  }
  return std::move(out_);
}

absl::Status Run::TidyAll() {
  uint64_t done = 0;
  return ForEachModel(records_, [&](const std::string& model) -> absl::Status {
    RETURN_IF_ERROR(Tell(Phase::kTidy, done++));
    return tidy_.Tidy(model);
  });
}

// The intents whose pushes may use blocks that are older than the epoch.
absl::StatusOr<std::vector<Run::Intent>> Run::OldIntents() {
  std::vector<Intent> intents;
  RETURN_IF_ERROR(ForEachModel(records_, [&](const std::string& model) {
    const std::string record = ModelRecord(model);
    return ForEachItem(records_, record, "", kIntentPrefix, 100,
                       [&](absl::string_view key, absl::string_view value) -> absl::StatusOr<Walk> {
                         if (EpochOfIntent(value) < epoch_) {
                           intents.push_back({record, std::string(key), std::string(value)});
                         }
                         return Walk::kGoOn;
                       });
  }));
  return intents;
}

// A time in the future is one of a clock that was wrong: it holds no longer than another.
Run::Stand Run::StandOf(const std::string& key, const std::optional<std::string>& value) const {
  if (!value.has_value() || EpochOfIntent(*value) >= epoch_) return Stand::kSettled;
  const std::optional<absl::Time> left = catalog_->WhenLeft(key, *value);
  if (!left.has_value()) return Stand::kUnderWay;
  const bool may_come_back =
      absl::AbsDuration(now_ - *left) < LimitMilliseconds(limits_.push_lease_ms);
  return may_come_back ? Stand::kHeld : Stand::kOver;
}

// Fences what is over, and with `enough` also what may be under way.
absl::StatusOr<bool> Run::IsSettled(const Intent& intent, bool enough) {
  ASSIGN_OR_RETURN(const auto values, records_->Read(intent.record, {intent.key}));
  const Stand stand = StandOf(intent.key, values[0]);
  if (stand == Stand::kUnderWay && !enough) return false;
  if (stand == Stand::kUnderWay || stand == Stand::kOver) RETURN_IF_ERROR(Fence(intent));
  return true;
}

// Time is measured here, and by nobody else's clock.
absl::Status Run::Settle() {
  constexpr int kPauseMsMax = 100;
  ASSIGN_OR_RETURN(std::vector<Intent> waiting, OldIntents());
  const auto begun = std::chrono::steady_clock::now();
  for (int pause_ms = 1; !waiting.empty(); pause_ms = std::min(2 * pause_ms, kPauseMsMax)) {
    const absl::Duration waited = absl::FromChrono(std::chrono::steady_clock::now() - begun);
    const bool enough = waited >= LimitMilliseconds(limits_.push_lease_ms);
    std::vector<Intent> left;
    for (Intent& intent : waiting) {
      ASSIGN_OR_RETURN(const bool settled, IsSettled(intent, enough));
      if (!settled) left.push_back(std::move(intent));
    }
    waiting = std::move(left);
    if (waiting.empty()) break;
    RETURN_IF_ERROR(Tell(Phase::kSettle, waiting.size()));
    absl::SleepFor(absl::Milliseconds(pause_ms));
  }
  return absl::OkStatus();
}

absl::Status Run::Fence(const Intent& intent) {
  while (true) {
    ASSIGN_OR_RETURN(const auto values, records_->Read(intent.record, {intent.key}));
    if (!values[0].has_value() || EpochOfIntent(*values[0]) >= epoch_) return absl::OkStatus();
    ASSIGN_OR_RETURN(const uint64_t gone,
                     EraseUnchanged(records_, intent.record, {{intent.key, *values[0]}}));
    out_.pushes_fenced += gone;
  }
}

// Listed anew, with those that were left while others were waited for. What is left from
// here on has taken this epoch over before.
absl::Status Run::HoldLeft() {
  sweep_epoch_ = epoch_;
  ASSIGN_OR_RETURN(const std::vector<Intent> intents, OldIntents());
  for (const Intent& intent : intents) {
    if (StandOf(intent.key, intent.value) != Stand::kHeld) continue;
    ++out_.pushes_held;
    sweep_epoch_ = std::min(sweep_epoch_, EpochOfIntent(intent.value));
  }
  return absl::OkStatus();
}

absl::Status Run::Mark() {
  marks_.BeginRange();
  out_.models = out_.versions_live = out_.versions_held = 0;
  RETURN_IF_ERROR(
      ForEachModel(records_, [&](const std::string& model) { return MarkModel(model); }));
  marks_.Seal();
  CountMarks();
  return absl::OkStatus();
}

// Live versions before deleted ones: see collector.h.
absl::Status Run::MarkModel(const std::string& model) {
  const uint64_t versions = out_.versions_live + out_.versions_held;
  RETURN_IF_ERROR(ForEachLive(records_, model, [&](const VersionRecord& record) {
    return MarkVersion(record, /*deleted=*/false);
  }));
  RETURN_IF_ERROR(ForEachDeleted(
      records_, model, [&](const StoredItem&, const DeletedRecord&, const VersionRecord& record) {
        return MarkVersion(record, /*deleted=*/true);
      }));
  ASSIGN_OR_RETURN(const auto values,
                   records_->Read(ModelRecord(model), {std::string(kSchemaKey)}));
  if (values[0].has_value() || versions < out_.versions_live + out_.versions_held) ++out_.models;
  if (!values[0].has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const SchemaValue schema, DecodeSchema(*values[0]), model);
  for (size_t i = 0; i < schema.text.blocks.size(); ++i) {
    marks_.Add(schema.text.blocks[i], BlockSize(schema.text.size_bytes, i), BlockMark::kNobody,
               BlockUse::kLive);
  }
  return absl::OkStatus();
}

absl::Status Run::MarkVersion(const VersionRecord& record, bool deleted) {
  RETURN_IF_ERROR(Tell(Phase::kMark, out_.versions_live + out_.versions_held));
  ++(deleted ? out_.versions_held : out_.versions_live);
  ModelTidy::Note note;
  note.use = deleted ? BlockUse::kHeld : BlockUse::kLive;
  if (const auto* noted = tidy_.Find(record.info.model, record.info.version)) note = *noted;
  return ForEachBlock(blobs_, record, limits_, [&](const Digest& digest, uint64_t size_bytes) {
    marks_.Add(digest, size_bytes, note.owner, note.use);
  });
}

void Run::CountMarks() {
  for (const BlockMark& mark : marks_.marks()) {
    if (mark.owner < out_.deletions.size()) {
      out_.deletions[mark.owner].exclusive_bytes += mark.size_bytes;
    }
    const auto use = static_cast<BlockUse>(mark.use);
    if (use == BlockUse::kLive) {
      ++out_.blocks_live;
      out_.bytes_live += mark.size_bytes;
    } else if (use == BlockUse::kHeld) {
      ++out_.blocks_held;
      out_.bytes_held += mark.size_bytes;
    }
  }
}

absl::Status Run::Sweep() {
  uint64_t seen = 0;
  for (uint32_t shard = 0; shard < BlobStore::kShards; ++shard) {
    std::string cursor;
    do {
      RETURN_IF_ERROR(Tell(Phase::kSweep, seen));
      ASSIGN_OR_RETURN(std::vector<Digest> page, blobs_->Scan(shard, &cursor));
      seen += page.size();
      RETURN_IF_ERROR(SweepPage(std::move(page)));
    } while (!cursor.empty());
  }
  return absl::OkStatus();
}

absl::Status Run::SweepPage(std::vector<Digest> page) {
  std::erase_if(page, [&](const Digest& digest) {
    if (!marks_.Contains(digest)) return true;
    const BlockMark* mark = marks_.Find(digest);
    return mark != nullptr && static_cast<BlockUse>(mark->use) != BlockUse::kGone;
  });
  if (page.empty()) return absl::OkStatus();
  // Epoch 0 raises nothing: this only asks.
  ASSIGN_OR_RETURN(const auto infos, blobs_->Touch(page, 0));
  std::vector<Digest> old;
  uint64_t bytes = 0;
  for (size_t i = 0; i < page.size(); ++i) {
    if (infos[i].has_value() && infos[i]->epoch >= sweep_epoch_) continue;
    // One that is damaged tells nothing: whether it is old enough shows when it is removed.
    old.push_back(page[i]);
    if (infos[i].has_value()) bytes += infos[i]->size_bytes;
  }
  return Free(old, bytes);
}

absl::Status Run::Free(const std::vector<Digest>& digests, uint64_t bytes) {
  uint64_t blocks = digests.size();
  if (blocks > 0 && !options_.dry_run) {
    ASSIGN_OR_RETURN(blocks, blobs_->RemoveIfOlder(digests, sweep_epoch_));
    if (blocks < digests.size()) {
      // A push has taken some up meanwhile.
      ASSIGN_OR_RETURN(const auto left, blobs_->Touch(digests, 0));
      for (const auto& info : left) {
        if (info.has_value()) bytes -= std::min(bytes, info->size_bytes);
      }
    }
  }
  out_.blocks_freed += blocks;
  out_.bytes_freed += bytes;
  return absl::OkStatus();
}

}  // namespace

Collector::Collector(Catalog* catalog, BlobStore* blobs, RecordStore* records, const Limits& limits,
                     std::function<absl::Time()> clock)
    : catalog_(catalog),
      blobs_(blobs),
      records_(records),
      limits_(limits),
      clock_(clock != nullptr ? std::move(clock) : [] { return absl::Now(); }) {}

absl::StatusOr<Collection> Collector::Collect(const CollectOptions& options) {
  const std::unique_lock<std::mutex> lock(running_, std::try_to_lock);
  if (!lock.owns_lock()) return ConflictError("gc: a collection is running, want it finished");
  return Run(catalog_, blobs_, records_, limits_, clock_(), options).Execute();
}

absl::StatusOr<VersionUse> Collector::Measure(const VersionInfo& version) {
  return MeasureVersion(blobs_, records_, limits_, version);
}

}  // namespace ballast

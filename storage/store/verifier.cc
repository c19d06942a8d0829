#include "storage/store/verifier.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/mark_set.h"
#include "storage/store/model_record.h"
#include "storage/store/stored_walk.h"
#include "storage/store/verifier_hits.h"

namespace ballast {
namespace {

// The longest wait between two signs of life.
constexpr absl::Duration kPause = absl::Milliseconds(100);
constexpr size_t kTouchSlice = 4096;

// One verification.
class Run {
 public:
  Run(BlobStore* blobs, RecordStore* records, StoreMonitor* monitor, const Limits& limits,
      const VerifyOptions& options)
      : blobs_(blobs),
        records_(records),
        monitor_(monitor),
        limits_(limits),
        options_(options),
        pacer_(options.bytes_per_second == 0 ? limits.verify_bytes_per_second
                                             : options.bytes_per_second,
               options.clock.now ? options.clock : Pacer::RealClock()),
        marks_(limits.gc_mark_bytes_max),
        damaged_(limits) {}

  absl::StatusOr<Verification> Execute();

 private:
  absl::Status Progress();
  absl::Status TellRecord(absl::string_view problem, std::vector<std::string> versions);
  absl::Status Mark();
  absl::Status MarkOnly();
  absl::Status MarkVersion(const VersionRecord& record);
  absl::Status BadManifest(const VersionRecord& record, const absl::Status& why);
  absl::Status CompareManifest(const VersionRecord& record, const Manifest& manifest);
  absl::Status CompareBlocks(const VersionRecord& record, const std::vector<Digest>& digests,
                             const std::vector<BlobInfo>& wanted);
  absl::Status ReadMarked();
  absl::Status Pace(uint64_t bytes);
  absl::Status TellBlocks();

  BlobStore* const blobs_;
  RecordStore* const records_;
  StoreMonitor* const monitor_;
  const Limits& limits_;
  const VerifyOptions& options_;
  Pacer pacer_;
  MarkSet marks_;
  DamagedBlocks damaged_;
  bool first_pass_ = true;
  std::set<std::pair<std::string, uint64_t>> damaged_versions_;
  Verification out_;
};

absl::Status Run::Progress() {
  return options_.progress ? options_.progress({out_.blocks, out_.bytes}) : absl::OkStatus();
}

absl::Status Run::TellRecord(absl::string_view problem, std::vector<std::string> versions) {
  ++out_.damaged_records;
  Damage damage;
  damage.problem = std::string(problem);
  damage.versions = std::move(versions);
  return options_.damage(damage);
}

absl::StatusOr<Verification> Run::Execute() {
  if (!options_.only.has_value()) {
    RETURN_IF_ERROR(monitor_->CheckFiles(
        [this](absl::string_view problem) { return TellRecord(problem, {}); }));
  }
  do {
    marks_.BeginRange();
    RETURN_IF_ERROR(options_.only.has_value() ? MarkOnly() : Mark());
    marks_.Seal();
    first_pass_ = false;
    RETURN_IF_ERROR(ReadMarked());
  } while (!marks_.last());
  out_.damaged_versions = damaged_versions_.size();
  return out_;
}

absl::Status Run::Mark() {
  StoredWalk walk;
  walk.version = [this](const VersionRecord& record, bool) { return MarkVersion(record); };
  walk.schema = [this](const std::string&, const StoredText& text) {
    for (size_t i = 0; i < text.blocks.size(); ++i) {
      marks_.Add(text.blocks[i], BlockSize(text.size_bytes, i), 0, BlockUse::kLive);
    }
    return absl::OkStatus();
  };
  if (first_pass_) {
    walk.damaged = [this](absl::string_view problem) { return TellRecord(problem, {}); };
  }
  return WalkStored(records_, walk);
}

absl::Status Run::MarkOnly() {
  const VersionInfo& only = *options_.only;
  const std::string name = absl::StrCat(only.model, ":", only.version);
  const auto values = records_->Read(ModelRecord(only.model), {VersionKey(only.version)});
  if (absl::IsDataLoss(values.status())) return TellRecord(values.status().message(), {name});
  RETURN_IF_ERROR(values.status());
  if (!(*values)[0].has_value()) return absl::NotFoundError(absl::StrCat(name, ": was deleted"));
  absl::StatusOr<VersionRecord> record = DecodeVersionRecord(*(*values)[0]);
  if (!record.ok()) return TellRecord(absl::StrCat(name, ": ", record.status().message()), {name});
  record->info.model = only.model;
  return MarkVersion(*record);
}

absl::Status Run::MarkVersion(const VersionRecord& record) {
  RETURN_IF_ERROR(Progress());
  out_.versions += first_pass_;
  const std::vector<Digest>& text = record.manifest.blocks;
  for (size_t i = 0; i < text.size(); ++i) {
    marks_.Add(text[i], BlockSize(record.manifest.size_bytes, i), 0, BlockUse::kLive);
  }
  const absl::StatusOr<Manifest> manifest = LoadManifest(blobs_, record, limits_);
  if (absl::IsUnavailable(manifest.status())) return manifest.status();
  if (!manifest.ok()) {
    return first_pass_ ? BadManifest(record, manifest.status()) : absl::OkStatus();
  }
  for (const ManifestEntry& entry : manifest->entries) {
    const uint64_t tensor_bytes = CheckedTensorBytes(entry.spec);
    for (size_t i = 0; i < entry.blocks.size(); ++i) {
      marks_.Add(entry.blocks[i].digest, BlockSize(tensor_bytes, i), 0, BlockUse::kLive);
    }
  }
  return first_pass_ ? CompareManifest(record, *manifest) : absl::OkStatus();
}

// Blocks of it that are damaged are told as such, later; here it is what they hold.
absl::Status Run::BadManifest(const VersionRecord& record, const absl::Status& why) {
  for (const Digest& digest : record.manifest.blocks) {
    ASSIGN_OR_RETURN(const BlobCheck check, blobs_->Check(digest));
    if (check.state != BlobCheck::State::kSound) return absl::OkStatus();
  }
  damaged_versions_.emplace(record.info.model, record.info.version);
  const std::string name = absl::StrCat(record.info.model, ":", record.info.version);
  return TellRecord(Printable(absl::StrCat(name, ": ", why.message())),
                    {absl::StrCat(name, " (manifest)")});
}

absl::Status Run::CompareManifest(const VersionRecord& record, const Manifest& manifest) {
  if (VersionDigest(manifest) != record.info.digest) {
    return BadManifest(record, absl::DataLossError("the manifest is not that of the digest"));
  }
  std::vector<Digest> digests;
  std::vector<BlobInfo> wanted;
  for (const ManifestEntry& entry : manifest.entries) {
    const uint64_t tensor_bytes = CheckedTensorBytes(entry.spec);
    for (size_t i = 0; i < entry.blocks.size(); ++i) {
      digests.push_back(entry.blocks[i].digest);
      wanted.push_back({BlockSize(tensor_bytes, i), entry.blocks[i].crc32, 0});
      if (digests.size() < kTouchSlice) continue;
      RETURN_IF_ERROR(CompareBlocks(record, digests, wanted));
      digests.clear();
      wanted.clear();
    }
  }
  return CompareBlocks(record, digests, wanted);
}

// What the manifest says of its blocks, and what the store has. Whether the store is right
// shows when the block is read; so does one that it lacks.
absl::Status Run::CompareBlocks(const VersionRecord& record, const std::vector<Digest>& digests,
                                const std::vector<BlobInfo>& wanted) {
  const auto infos = blobs_->Touch(digests, 0);
  // A damaged part of the index: reading each block tells which.
  if (absl::IsDataLoss(infos.status())) return absl::OkStatus();
  RETURN_IF_ERROR(infos.status());
  for (size_t i = 0; i < digests.size(); ++i) {
    const auto& info = (*infos)[i];
    if (!info.has_value() ||
        (info->size_bytes == wanted[i].size_bytes && info->crc32 == wanted[i].crc32)) {
      continue;
    }
    return BadManifest(
        record, absl::DataLossError(absl::StrCat(
                    "block ", digests[i].Hex(), " has ", info->size_bytes, " bytes of CRC-32 ",
                    absl::Hex(info->crc32, absl::kZeroPad8), ", the manifest says ",
                    wanted[i].size_bytes, " of ", absl::Hex(wanted[i].crc32, absl::kZeroPad8))));
  }
  return absl::OkStatus();
}

absl::Status Run::ReadMarked() {
  for (const BlockMark& mark : marks_.marks()) {
    ASSIGN_OR_RETURN(const BlobCheck check, blobs_->Check(mark.digest));
    ++out_.blocks;
    out_.bytes += check.size_bytes;
    if (check.state != BlobCheck::State::kSound) damaged_.Add(mark.digest, check);
    if (damaged_.full()) RETURN_IF_ERROR(TellBlocks());
    RETURN_IF_ERROR(Pace(check.size_bytes));
  }
  return damaged_.empty() ? absl::OkStatus() : TellBlocks();
}

absl::Status Run::Pace(uint64_t bytes) {
  absl::Duration wait = pacer_.Took(bytes);
  while (wait > absl::ZeroDuration()) {
    RETURN_IF_ERROR(Progress());
    const absl::Duration part = std::min(wait, kPause);
    pacer_.Sleep(part);
    wait -= part;
  }
  return Progress();
}

absl::Status Run::TellBlocks() {
  ASSIGN_OR_RETURN(const uint64_t told,
                   damaged_.Tell(blobs_, records_, options_.damage, &damaged_versions_));
  out_.damaged_blocks += told;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Verification> Verifier::Verify(const VerifyOptions& options) {
  const std::unique_lock<std::mutex> lock(running_, std::try_to_lock);
  if (!lock.owns_lock()) {
    return absl::UnavailableError("verify: another verification runs, want it finished");
  }
  return Run(blobs_, records_, monitor_, limits_, options).Execute();
}

}  // namespace ballast

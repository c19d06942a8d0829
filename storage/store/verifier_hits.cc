#include "storage/store/verifier_hits.h"

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/stored_walk.h"

namespace ballast {
namespace {

constexpr uint64_t kLinesBytesMax = 1u << 20;     // of one block: a message has to hold them
constexpr uint64_t kAllLinesBytesMax = 8u << 20;  // of all that are kept at once
constexpr size_t kKeyBytesMax = 200;

Damage::Kind KindOf(BlobCheck::State state) {
  switch (state) {
    case BlobCheck::State::kWrongBytes:
      return Damage::Kind::kWrongBytes;
    case BlobCheck::State::kMissing:
      return Damage::Kind::kMissing;
    default:
      return Damage::Kind::kUnreadable;
  }
}

}  // namespace

void DamagedBlocks::Add(const Digest& digest, const BlobCheck& check) {
  if (!places_.try_emplace(digest, found_.size()).second) return;
  Damage& damage = found_.emplace_back();
  damage.kind = KindOf(check.state);
  damage.digest = digest;
  damage.problem = check.problem;
}

void DamagedBlocks::AddLine(Damage* damage, std::string line) {
  uint64_t bytes = line.size();
  for (const std::string& before : damage->versions) bytes += before.size();
  if (damage->versions.size() >= limits_.report_items_max || bytes > kLinesBytesMax ||
      line_bytes_ + line.size() > kAllLinesBytesMax) {
    ++damage->versions_omitted;
    return;
  }
  line_bytes_ += line.size();
  damage->versions.push_back(std::move(line));
}

void DamagedBlocks::Note(const Digest& digest, const std::string& what) {
  const auto place = places_.find(digest);
  if (place == places_.end()) return;
  Use& use = uses_[place->second];
  if (use.count++ == 0) use.what = Printable(what).substr(0, kKeyBytesMax);
}

void DamagedBlocks::HitVersion(const VersionRecord& record, const Manifest* manifest,
                               bool deleted) {
  for (const Digest& digest : record.manifest.blocks) Note(digest, "manifest");
  if (manifest != nullptr) {
    for (const ManifestEntry& entry : manifest->entries) {
      for (const BlockRef& block : entry.blocks) Note(block.digest, entry.spec.key);
    }
  }
  const std::string name =
      absl::StrCat(record.info.model, ":", record.info.version, deleted ? ", deleted (" : " (");
  for (const auto& [place, use] : uses_) {
    const std::string more =
        use.count == 1 ? "" : absl::StrCat(" and ", use.count - 1, " more times");
    AddLine(&found_[place], absl::StrCat(name, use.what, more, ")"));
  }
}

absl::StatusOr<uint64_t> DamagedBlocks::Tell(BlobStore* blobs, RecordStore* records,
                                             const std::function<absl::Status(const Damage&)>& tell,
                                             std::set<std::pair<std::string, uint64_t>>* versions) {
  StoredWalk walk;
  walk.version = [&](const VersionRecord& record, bool deleted) -> absl::Status {
    uses_.clear();
    const absl::StatusOr<Manifest> manifest = LoadManifest(blobs, record, limits_);
    if (absl::IsUnavailable(manifest.status())) return manifest.status();
    HitVersion(record, manifest.ok() ? &*manifest : nullptr, deleted);
    if (!uses_.empty()) versions->emplace(record.info.model, record.info.version);
    return absl::OkStatus();
  };
  walk.schema = [&](const std::string& model, const StoredText& text) -> absl::Status {
    for (const Digest& digest : text.blocks) {
      const auto place = places_.find(digest);
      if (place != places_.end()) {
        AddLine(&found_[place->second], absl::StrCat(model, " (schema)"));
      }
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(WalkStored(records, walk));
  uint64_t told = 0;
  for (const Damage& damage : found_) {
    const bool collected = damage.kind == Damage::Kind::kMissing && damage.versions.empty() &&
                           damage.versions_omitted == 0;
    if (collected) continue;
    ++told;
    RETURN_IF_ERROR(tell(damage));
  }
  found_.clear();
  places_.clear();
  uses_.clear();
  line_bytes_ = 0;
  return told;
}

}  // namespace ballast

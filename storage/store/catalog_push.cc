#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"
#include "storage/store/epoch.h"

namespace ballast {
namespace {

class Push : public CatalogPush {
 public:
  Push(CatalogImpl* catalog, std::string model, std::string request_id, CatalogImpl::Begun begun)
      : catalog_(catalog),
        model_(std::move(model)),
        record_(ModelRecord(model_)),
        request_id_(std::move(request_id)),
        begun_(std::move(begun)),
        lease_(catalog_->leases()->Keep([this] { RenewIfIdle(); })) {}
  ~Push() override {
    lease_.reset();
    if (!intent_gone_) catalog_->DropIntent(model_, begun_.id);
  }

  absl::StatusOr<std::vector<std::optional<BlobInfo>>> Known(
      absl::Span<const Digest> digests) override;
  absl::StatusOr<bool> Add(const Digest& digest, uint32_t crc32, absl::string_view bytes) override;
  uint64_t durable_bytes() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return durable_before_ + begun_.batch->durable_bytes();
  }
  absl::StatusOr<VersionInfo> Publish(const Manifest& manifest,
                                      const PublishOptions& options) override;
  absl::Status Leave() override;

 private:
  // What a block must be to be used; all of the push's blocks are in blocks_.
  struct BlockFacts {
    uint32_t size_bytes = 0;
    uint32_t crc32 = 0;
  };
  // What the model's record says at one instant about this push.
  struct Seen {
    std::optional<std::string> head;
    std::optional<std::string> intent;
    std::optional<std::string> request;
    std::optional<std::string> names;
    std::optional<std::string> alias;
    std::optional<std::string> left;  // by an earlier push of the same request
  };

  void RenewIfIdle();
  absl::Status RenewIfDue();
  absl::Status Renew();
  absl::Status Fenced();

  absl::Status CheckOptions(const PublishOptions& options);
  absl::Status CheckImported(const PublishOptions& options);
  absl::Status Number(const ModelHead& head, const PublishOptions& options, uint64_t* number,
                      uint64_t* highest);
  absl::Status CheckBlock(const BlockRef& block, uint64_t size_bytes) const;
  absl::Status CheckBlocks(const Manifest& manifest);
  absl::StatusOr<VersionInfo> PublishLocked(const Manifest& manifest,
                                            const PublishOptions& options);
  absl::StatusOr<VersionRecord> Prepare(const Manifest& manifest, const PublishOptions& options);
  absl::StatusOr<VersionInfo> CommitVersion(VersionRecord record, const PublishOptions& options);
  absl::StatusOr<std::optional<VersionInfo>> TryCommit(VersionRecord* record,
                                                       const PublishOptions& options);
  absl::StatusOr<Seen> Look(const PublishOptions& options);
  absl::Status AddAlias(const Seen& seen, uint64_t number, const PublishOptions& options,
                        std::vector<RecordCondition>* conditions, std::vector<RecordEdit>* edits);
  absl::StatusOr<VersionInfo> Answered(absl::string_view request);
  absl::StatusOr<VersionInfo> FindOwn();
  absl::StatusOr<VersionInfo> GiveUp(const absl::Status& why);
  VersionInfo Finished(const VersionRecord& record, const std::string& alias);

  CatalogImpl* const catalog_;  // Must outlive this.
  const std::string model_;
  const std::string record_;
  const std::string request_id_;
  // Held by every call, and by the keeper's thread while it renews.
  mutable std::mutex mutex_;
  CatalogImpl::Begun begun_;
  uint64_t durable_before_ = 0;  // by batches of earlier epochs
  uint64_t seen_round_ = 0;      // of the keeper
  absl::flat_hash_map<Digest, BlockFacts> blocks_;
  uint64_t bytes_new_ = 0;
  // Numbers whose commit ended as unknown; one of them may be this push's version.
  std::vector<uint64_t> unknown_;
  bool intent_gone_ = false;
  bool fenced_ = false;
  std::unique_ptr<LeaseKeeper::Lease> lease_;
};

// A push that is busy does it itself, with its next call.
void Push::RenewIfIdle() {
  std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (lock.owns_lock()) RenewIfDue().IgnoreError();
}

// What fails without the push being fenced is tried again with the next call; until
// then the push goes on in its old epoch, and a collection waits for it.
absl::Status Push::RenewIfDue() {
  if (fenced_) return Fenced();
  const uint64_t round = catalog_->leases()->round();
  if (round == seen_round_) return absl::OkStatus();
  if (Renew().ok()) seen_round_ = round;
  return fenced_ ? Fenced() : absl::OkStatus();
}

// Takes over the current epoch: first by all blocks of this push, then by its intent.
absl::Status Push::Renew() {
  ASSIGN_OR_RETURN(const Epoch epoch, CurrentEpoch(catalog_->records()));
  if (intent_gone_ || epoch <= EpochOfIntent(begun_.intent)) return absl::OkStatus();
  RETURN_IF_ERROR(begun_.batch->Flush());
  ASSIGN_OR_RETURN(std::unique_ptr<BlobBatch> batch, catalog_->blobs()->NewBatch(epoch));
  durable_before_ += begun_.batch->durable_bytes();
  begun_.batch = std::move(batch);
  begun_.epoch = epoch;
  std::vector<Digest> digests;
  digests.reserve(blocks_.size());
  for (const auto& [digest, facts] : blocks_) digests.push_back(digest);
  ASSIGN_OR_RETURN(const bool all_there, RaiseAll(catalog_->blobs(), digests, epoch));
  if (!all_there) return Fenced();
  ASSIGN_OR_RETURN(const bool raised, catalog_->RaiseIntent(model_, &begun_));
  return raised ? absl::OkStatus() : Fenced();
}

// Its intent stays, if it is there, and goes with the push.
absl::Status Push::Fenced() {
  fenced_ = true;
  return absl::UnavailableError(
      absl::StrCat(model_, ": a collection of garbage has fenced this push: push again"));
}

absl::StatusOr<std::vector<std::optional<BlobInfo>>> Push::Known(absl::Span<const Digest> digests) {
  std::lock_guard<std::mutex> lock(mutex_);
  RETURN_IF_ERROR(RenewIfDue());
  ASSIGN_OR_RETURN(auto infos, catalog_->blobs()->Touch(digests, begun_.epoch), model_);
  for (size_t i = 0; i < digests.size(); ++i) {
    const auto own = blocks_.find(digests[i]);
    if (infos[i].has_value()) {
      blocks_[digests[i]] = {static_cast<uint32_t>(infos[i]->size_bytes), infos[i]->crc32};
    } else if (own != blocks_.end()) {
      infos[i] = BlobInfo{own->second.size_bytes, own->second.crc32, begun_.epoch};
    }
  }
  return infos;
}

absl::StatusOr<bool> Push::Add(const Digest& digest, uint32_t crc32, absl::string_view bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  RETURN_IF_ERROR(RenewIfDue());
  ASSIGN_OR_RETURN(const bool added, begun_.batch->Add(digest, crc32, bytes), model_);
  blocks_[digest] = {static_cast<uint32_t>(bytes.size()), crc32};
  if (added) bytes_new_ += bytes.size();
  return added;
}

absl::Status Push::CheckOptions(const PublishOptions& options) {
  const Limits& limits = catalog_->limits();
  uint64_t bytes = options.message.size();
  for (const auto& [name, value] : options.labels) bytes += name.size() + value.size();
  if (bytes > limits.label_bytes_max) {
    return LimitError(model_, ": message and labels have ", bytes, " bytes, want at most ",
                      limits.label_bytes_max, " (label_bytes_max)");
  }
  if (!options.alias.empty()) RETURN_IF_ERROR(CheckAliasName(options.alias));
  if (options.imported.has_value()) return CheckImported(options);
  if (options.parent == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto parent, catalog_->ReadVersion(model_, options.parent));
  if (parent.has_value()) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat(model_, ":", options.parent, ": no such version, want one as the parent"));
}

absl::Status Push::CheckImported(const PublishOptions& options) {
  const CatalogPush::Imported& imported = *options.imported;
  if (imported.version == 0 || imported.numbers_used < imported.version ||
      imported.numbers_used > kVersionMax || options.parent > kVersionMax) {
    return MalformedError(model_, ": the imported version is ", imported.version, " of ",
                          imported.numbers_used, " numbers used, want 1 to ", kVersionMax);
  }
  // What a record holds, and a message can say.
  constexpr int64_t kLastSecond = 253'402'300'799;  // of the year 9999
  if (imported.created < absl::UnixEpoch() ||
      imported.created > absl::FromUnixSeconds(kLastSecond)) {
    return MalformedError(model_, ": the imported version was created at ",
                          absl::FormatTime(imported.created), ", want a time from 1970 to 9999");
  }
  return absl::OkStatus();
}

// The version's number, and the highest one that is used with it.
absl::Status Push::Number(const ModelHead& head, const PublishOptions& options, uint64_t* number,
                          uint64_t* highest) {
  if (!options.imported.has_value()) {
    if (head.newest == kVersionMax) return LimitError(model_, ": has no version numbers left");
    *number = *highest = head.newest + 1;
    return absl::OkStatus();
  }
  *number = options.imported->version;
  *highest = options.imported->numbers_used;
  if (*number > head.newest) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(model_, ": the imported version has number ", *number,
                   ", want one above the highest that was used, which is ", head.newest));
}

absl::Status Push::CheckBlock(const BlockRef& block, uint64_t size_bytes) const {
  const auto it = blocks_.find(block.digest);
  if (it == blocks_.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat(block.digest.Hex(), " is not in this push, want it added"));
  }
  if (it->second.size_bytes != size_bytes) {
    return MalformedError("size is ", it->second.size_bytes, " bytes, want ", size_bytes);
  }
  if (it->second.crc32 != block.crc32) {
    return MalformedError("CRC-32 is ", block.crc32, ", want ", it->second.crc32);
  }
  return absl::OkStatus();
}

absl::Status Push::CheckBlocks(const Manifest& manifest) {
  for (const ManifestEntry& entry : manifest.entries) {
    const uint64_t tensor_bytes = CheckedTensorBytes(entry.spec);
    for (size_t i = 0; i < entry.blocks.size(); ++i) {
      RETURN_IF_ERROR(
          CheckBlock(entry.blocks[i], BlockSize(tensor_bytes, i)),
          absl::StrCat(model_, ": key ", QuotedKey(entry.spec.key), ": block ", i));
    }
  }
  return absl::OkStatus();
}

// Everything but the number; all blocks are durable when it returns.
absl::StatusOr<VersionRecord> Push::Prepare(const Manifest& manifest,
                                            const PublishOptions& options) {
  RETURN_IF_ERROR(CheckManifest(manifest, catalog_->limits()), model_);
  RETURN_IF_ERROR(CheckBlocks(manifest));
  const std::string text = EncodeManifest(manifest);
  if (text.size() > catalog_->limits().manifest_bytes_max) {
    return LimitError(model_, ": manifest is ", text.size(), " bytes, want at most ",
                      catalog_->limits().manifest_bytes_max, " (manifest_bytes_max)");
  }
  VersionRecord record;
  ASSIGN_OR_RETURN(record.manifest, AddText(begun_.batch.get(), text), model_);
  RETURN_IF_ERROR(begun_.batch->Flush(), model_);
  record.token = begun_.id;
  record.info.model = model_;
  record.info.digest = VersionDigest(manifest);
  record.info.format = manifest.format;
  record.info.entries = manifest.entries.size();
  record.info.payload_bytes = PayloadBytes(manifest);
  record.info.bytes_new = bytes_new_;
  record.info.manifest_bytes = text.size();
  record.info.parent = options.parent;
  record.info.message = options.message;
  record.info.labels = options.labels;
  record.info.creator = options.creator;
  return record;
}

absl::StatusOr<VersionInfo> Push::Publish(const Manifest& manifest, const PublishOptions& options) {
  std::lock_guard<std::mutex> lock(mutex_);
  return PublishLocked(manifest, options);
}

// Without blocks there is nothing to leave, and an intent that an earlier push of the request
// has left stays as it is.
absl::Status Push::Leave() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (intent_gone_ || blocks_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(RenewIfDue());
  RETURN_IF_ERROR(begun_.batch->Flush(), model_);
  ASSIGN_OR_RETURN(const bool left, catalog_->LeaveIntent(model_, request_id_, begun_));
  intent_gone_ = true;
  return left ? absl::OkStatus() : Fenced();
}

absl::StatusOr<VersionInfo> Push::PublishLocked(const Manifest& manifest,
                                                const PublishOptions& options) {
  ASSIGN_OR_RETURN(auto earlier, catalog_->FindPush(model_, request_id_));
  if (earlier.has_value()) return *std::move(earlier);
  RETURN_IF_ERROR(CheckOptions(options));
  RETURN_IF_ERROR(RenewIfDue());
  ASSIGN_OR_RETURN(VersionRecord record, Prepare(manifest, options));
  return CommitVersion(std::move(record), options);
}

absl::StatusOr<VersionInfo> Push::CommitVersion(VersionRecord record,
                                                const PublishOptions& options) {
  absl::Status last = absl::UnavailableError(
      absl::StrCat(model_, ": others were faster in ", kCommitAttemptsMax, " attempts"));
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    PauseBeforeAttempt(attempt);
    auto info = TryCommit(&record, options);
    if (info.ok() && info->has_value()) return **std::move(info);
    if (info.ok()) continue;
    if (fenced_ || unknown_.empty() || !absl::IsUnavailable(info.status())) return info.status();
    last = info.status();
  }
  return GiveUp(last);
}

absl::StatusOr<Push::Seen> Push::Look(const PublishOptions& options) {
  std::vector<std::string> keys = {std::string(kHeadKey), IntentKey(begun_.id)};
  // An absent request or alias is looked up under a key that is never set.
  keys.push_back(RequestKey(request_id_.empty() ? "\n" : request_id_));
  keys.push_back(std::string(kNamesKey));
  keys.push_back(AliasKey(options.alias.empty() ? "\n" : options.alias));
  keys.push_back(LeftIntentKey(request_id_));
  ASSIGN_OR_RETURN(auto values, catalog_->records()->Read(record_, keys));
  return Seen{std::move(values[0]), std::move(values[1]), std::move(values[2]),
              std::move(values[3]), std::move(values[4]), std::move(values[5])};
}

// nullopt: lost a race, or the outcome is unknown: look again.
absl::StatusOr<std::optional<VersionInfo>> Push::TryCommit(VersionRecord* record,
                                                           const PublishOptions& options) {
  ASSIGN_OR_RETURN(const Seen seen, Look(options));
  if (seen.request.has_value()) return Answered(*seen.request);
  if (!seen.intent.has_value()) return FindOwn();
  begun_.intent = *seen.intent;  // nobody else writes it
  ModelHead head;
  if (seen.head.has_value()) {
    ASSIGN_OR_RETURN(head, DecodeHead(*seen.head), model_);
  }
  uint64_t number = 0;
  uint64_t highest = 0;
  RETURN_IF_ERROR(Number(head, options, &number, &highest));
  record->info.version = number;
  const absl::Time now = catalog_->Now();
  record->info.created = now;
  if (options.imported.has_value()) {
    record->info.created = absl::FromUnixMicros(absl::ToUnixMicros(options.imported->created));
  }

  std::vector<RecordCondition> conditions = {{std::string(kHeadKey), seen.head},
                                             {IntentKey(begun_.id), begun_.intent}};
  std::vector<RecordEdit> edits = {{std::string(kHeadKey), EncodeHead({highest, head.live + 1})},
                                   {VersionKey(number), EncodeVersionRecord(*record)},
                                   {DigestKey(record->info.digest, number), "1"},
                                   {IntentKey(begun_.id), std::nullopt}};
  if (!options.alias.empty()) {
    RETURN_IF_ERROR(AddAlias(seen, number, options, &conditions, &edits));
  }
  if (seen.left.has_value()) edits.push_back({LeftIntentKey(request_id_), std::nullopt});
  if (!request_id_.empty()) {
    const std::string key = RequestKey(request_id_);
    conditions.push_back({key, std::nullopt});
    edits.push_back({key, EncodeRequest({Operation::kPush, number, begun_.id, now})});
  }
  ASSIGN_OR_RETURN(const CommitOutcome outcome,
                   catalog_->records()->Commit(record_, conditions, edits));
  if (outcome == CommitOutcome::kApplied) return Finished(*record, options.alias);
  if (outcome == CommitOutcome::kUnknown) unknown_.push_back(number);
  return std::nullopt;
}

absl::Status Push::AddAlias(const Seen& seen, uint64_t number, const PublishOptions& options,
                            std::vector<RecordCondition>* conditions,
                            std::vector<RecordEdit>* edits) {
  AliasValue before;
  if (seen.alias.has_value()) {
    ASSIGN_OR_RETURN(before, DecodeAlias(*seen.alias), model_);
  } else {
    RETURN_IF_ERROR(catalog_->CheckRoomForAlias(model_));
  }
  edits->push_back({AliasKey(options.alias), EncodeAlias({number, begun_.id})});
  return catalog_->AddAliasMoves(
      seen.names, {{options.alias, before.version, number, options.creator, catalog_->Now()}},
      conditions, edits);
}

VersionInfo Push::Finished(const VersionRecord& record, const std::string& alias) {
  intent_gone_ = true;
  VersionInfo info = record.info;
  if (!alias.empty()) info.aliases = {alias};
  return info;
}

// The request was finished: by this push, or by another with the same id.
absl::StatusOr<VersionInfo> Push::Answered(absl::string_view request) {
  ASSIGN_OR_RETURN(const RequestAnswer answer, DecodeRequest(request), model_);
  if (answer.token == begun_.id) intent_gone_ = true;
  return catalog_->VersionWithAliases(model_, answer.answer);
}

// The intent is gone: one of the unknown commits was applied, or gc took it.
absl::StatusOr<VersionInfo> Push::FindOwn() {
  for (const uint64_t number : unknown_) {
    ASSIGN_OR_RETURN(auto record, catalog_->ReadVersion(model_, number));
    if (!record.has_value()) {
      // Published, and deleted since.
      ASSIGN_OR_RETURN(record, catalog_->ReadDeleted(model_, number));
    }
    if (!record.has_value() || record->token != begun_.id) continue;
    intent_gone_ = true;
    auto info = catalog_->VersionWithAliases(model_, number);
    if (absl::IsNotFound(info.status())) return std::move(record->info);
    return info;
  }
  intent_gone_ = true;
  return Fenced();
}

// Takes the intent away, so that no commit of this push can be applied any more,
// and finds out whether one was before.
absl::StatusOr<VersionInfo> Push::GiveUp(const absl::Status& why) {
  for (int attempt = 0; attempt < kCommitAttemptsMax && !unknown_.empty(); ++attempt) {
    PauseBeforeAttempt(attempt);
    const std::string key = IntentKey(begun_.id);
    const auto intent = catalog_->ReadOne(record_, key);
    if (!intent.ok()) continue;
    if (!intent->has_value()) {
      auto own = FindOwn();
      if (fenced_ || !absl::IsUnavailable(own.status())) return own;
      continue;
    }
    begun_.intent = **intent;
    const auto outcome =
        catalog_->records()->Commit(record_, {{key, begun_.intent}}, {{key, std::nullopt}});
    if (outcome.ok() && *outcome == CommitOutcome::kApplied) break;
  }
  return absl::UnavailableError(why.message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<CatalogPush>> CatalogImpl::BeginPush(absl::string_view model,
                                                                    absl::string_view request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(request_id));
  const std::string name(model);
  ASSIGN_OR_RETURN(Begun begun, BeginIntent(name));
  return NewCatalogPush(this, name, std::string(request_id), std::move(begun));
}

std::unique_ptr<CatalogPush> NewCatalogPush(CatalogImpl* catalog, std::string model,
                                            std::string request_id, CatalogImpl::Begun begun) {
  return std::make_unique<Push>(catalog, std::move(model), std::move(request_id), std::move(begun));
}

}  // namespace ballast

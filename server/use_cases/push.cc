#include "server/use_cases/push.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/use_cases/selection.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"
#include "storage/formats/manifest_json.h"
#include "storage/model/reference.h"
#include "storage/model/request_id.h"

namespace ballast {
namespace {

absl::Status CheckLabels(const PushParameters& options, const Limits& limits) {
  uint64_t bytes = options.message.size() + options.creator.size();
  for (const auto& [key, value] : options.labels) bytes += key.size() + value.size();
  if (bytes <= limits.label_bytes_max) return absl::OkStatus();
  return LimitError("push: message and labels are ", bytes, " bytes, want at most ",
                    limits.label_bytes_max, " (label_bytes_max)");
}

// Version number of a parent reference; 0 for none.
absl::StatusOr<uint64_t> ResolveParent(Catalog* catalog, const PushParameters& options) {
  if (options.parent.empty()) return 0;
  ASSIGN_OR_RETURN(const Reference parent, ParseReference(options.parent), "parent");
  if (parent.model != options.model) {
    return absl::FailedPreconditionError(absl::StrCat("push: parent is a version of ", parent.model,
                                                      ", want one of ", options.model));
  }
  ASSIGN_OR_RETURN(const VersionInfo version, catalog->GetVersion(parent), "parent");
  return version.version;
}

// Whether the same push may come again, and then succeed.
bool MayComeBack(const absl::Status& why) {
  return absl::IsCancelled(why) || absl::IsDeadlineExceeded(why) || absl::IsUnavailable(why) ||
         absl::IsResourceExhausted(why);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Push>> Push::Begin(const Services& services,
                                                  absl::string_view principal,
                                                  PushParameters options) {
  RETURN_IF_ERROR(CheckModelName(options.model), "push");
  RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kPush, options.model));
  if (options.imported.has_value()) {
    RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kImport, options.model));
    if (!options.parent.empty()) {
      return MalformedError(
          "push: an imported version has its parent by number, want no reference");
    }
  }
  RETURN_IF_ERROR(RequireRequestId(options.request_id), "push");
  RETURN_IF_ERROR(CheckLabels(options, services.limits));
  if (!options.alias.empty()) {
    RETURN_IF_ERROR(CheckAliasName(options.alias), "push");
    RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kSetAlias, options.model));
  }
  std::unique_ptr<Push> push(new Push(services, principal, std::move(options)));
  RETURN_IF_ERROR(push->Open());
  return push;
}

absl::Status Push::Open() {
  ASSIGN_OR_RETURN(repeated_, services_.catalog->FindPush(options_.model, options_.request_id));
  if (repeated_) return CheckRepeated();
  ASSIGN_OR_RETURN(parent_, ResolveParent(services_.catalog, options_));
  if (options_.imported.has_value()) parent_ = options_.parent_number;
  const std::string gated = options_.imported.has_value() ? "" : options_.model;
  ASSIGN_OR_RETURN(Gate gate, Gate::Open(services_, principal_, gated, options_.gate));
  gate_.emplace(std::move(gate));
  return absl::OkStatus();
}

// A repeated call is the same call. Its tensors are compared by the client, which knows them.
absl::Status Push::CheckRepeated() const {
  const auto differs = [&](absl::string_view what) {
    return ConflictError("push: request id ", Printable(options_.request_id), " made ",
                         repeated_->model, ":", repeated_->version, " with ", what,
                         ", want an id of its own for another push");
  };
  if (options_.message != repeated_->message) return differs("another message");
  if (options_.labels != repeated_->labels) return differs("other labels");
  if (options_.alias.empty()) return absl::OkStatus();
  // Where it has moved since is nobody's concern here.
  std::string token;
  do {
    ASSIGN_OR_RETURN(const AliasHistoryPage page, services_.catalog->ListAliasHistory(
                                                      repeated_->model, options_.alias, 0, token));
    for (const AliasMove& move : page.moves) {
      if (move.to == repeated_->version) return absl::OkStatus();
    }
    token = page.next_page_token;
  } while (!token.empty());
  return differs(absl::StrCat("no move of alias ", options_.alias));
}

absl::Status Push::Reserve(uint64_t entries, uint64_t encoded_bytes) {
  return WithContext(memory_.Grow(ManifestMemory(entries, encoded_bytes)), "push");
}

absl::Status Push::OfferManifest(Manifest manifest) {
  manifest_ = std::move(manifest);
  RETURN_IF_ERROR(CheckManifestJson(manifest_));
  if (manifest_.entries.empty()) warnings_.emplace_back("the state dict is empty");
  RETURN_IF_ERROR(gate_->Check(GatedSpecs(manifest_)));
  if (options_.no_nan) RETURN_IF_ERROR(CheckAllFinite(manifest_), "push");
  RETURN_IF_ERROR(CollectBlocks());
  return AskStore();
}

absl::Status Push::CollectBlocks() {
  const std::vector<uint32_t> twins =
      TieRepresentatives(manifest_.entries.size(), manifest_.ties);
  absl::flat_hash_map<Digest, uint64_t> known;
  numbers_.resize(manifest_.entries.size());
  for (uint32_t e = 0; e < manifest_.entries.size(); ++e) {
    const ManifestEntry& entry = manifest_.entries[e];
    const uint64_t size = CheckedTensorBytes(entry.spec);
    numbers_[e].reserve(entry.blocks.size());
    for (uint64_t b = 0; b < entry.blocks.size(); ++b) {
      const BlockRef& block = entry.blocks[b];
      const bool hashed = block.digest != Digest();
      if (!hashed && twins[e] != e) continue;
      const uint64_t next = wanted_.size();
      const uint64_t number = hashed ? known.try_emplace(block.digest, next).first->second : next;
      numbers_[e].push_back(number);
      if (number == next) {
        wanted_.push_back({BlockSize(size, b), block.crc32, hashed, e, b});
        digests_.push_back(block.digest);
      } else if (wanted_[number].size_bytes != BlockSize(size, b)) {
        return MalformedError("manifest: block ", b, " of ", QuotedKey(entry.spec.key),
                              " has the digest of a block of another size");
      }
    }
  }
  for (uint32_t e = 0; e < twins.size(); ++e) {
    if (numbers_[e].size() < manifest_.entries[e].blocks.size()) numbers_[e] = numbers_[twins[e]];
  }
  return absl::OkStatus();
}

absl::Status Push::BeginStoring() {
  ASSIGN_OR_RETURN(push_, services_.catalog->BeginPush(options_.model, options_.request_id));
  lane_.emplace(push_.get());
  return absl::OkStatus();
}

absl::Status Push::AskStore() {
  RETURN_IF_ERROR(BeginStoring());
  std::vector<Digest> hashed;
  for (uint64_t number = 0; number < wanted_.size(); ++number) {
    if (wanted_[number].hashed) hashed.push_back(digests_[number]);
  }
  ASSIGN_OR_RETURN(const std::vector<std::optional<BlobInfo>> known, push_->Known(hashed));
  size_t next = 0;
  for (uint64_t number = 0; number < wanted_.size(); ++number) {
    const std::optional<BlobInfo> info =
        wanted_[number].hashed ? known[next++] : std::nullopt;
    if (!info || !services_.authorizer->BlockVisible(principal_, digests_[number])) {
      needed_.push_back(number);
      continue;
    }
    if (info->size_bytes != wanted_[number].size_bytes) {
      return MalformedError("manifest: block ", digests_[number].Hex(), " is ",
                            wanted_[number].size_bytes, " bytes, want ", info->size_bytes);
    }
    wanted_[number].crc32 = info->crc32;
    ++blocks_known_;
  }
  return absl::OkStatus();
}

absl::Status Push::AddBlocks(uint64_t first, absl::Span<const Chunk> payload,
                             std::optional<uint32_t> crc32) {
  if (first != arrived_ || !buffer_.empty()) {
    return MalformedError("push: blocks from number ", first, " of the needed ones came, want ",
                          arrived_);
  }
  for (const Chunk& chunk : payload) {
    absl::string_view bytes = chunk.bytes;
    while (!bytes.empty()) {
      if (arrived_ == needed_.size()) {
        return MalformedError("push: more data came than the ", needed_.size(),
                              " blocks that were asked for");
      }
      const uint64_t want = wanted_[needed_[arrived_]].size_bytes;
      buffer_.reserve(want);
      const size_t n = std::min<uint64_t>(bytes.size(), want - buffer_.size());
      buffer_.append(bytes.data(), n);
      bytes.remove_prefix(n);
      if (buffer_.size() == want) RETURN_IF_ERROR(FinishBlock());
    }
  }
  if (!buffer_.empty()) {
    return MalformedError("push: a data message ends inside block ", arrived_,
                          " of the needed ones, want whole blocks");
  }
  return CheckArrived(first, crc32);
}

// The blocks' own CRCs, which are known by now, give that of the message.
absl::Status Push::CheckArrived(uint64_t first, std::optional<uint32_t> want) const {
  if (!want) return absl::OkStatus();
  uint32_t crc = 0;
  for (uint64_t i = first; i < arrived_; ++i) {
    const Wanted& block = wanted_[needed_[i]];
    crc = Crc32Combine(crc, block.crc32, block.size_bytes);
  }
  if (crc == *want) return absl::OkStatus();
  return ChecksumError("push: CRC-32 of the data at position ", first, " is ",
                       absl::Hex(crc, absl::kZeroPad8), ", want ",
                       absl::Hex(*want, absl::kZeroPad8));
}

absl::Status Push::FinishBlock() {
  const uint64_t number = needed_[arrived_];
  Wanted& wanted = wanted_[number];
  hash_.Update(buffer_);
  const Digest digest = hash_.Finish();
  const uint32_t crc = Crc32(buffer_);
  if (wanted.hashed ? digest != digests_[number] : crc != wanted.crc32) {
    return ChecksumError("push: block ", wanted.block, " of ",
                         QuotedKey(manifest_.entries[wanted.entry].spec.key), " does not have the ",
                         wanted.hashed ? "SHA-256" : "CRC-32", " that the manifest says");
  }
  digests_[number] = digest;
  wanted.crc32 = crc;
  received_bytes_ += buffer_.size();
  ++arrived_;
  return lane_->Add(digest, crc, std::exchange(buffer_, {}));
}

absl::StatusOr<VersionInfo> Push::Commit() {
  if (arrived_ < needed_.size()) {
    return TruncatedError("push: ", arrived_, " of ", needed_.size(), " needed blocks came");
  }
  RETURN_IF_ERROR(lane_->Drain());
  blocks_stored_ = lane_->blocks_stored();
  blocks_known_ += lane_->blocks_known();
  for (size_t e = 0; e < numbers_.size(); ++e) {
    for (size_t b = 0; b < numbers_[e].size(); ++b) {
      const uint64_t number = numbers_[e][b];
      manifest_.entries[e].blocks[b] = {digests_[number], wanted_[number].crc32};
    }
  }
  RETURN_IF_ERROR(CheckManifest(manifest_, services_.limits));
  CatalogPush::PublishOptions publish;
  publish.message = options_.message;
  publish.labels = options_.labels;
  publish.creator = options_.imported.has_value() ? options_.creator : principal_;
  publish.imported = options_.imported;
  publish.parent = parent_;
  publish.alias = options_.alias;
  return push_->Publish(manifest_, publish);
}

// Nobody is there to be told of a failure: then more travels again than had to.
void Push::Leave(const absl::Status& why) {
  if (push_ == nullptr || digests_.empty() || !MayComeBack(why)) return;
  buffer_.clear();
  if (lane_->Drain().ok()) push_->Leave().IgnoreError();
}

}  // namespace ballast

// Models, versions, aliases and manifests, on top of the two engine interfaces.
//
// Records
//   m/<model>   head            number of the newest version, number of live versions
//               v/<10 digits>   a version (VersionRecord); the digits count down, so
//                               that the newest comes first
//               d/<digest>/<10 digits>   a version by its digest
//               x/<10 digits>   a deleted version: who, when, and its VersionRecord
//               a/<alias>       version number and token
//               names           how often aliases were moved
//               h/<10 digits>   a move of an alias, newest first
//               p/<push id>     push intent: epoch, start time, server
//               p/-<request id> the same of a push that was left, and may be begun again
//               r/<request id>  what a finished request answered
//               schema          digests of the bound schema's blocks
//               retention       which versions a collection keeps
//               A model exists if its record has `head` or `schema`.
//   i/<00..0f>  m/<model>       the model's name, by hash of the name; written before
//                               the model; a stale entry is harmless
//   gc          epoch           the current epoch
//
// One model is one record, so "publish version n+1 and move an alias" is one
// commit, and several servers can share an engine. Every conditional write carries
// a token of its own, so an outcome of `unknown` is resolved by reading.
#ifndef BALLAST_STORAGE_STORE_CATALOG_H_
#define BALLAST_STORAGE_STORE_CATALOG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "storage/base/digest.h"
#include "storage/base/limits.h"
#include "storage/model/manifest.h"
#include "storage/model/reference.h"
#include "storage/store/blob_store.h"
#include "storage/store/catalog_facts.h"
#include "storage/store/record_store.h"

namespace ballast {

// A push on its way in: blocks go into it, then it is published or dropped.
// Not thread-safe; a thread of the catalog takes new epochs over beside it, so that a
// collection waits for a push no longer than that takes. Destroyed unpublished, its
// intent is removed, unless it was left.
//
// Errors of all: Unavailable  also when a collection has taken this push for dead and
// fenced it (limits.push_lease_ms): push again.
class CatalogPush {
 public:
  virtual ~CatalogPush() = default;

  // Which of these blocks the store has (and now keeps at least until the push
  // ends); the CRC and size of each that it has.
  virtual absl::StatusOr<std::vector<std::optional<BlobInfo>>> Known(
      absl::Span<const Digest> digests) = 0;

  // Adds a block; the caller has computed digest and CRC. True if it was new.
  virtual absl::StatusOr<bool> Add(const Digest& digest, uint32_t crc32,
                                   absl::string_view bytes) = 0;
  // Bytes added that survive a crash of the server now.
  virtual uint64_t durable_bytes() const = 0;

  // A version that is brought in with the facts that it had elsewhere.
  struct Imported {
    uint64_t version = 0;  // larger than any number that the model has used
    absl::Time created;
    uint64_t numbers_used = 0;  // at least `version`: the next one is larger
  };

  struct PublishOptions {
    std::string message;
    std::map<std::string, std::string> labels;
    std::string creator;
    uint64_t parent = 0;
    std::string alias;  // moved to the new version in the same commit; "": none
    // Its parent need not exist, and its number is given. nullopt: a new one.
    std::optional<Imported> imported = std::nullopt;
  };
  // Makes everything durable and the version visible, in that order. All blocks of
  // the manifest must have been added or answered as known.
  // Errors: FailedPrecondition  a block of the manifest is not in this push (a bug of
  //         the caller); the imported number is not larger than those that were used.
  //         InvalidArgument numbers that no version can have. ResourceExhausted, Unavailable; then
  //         nothing is visible.
  virtual absl::StatusOr<VersionInfo> Publish(const Manifest& manifest,
                                              const PublishOptions& options) = 0;

  // For a push whose client is gone and may come back: makes what was added durable, and
  // for limits.push_lease_ms no collection removes it. The push that comes back is another
  // one, with the same request id, and finds the blocks by Known. Nothing may be called
  // afterwards. Errors: as Add; then a collection may remove what is durable.
  virtual absl::Status Leave() = 0;
};

// Who uses the engine of a catalog.
enum class EngineUse {
  kShared,  // other servers as well, perhaps
  kSole,    // this catalog alone, until it is destroyed: pushes of other servers are dead
};

// Thread-safe.
class Catalog {
 public:
  // Both stores must outlive the catalog. `clock` serves tests; null: the real one.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(BlobStore* blobs, RecordStore* records,
                                                       const Limits& limits,
                                                       std::function<absl::Time()> clock = nullptr,
                                                       EngineUse use = EngineUse::kShared);
  virtual ~Catalog() = default;

  // Begins a push to `model` (made if new). `request_id`: 1 to 64 printable ASCII
  // bytes chosen by the client, or "".
  virtual absl::StatusOr<std::unique_ptr<CatalogPush>> BeginPush(absl::string_view model,
                                                                 absl::string_view request_id) = 0;
  // The version that an earlier push with this request id made; nullopt if none did.
  // Errors: FailedPrecondition  it is deleted by now, or the id was another operation's.
  virtual absl::StatusOr<std::optional<VersionInfo>> FindPush(absl::string_view model,
                                                              absl::string_view request_id) = 0;
  // When the push of an intent (an item p/…) was left: by its client, or, at the latest, by
  // the server that held it; long ago if it will not come back. nullopt: it is under way,
  // or may be.
  virtual std::optional<absl::Time> WhenLeft(absl::string_view key,
                                             absl::string_view intent) const = 0;

  // Errors of all lookups: NotFound (names what was looked for), DataLoss, Unavailable.
  virtual absl::StatusOr<VersionInfo> GetVersion(const Reference& reference) = 0;
  virtual absl::StatusOr<Manifest> GetManifest(const VersionInfo& version) = 0;
  virtual absl::StatusOr<ModelInfo> GetModel(absl::string_view model) = 0;
  // `page_token` is "" or a next_page_token; InvalidArgument otherwise. Models without
  // a live version and without a schema are left out, unless `also_empty`.
  virtual absl::StatusOr<ModelPage> ListModels(absl::string_view prefix, size_t page_size,
                                               absl::string_view page_token,
                                               bool also_empty = false) = 0;
  virtual absl::StatusOr<VersionPage> ListVersions(absl::string_view model, size_t page_size,
                                                   absl::string_view page_token,
                                                   VersionSet which = VersionSet::kLive) = 0;

  // Points `alias` at an existing version. `expected`: the version it must point at
  // now, 0: it must not exist; nullopt: whatever it is. Returns the version it pointed
  // at before, 0: none.
  // Errors: NotFound. Aborted/CONFLICT  it points elsewhere; says where.
  //         ResourceExhausted  limits.aliases_max.
  virtual absl::StatusOr<uint64_t> SetAlias(absl::string_view model, absl::string_view alias,
                                            uint64_t version, std::optional<uint64_t> expected,
                                            const Requester& by) = 0;
  // Errors: NotFound  no such alias. Aborted/CONFLICT.
  virtual absl::Status RemoveAlias(absl::string_view model, absl::string_view alias,
                                   std::optional<uint64_t> expected, const Requester& by) = 0;
  // The last limits.alias_history_max moves of one alias, or (alias "") of all.
  virtual absl::StatusOr<AliasHistoryPage> ListAliasHistory(absl::string_view model,
                                                            absl::string_view alias,
                                                            size_t page_size,
                                                            absl::string_view page_token) = 0;

  // Where a model stands now. Errors: NotFound  no such model.
  virtual absl::StatusOr<ModelPosition> GetPosition(absl::string_view model) = 0;
  // What happened behind a position: versions in the order of their numbers, but for those
  // that are deleted by now, and moves in the order in which they happened; a version comes
  // before the moves to it. With `alias` only its moves.
  // Errors: NotFound  no such model. InvalidArgument  a position that the model has not
  //         reached. OutOfRange  moves behind it are forgotten (limits.alias_history_max).
  virtual absl::StatusOr<ModelEvents> EventsAfter(absl::string_view model, absl::string_view alias,
                                                  const ModelPosition& position) = 0;
  // Calls `changed` after the model changed; a hint, as RecordStore::Watch.
  virtual absl::StatusOr<std::unique_ptr<RecordWatch>> WatchModel(
      absl::string_view model, std::function<void()> changed) = 0;

  // Deletes versions, all or none, at most kDeleteMax. They do not resolve any more, are
  // not listed with the others, and keep their numbers; UndeleteVersion brings them back
  // until a collection after limits.undelete_window_ms removes them. An alias that names
  // one is an error, or (`force`) removed in the same commit. Returns how many.
  // Errors: NotFound  no such version, or it is deleted. FailedPrecondition  an alias
  //         names one; says which.
  static constexpr size_t kDeleteMax = 256;
  virtual absl::StatusOr<uint64_t> DeleteVersions(absl::string_view model,
                                                  absl::Span<const uint64_t> versions, bool force,
                                                  const Requester& by) = 0;
  // All that are live when the call begins, the oldest first, kDeleteMax at a time: cut
  // short, it has deleted some, and the same call again goes on.
  // Errors: as DeleteVersions; an alias is found before anything is deleted.
  virtual absl::StatusOr<uint64_t> DeleteAllVersions(absl::string_view model, bool force,
                                                     const Requester& by) = 0;
  // Errors: NotFound  no such version, or it was removed. FailedPrecondition  it is not
  //         deleted. DataLoss  a block of it is missing.
  virtual absl::Status UndeleteVersion(absl::string_view model, uint64_t version,
                                       const Requester& by) = 0;

  // nullopt lifts the rules: then a collection keeps every version.
  // Errors: NotFound  no such model. InvalidArgument  no rule, or a label without a name.
  //         ResourceExhausted  limits.retention_labels_max, limits.label_bytes_max.
  virtual absl::Status SetRetention(absl::string_view model, const std::optional<Retention>& rules,
                                    const Requester& by) = 0;
  virtual absl::StatusOr<std::optional<Retention>> GetRetention(absl::string_view model) = 0;

  // From now on versions get numbers above `numbers_used`. Makes the model if it is new.
  // Errors: InvalidArgument  above kVersionMax.
  virtual absl::Status ReserveNumbers(absl::string_view model, uint64_t numbers_used,
                                      const Requester& by) = 0;

  // The model's gate, as JSON text; NotFound if none is bound. Binding makes the
  // model if it is new.
  virtual absl::Status BindSchema(absl::string_view model, absl::string_view schema_json,
                                  absl::string_view request_id) = 0;
  virtual absl::Status UnbindSchema(absl::string_view model, absl::string_view request_id) = 0;
  virtual absl::StatusOr<std::string> GetBoundSchema(absl::string_view model) = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_CATALOG_H_

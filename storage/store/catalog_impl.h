// Inside of the catalog; catalog.h is the contract. One class, its sources cut by use:
// catalog_lookup, catalog_list, catalog_alias, catalog_events, catalog_delete,
// catalog_retention, catalog_schema, catalog_push.
#ifndef BALLAST_STORAGE_STORE_CATALOG_IMPL_H_
#define BALLAST_STORAGE_STORE_CATALOG_IMPL_H_

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "storage/store/catalog.h"
#include "storage/store/commit_attempts.h"
#include "storage/store/lease_keeper.h"
#include "storage/store/model_record.h"
#include "storage/store/stored_text.h"
#include "storage/store/version_record.h"

namespace ballast {

class CatalogImpl : public Catalog {
 public:
  CatalogImpl(BlobStore* blobs, RecordStore* records, const Limits& limits,
              std::function<absl::Time()> clock, EngineUse use);

  absl::StatusOr<std::unique_ptr<CatalogPush>> BeginPush(absl::string_view model,
                                                         absl::string_view request_id) override;
  absl::StatusOr<std::optional<VersionInfo>> FindPush(absl::string_view model,
                                                      absl::string_view request_id) override;
  std::optional<absl::Time> WhenLeft(absl::string_view key,
                                     absl::string_view intent) const override;
  absl::StatusOr<VersionInfo> GetVersion(const Reference& reference) override;
  absl::StatusOr<Manifest> GetManifest(const VersionInfo& version) override;
  absl::StatusOr<ModelInfo> GetModel(absl::string_view model) override;
  absl::StatusOr<ModelPage> ListModels(absl::string_view prefix, size_t page_size,
                                       absl::string_view page_token, bool also_empty) override;
  absl::StatusOr<VersionPage> ListVersions(absl::string_view model, size_t page_size,
                                           absl::string_view page_token, VersionSet which) override;
  absl::StatusOr<uint64_t> SetAlias(absl::string_view model, absl::string_view alias,
                                    uint64_t version, std::optional<uint64_t> expected,
                                    const Requester& by) override;
  absl::Status RemoveAlias(absl::string_view model, absl::string_view alias,
                           std::optional<uint64_t> expected, const Requester& by) override;
  absl::StatusOr<AliasHistoryPage> ListAliasHistory(absl::string_view model,
                                                    absl::string_view alias, size_t page_size,
                                                    absl::string_view page_token) override;
  absl::StatusOr<ModelPosition> GetPosition(absl::string_view model) override;
  absl::StatusOr<ModelEvents> EventsAfter(absl::string_view model, absl::string_view alias,
                                          const ModelPosition& position) override;
  absl::StatusOr<std::unique_ptr<RecordWatch>> WatchModel(absl::string_view model,
                                                          std::function<void()> changed) override;
  absl::StatusOr<uint64_t> DeleteVersions(absl::string_view model,
                                          absl::Span<const uint64_t> versions, bool force,
                                          const Requester& by) override;
  absl::StatusOr<uint64_t> DeleteAllVersions(absl::string_view model, bool force,
                                             const Requester& by) override;
  absl::Status UndeleteVersion(absl::string_view model, uint64_t version,
                               const Requester& by) override;
  absl::Status SetRetention(absl::string_view model, const std::optional<Retention>& rules,
                            const Requester& by) override;
  absl::StatusOr<std::optional<Retention>> GetRetention(absl::string_view model) override;
  absl::Status ReserveNumbers(absl::string_view model, uint64_t numbers_used,
                              const Requester& by) override;
  absl::Status BindSchema(absl::string_view model, absl::string_view schema_json,
                          absl::string_view request_id) override;
  absl::Status UnbindSchema(absl::string_view model, absl::string_view request_id) override;
  absl::StatusOr<std::string> GetBoundSchema(absl::string_view model) override;

  BlobStore* blobs() const { return blobs_; }
  RecordStore* records() const { return records_; }
  const Limits& limits() const { return limits_; }
  LeaseKeeper* leases() { return &leases_; }
  // In whole microseconds, as records keep it.
  absl::Time Now() const;

  // A push intent that is recorded, and the batch begun after it.
  struct Begun {
    std::string id;
    absl::Time start;
    std::string intent;  // the value of p/<id>
    Epoch epoch = 0;     // of the batch, at least what the intent says
    std::unique_ptr<BlobBatch> batch;
  };
  absl::StatusOr<Begun> BeginIntent(const std::string& model);
  // Raises the intent to the batch's epoch; false if a collection has taken it away.
  absl::StatusOr<bool> RaiseIntent(const std::string& model, Begun* begun);
  // Puts the intent under its request id, as one that was left now; false if a collection
  // has taken it away.
  absl::StatusOr<bool> LeaveIntent(const std::string& model, const std::string& request_id,
                                   const Begun& begun);
  // Best effort: what stays is removed by gc, which does not wait for it.
  void DropIntent(const std::string& model, const std::string& push_id);

  absl::StatusOr<std::optional<std::string>> ReadOne(absl::string_view record,
                                                     const std::string& key);
  absl::StatusOr<std::optional<VersionRecord>> ReadVersion(absl::string_view model,
                                                           uint64_t version);
  // NotFound, which says whether it is deleted.
  absl::Status NoSuchVersion(absl::string_view model, uint64_t version);
  // A deleted version; nullopt: there is none. `value`, if given: its record as it is.
  absl::StatusOr<std::optional<VersionRecord>> ReadDeleted(absl::string_view model,
                                                           uint64_t version,
                                                           std::string* value = nullptr);
  // The answer of a finished request; nullopt: there is none, or request_id is "".
  // Errors: FailedPrecondition  it was another operation.
  absl::StatusOr<std::optional<RequestAnswer>> FindRequest(absl::string_view model,
                                                           absl::string_view request_id,
                                                           Operation operation);
  // The version's info with its aliases. NotFound.
  absl::StatusOr<VersionInfo> VersionWithAliases(absl::string_view model, uint64_t version);
  // The aliases of a model: name -> version.
  absl::StatusOr<std::map<std::string, uint64_t>> Aliases(absl::string_view model);
  // ResourceExhausted if the model has limits.aliases_max aliases.
  absl::Status CheckRoomForAlias(absl::string_view model);
  // What a commit that moves aliases adds: `names` as it was read with them, a line of
  // history for each move. Nothing without a move.
  absl::Status AddAliasMoves(const std::optional<std::string>& names,
                             absl::Span<const AliasMove> moves,
                             std::vector<RecordCondition>* conditions,
                             std::vector<RecordEdit>* edits);

  // One step of a change to a model: what to commit, or that it is done already.
  struct Plan {
    bool done = false;
    uint64_t answer = 0;
    std::vector<RecordCondition> conditions;
    std::vector<RecordEdit> edits;
  };
  // Makes a plan from what is there now. `maybe_applied`: an earlier plan may have
  // been applied; `token` is in all of them.
  using Planner = std::function<absl::StatusOr<Plan>(const std::string& token, bool maybe_applied)>;
  // Plans and commits until a plan is applied; the answer is kept under request_id.
  absl::StatusOr<uint64_t> Change(absl::string_view model, absl::string_view request_id,
                                  Operation operation, const Planner& planner);

 private:
  // A deletion on its way.
  struct Doomed {
    std::vector<uint64_t> versions;
    bool force = false;       // remove the aliases that name them
    bool missing_ok = false;  // versions that are gone already are left out
    uint64_t counted = 0;     // versions deleted before, for the answer
  };

  absl::Status EnsureIndexed(const std::string& model);
  absl::StatusOr<uint64_t> Delete(absl::string_view model, const Doomed& doomed,
                                  const Requester& by);
  absl::StatusOr<Plan> PlanDeletion(absl::string_view model, const Doomed& doomed,
                                    const Requester& by, const std::string& token);
  absl::Status PlanDeletionOf(absl::string_view model, uint64_t version,
                              const DeletedRecord& deletion, Plan* plan);
  absl::StatusOr<VersionRecord> DecodeListed(absl::string_view value, VersionSet which);
  absl::StatusOr<std::vector<uint64_t>> LiveVersions(absl::string_view model);
  absl::Status Restore(absl::string_view model, uint64_t version, const Requester& by,
                       const Begun& begun);
  absl::Status RaiseBlocks(const VersionRecord& record, Epoch epoch);
  absl::StatusOr<uint64_t> NewestWith(absl::string_view model, absl::string_view key_prefix);
  absl::StatusOr<uint64_t> Resolve(const Reference& reference);
  absl::StatusOr<std::optional<ModelInfo>> ReadModel(const std::string& model);
  absl::Status MissingVersion(const Reference& reference);
  absl::StatusOr<uint64_t> OldestVersionAfter(absl::string_view model, uint64_t version);
  absl::Status AddPublished(absl::string_view model, uint64_t newest, ModelEvents* out);
  absl::Status AddMoved(absl::string_view model, absl::string_view alias, uint64_t newest,
                        ModelEvents* out);

  BlobStore* const blobs_;      // Must outlive this.
  RecordStore* const records_;  // Must outlive this.
  const Limits limits_;
  const std::function<absl::Time()> clock_;
  const EngineUse use_;
  const std::string server_;  // token of this catalog in the intents that it holds
  const absl::Time opened_;
  mutable std::mutex dropped_mutex_;
  std::set<std::string> dropped_;  // keys of intents that could not be taken away
  LeaseKeeper leases_;
};

// Raises the epochs of many blocks; false if one of them is not there.
absl::StatusOr<bool> RaiseAll(BlobStore* blobs, absl::Span<const Digest> digests, Epoch epoch);

// Takes a begun intent over.
std::unique_ptr<CatalogPush> NewCatalogPush(CatalogImpl* catalog, std::string model,
                                            std::string request_id, CatalogImpl::Begun begun);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_CATALOG_IMPL_H_

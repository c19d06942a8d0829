#include "tests/store/mark_and_sweep.h"

#include <limits>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/model_record.h"
#include "storage/store/record_iteration.h"
#include "storage/store/version_record.h"

namespace ballast {
namespace {

absl::StatusOr<Epoch> RaiseEpoch(RecordStore* records) {
  const std::string key(kEpochKey);
  ASSIGN_OR_RETURN(const auto values, records->Read(kGcRecord, {key}));
  Epoch epoch = 1;
  if (values[0].has_value() && !absl::SimpleAtoi(*values[0], &epoch)) {
    return absl::DataLossError("epoch");
  }
  ASSIGN_OR_RETURN(const CommitOutcome outcome, records->Commit(kGcRecord, {{key, values[0]}},
                                                                {{key, absl::StrCat(epoch + 1)}}));
  if (outcome != CommitOutcome::kApplied) return absl::AbortedError("epoch");
  return epoch + 1;
}

absl::Status Fence(RecordStore* records, const std::string& model, Epoch epoch) {
  std::vector<RecordEdit> edits;
  RETURN_IF_ERROR(ForEachItem(
      records, model, "", kIntentPrefix, 100,
      [&](absl::string_view key, absl::string_view value) -> absl::StatusOr<Walk> {
        Epoch of_intent = 0;
        const bool known = absl::SimpleAtoi(value.substr(0, value.find(' ')), &of_intent);
        if (!known || of_intent < epoch) edits.push_back({std::string(key), std::nullopt});
        return Walk::kGoOn;
      }));
  return records->Commit(model, {}, edits).status();
}

absl::Status Mark(Catalog* catalog, RecordStore* records, const std::string& model,
                  std::set<Digest>* marked) {
  return ForEachItem(records, model, "", kVersionPrefix, 100,
                     [&](absl::string_view, absl::string_view value) -> absl::StatusOr<Walk> {
                       ASSIGN_OR_RETURN(VersionRecord record, DecodeVersionRecord(value));
                       record.info.model = model.substr(kModelPrefix.size());
                       marked->insert(record.manifest.blocks.begin(), record.manifest.blocks.end());
                       ASSIGN_OR_RETURN(const Manifest manifest, catalog->GetManifest(record.info));
                       for (const ManifestEntry& entry : manifest.entries) {
                         for (const BlockRef& block : entry.blocks) marked->insert(block.digest);
                       }
                       return Walk::kGoOn;
                     });
}

}  // namespace

absl::StatusOr<uint64_t> MarkAndSweep(Catalog* catalog, BlobStore* blobs, RecordStore* records,
                                      bool careful) {
  ASSIGN_OR_RETURN(Epoch epoch, RaiseEpoch(records));
  std::set<Digest> marked;
  for (uint32_t shard = 0; shard < kModelShards; ++shard) {
    RETURN_IF_ERROR(
        ForEachItem(records, IndexRecord(shard), "", kModelPrefix, 100,
                    [&](absl::string_view key, absl::string_view) -> absl::StatusOr<Walk> {
                      const std::string model(key);
                      if (careful) RETURN_IF_ERROR(Fence(records, model, epoch));
                      RETURN_IF_ERROR(Mark(catalog, records, model, &marked));
                      return Walk::kGoOn;
                    }));
  }
  if (!careful) epoch = std::numeric_limits<Epoch>::max();
  uint64_t removed = 0;
  for (uint32_t shard = 0; shard < BlobStore::kShards; ++shard) {
    std::string cursor;
    do {
      ASSIGN_OR_RETURN(auto page, blobs->Scan(shard, &cursor));
      std::erase_if(page, [&](const Digest& digest) { return marked.count(digest) != 0; });
      ASSIGN_OR_RETURN(const uint64_t count, blobs->RemoveIfOlder(page, epoch));
      removed += count;
    } while (!cursor.empty());
  }
  return removed;
}

}  // namespace ballast

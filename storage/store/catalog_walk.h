// Going through all that the catalog has stored, for collections.
#ifndef BALLAST_STORAGE_STORE_CATALOG_WALK_H_
#define BALLAST_STORAGE_STORE_CATALOG_WALK_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/store/record_store.h"
#include "storage/store/version_record.h"

namespace ballast {

// Calls `each` with the name of every model, in no order; a name may be of a model that
// has nothing. Errors: those of the store and of `each`.
absl::Status ForEachModel(RecordStore* records,
                          const std::function<absl::Status(const std::string& model)>& each);

// The live versions of a model, newest first. Errors: also DataLoss  a damaged record.
absl::Status ForEachLive(RecordStore* records, const std::string& model,
                         const std::function<absl::Status(const VersionRecord&)>& each);

// An item of a record as it was read.
using StoredItem = std::pair<std::string, std::string>;

// The deleted versions of a model, newest first, with their items.
absl::Status ForEachDeleted(
    RecordStore* records, const std::string& model,
    const std::function<absl::Status(const StoredItem&, const DeletedRecord&,
                                     const VersionRecord&)>& each);

// Erases those items that are still as they were read, in one commit if nobody changes
// them meanwhile. Returns how many are gone.
absl::StatusOr<uint64_t> EraseUnchanged(RecordStore* records, const std::string& record,
                                        std::vector<StoredItem> items);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_CATALOG_WALK_H_

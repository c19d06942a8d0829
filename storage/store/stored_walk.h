// Going through everything that the catalog has stored, past what is damaged: for those
// who want to know what is, where catalog_walk.h stops at the first error.
#ifndef BALLAST_STORAGE_STORE_STORED_WALK_H_
#define BALLAST_STORAGE_STORE_STORED_WALK_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/store/record_store.h"
#include "storage/store/stored_text.h"
#include "storage/store/version_record.h"

namespace ballast {

// Called for what is found; an error of one of them ends the walk. Null: not wanted.
struct StoredWalk {
  std::function<absl::Status(const VersionRecord& record, bool deleted)> version;
  std::function<absl::Status(const std::string& model, const StoredText& text)> schema;
  // A record, or a part of one, that cannot be read or makes no sense.
  std::function<absl::Status(absl::string_view problem)> damaged;
};

// Errors: Unavailable, and those of the functions.
absl::Status WalkStored(RecordStore* records, const StoredWalk& walk);
absl::Status WalkModel(RecordStore* records, const std::string& model, const StoredWalk& walk);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_STORED_WALK_H_

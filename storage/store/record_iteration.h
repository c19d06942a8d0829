// Going through the items of a record, page by page.
#ifndef BALLAST_STORAGE_STORE_RECORD_ITERATION_H_
#define BALLAST_STORAGE_STORE_RECORD_ITERATION_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/store/record_store.h"

namespace ballast {

// What to do after an item.
enum class Walk { kGoOn, kStop };

// Calls `each` for every item with `prefix` and key > `after`, ascending. Short pages
// are filled up; pages are of different instants. `page_size` is a hint.
// Errors: those of List and of `each`.
absl::Status ForEachItem(RecordStore* records, absl::string_view record, absl::string_view after,
                         absl::string_view prefix, size_t page_size,
                         const std::function<absl::StatusOr<Walk>(absl::string_view key,
                                                                  absl::string_view value)>& each);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_RECORD_ITERATION_H_

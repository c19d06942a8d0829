#include "storage/store/record_iteration.h"

#include "storage/base/status.h"

namespace ballast {

absl::Status ForEachItem(RecordStore* records, absl::string_view record, absl::string_view after,
                         absl::string_view prefix, size_t page_size,
                         const std::function<absl::StatusOr<Walk>(absl::string_view key,
                                                                  absl::string_view value)>& each) {
  std::string last(after);
  bool more = true;
  while (more) {
    ASSIGN_OR_RETURN(const RecordPage page, records->List(record, last, prefix, page_size));
    for (const auto& [key, value] : page.items) {
      ASSIGN_OR_RETURN(const Walk walk, each(key, value));
      if (walk == Walk::kStop) return absl::OkStatus();
    }
    more = page.more && !page.items.empty();
    if (more) last = page.items.back().first;
  }
  return absl::OkStatus();
}

}  // namespace ballast

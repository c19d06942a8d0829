// What every engine refuses in a record's name, keys and values.
#ifndef BALLAST_STORAGE_STORE_RECORD_BOUNDS_H_
#define BALLAST_STORAGE_STORE_RECORD_BOUNDS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/store/record_store.h"

namespace ballast {

inline constexpr size_t kRecordNameBytesMax = 1000;  // record ids and keys
inline constexpr size_t kRecordValueBytesMax = 1u << 20;

// Errors: InvalidArgument  not 1 to kRecordNameBytesMax bytes, or holds a NUL.
absl::Status CheckRecordName(absl::string_view name);
// Checks all names and values of a commit.
// Errors: InvalidArgument; also a value that is empty or above kRecordValueBytesMax.
absl::Status CheckRecordCommit(absl::string_view record,
                               absl::Span<const RecordCondition> conditions,
                               absl::Span<const RecordEdit> edits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_RECORD_BOUNDS_H_

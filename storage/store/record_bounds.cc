#include "storage/store/record_bounds.h"

#include "storage/base/status.h"

namespace ballast {

absl::Status CheckRecordName(absl::string_view name) {
  if (name.empty() || name.size() > kRecordNameBytesMax) {
    return MalformedError("record: length of a name is ", name.size(), ", want 1 to ",
                          kRecordNameBytesMax);
  }
  if (name.find('\0') != absl::string_view::npos) {
    return MalformedError("record: name \"", Printable(name), "\" holds a NUL, want none");
  }
  return absl::OkStatus();
}

absl::Status CheckRecordCommit(absl::string_view record,
                               absl::Span<const RecordCondition> conditions,
                               absl::Span<const RecordEdit> edits) {
  RETURN_IF_ERROR(CheckRecordName(record));
  for (const RecordCondition& condition : conditions) {
    RETURN_IF_ERROR(CheckRecordName(condition.key));
  }
  for (const RecordEdit& edit : edits) {
    RETURN_IF_ERROR(CheckRecordName(edit.key));
    if (!edit.value.has_value()) continue;
    if (edit.value->empty() || edit.value->size() > kRecordValueBytesMax) {
      return MalformedError("record: length of the value of \"", Printable(edit.key), "\" is ",
                            edit.value->size(), ", want 1 to ", kRecordValueBytesMax);
    }
  }
  return absl::OkStatus();
}

}  // namespace ballast

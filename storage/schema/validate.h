// Compares tensors with a schema. Keys must match exactly: that is how state
// dicts are loaded, so a difference is reported, never guessed away.
#ifndef BALLAST_STORAGE_SCHEMA_VALIDATE_H_
#define BALLAST_STORAGE_SCHEMA_VALIDATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/base/equality.h"
#include "storage/base/limits.h"
#include "storage/schema/schema.h"

namespace ballast {

// One difference. `expected` and `found` are empty where there is nothing to say
// (a missing key has no `found`). `suggestion` is one short phrase, "" if none is
// evident: 'did you mean "fc1.weight"?', 'every key has the prefix "module."; --rename …'.
struct ReportItem {
  std::string key;
  std::string expected;    // "float32 [10, in]"
  std::string found;       // "float32 [10, 4]"
  std::string suggestion;
  BALLAST_DEFAULT_EQUALITY(ReportItem);
};

// The words follow torch's load_state_dict.
struct Report {
  bool ok = true;
  bool strict = true;
  std::vector<ReportItem> missing;            // in the schema, not optional, not found
  std::vector<ReportItem> unexpected;         // found, not in the schema
  std::vector<ReportItem> shape_mismatches;
  std::vector<ReportItem> dtype_mismatches;
  uint64_t items_omitted = 0;                 // beyond limits.report_items_max
  BALLAST_DEFAULT_EQUALITY(Report);
};

// Strict: all must match. Non-strict: missing and unexpected are allowed (and
// still listed), mismatches are not. Linear in the number of entries.
Report Validate(const Schema& schema, absl::Span<const TensorSpec> specs, bool strict,
                const Limits& limits);

// Decides entry by entry, for streams: a contradiction is known as soon as the
// entry is. Not thread-safe. `schema` must outlive this.
class StreamingValidator {
 public:
  StreamingValidator(const Schema* schema, bool strict, const Limits& limits);
  ~StreamingValidator();
  // OK, or SCHEMA_MISMATCH if this entry alone already contradicts the schema
  // (unexpected under strict, dtype, shape, a named dim).
  absl::Status Add(const TensorSpec& spec);
  // The whole report, over everything added.
  Report Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// {"ok":…, "strict":…, "missing":[{"key","expected","found","suggestion"}…], …}
std::string ReportToJson(const Report& report);

// OK if the report is; else FailedPrecondition/SCHEMA_MISMATCH with one line:
// "schema: 2 missing, 1 shape mismatch; first: key "fc.weight" is float32 [10, 4],
// want float32 [10, 5]".
absl::Status ReportToStatus(const Report& report);

}  // namespace ballast

#endif  // BALLAST_STORAGE_SCHEMA_VALIDATE_H_

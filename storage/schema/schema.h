// A schema is what a module expects of a state dict, as JSON:
//
//   {"ballast_schema": 1,
//    "entries": [{"key": "fc.weight", "dtype": "float32", "shape": [10, "in"],
//                 "kind": "parameter", "optional": false}, …]}
//
// dtype may be left out (any). A dim is a number, -1 (any), or a name: all dims
// of that name must be equal. `kind` informs and is never compared. Unknown
// fields, duplicate keys and duplicate JSON members are refused.
#ifndef BALLAST_STORAGE_SCHEMA_SCHEMA_H_
#define BALLAST_STORAGE_SCHEMA_SCHEMA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/base/equality.h"
#include "storage/base/limits.h"
#include "storage/model/tensor_spec.h"

namespace ballast {

struct SchemaDim {
  int64_t size = -1;   // ≥ 0, or -1: any
  std::string name;    // not empty: all dims of this name are equal
  BALLAST_DEFAULT_EQUALITY(SchemaDim);
};

struct SchemaEntry {
  std::string key;
  std::optional<DType> dtype;
  absl::InlinedVector<SchemaDim, 4> shape;
  Kind kind = Kind::kUnknown;
  bool optional = false;
  BALLAST_DEFAULT_EQUALITY(SchemaEntry);
};

struct Schema {
  std::vector<SchemaEntry> entries;
  BALLAST_DEFAULT_EQUALITY(Schema);
};

// Errors: InvalidArgument/MALFORMED  not JSON, or not a schema; names the entry
//         and the field. ResourceExhausted  limits.schema_bytes_max, entries_max.
absl::StatusOr<Schema> ParseSchema(absl::string_view json, const Limits& limits);

// Deterministic: entries in their order, fixed member order, one entry a line.
std::string SchemaToJson(const Schema& schema);

// The schema that exactly these tensors fulfil.
Schema SchemaOf(absl::Span<const TensorSpec> specs);

}  // namespace ballast

#endif  // BALLAST_STORAGE_SCHEMA_SCHEMA_H_

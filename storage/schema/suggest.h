// Finds what a difference between schema and tensors probably comes from.
// Suggestions only inform; nothing is ever matched by them.
#ifndef BALLAST_STORAGE_SCHEMA_SUGGEST_H_
#define BALLAST_STORAGE_SCHEMA_SUGGEST_H_

#include <string>
#include <vector>

#include "storage/model/tensor_spec.h"
#include "storage/schema/schema.h"
#include "storage/schema/validate.h"

namespace ballast {

// Fills `suggestion` of the report's missing and unexpected items:
//   - one prefix that all unexpected keys have and all missing ones lack, or the
//     other way round (module., _orig_mod., model. …), with the --rename for it;
//   - a tensor of the same dtype and shape under a similar name.
// missing[i] and unexpected[i] describe the report's item i. Work is bounded: linear
// in the items for prefixes, and a fixed budget for names.
void SuggestNames(const std::vector<const SchemaEntry*>& missing,
                  const std::vector<TensorSpec>& unexpected, Report* report);

// Why the shapes may differ: one element with and without a dim, the same number of
// elements, a transposed matrix; "" if nothing is evident.
std::string SuggestShape(const SchemaEntry& expected, const TensorSpec& found);

// The number of single-byte edits between two names, or `limit` if it is not below
// it; looks at no more than |a| × |b| cells.
size_t EditDistance(absl::string_view a, absl::string_view b, size_t limit);

}  // namespace ballast

#endif  // BALLAST_STORAGE_SCHEMA_SUGGEST_H_

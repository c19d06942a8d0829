#include "storage/model/row_range.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// "5:9", "5:" as the caller has it.
std::string RangeText(const RowRange& range) {
  uint64_t end = 0;
  if (!range.count) return absl::StrCat(range.first, ":");
  if (CheckedAdd(range.first, *range.count, &end)) return absl::StrCat(range.first, ":", end);
  return absl::StrCat(*range.count, " rows from ", range.first);
}

}  // namespace

absl::StatusOr<RowSlice> SliceRows(const TensorSpec& spec, const RowRange& range) {
  if (spec.shape.empty()) {
    return MalformedError("rows of ", QuotedKey(spec.key), ": shape is [], want a dimension");
  }
  const uint64_t rows = spec.shape[0];
  if (range.first > rows || range.count.value_or(0) > rows - range.first) {
    return absl::OutOfRangeError(
        absl::StrCat("rows of ", QuotedKey(spec.key), ": wanted are ", RangeText(range),
                     ", shape is ", ShapeText(spec.shape), ", want rows within 0:", rows));
  }
  const uint64_t count = range.count.value_or(rows - range.first);
  uint64_t row_bits = InfoOf(spec.dtype).bits;
  for (size_t i = 1; i < spec.shape.size(); ++i) row_bits *= spec.shape[i];
  if (range.first * row_bits % 8 != 0 || count * row_bits % 8 != 0) {
    return MalformedError("rows of ", QuotedKey(spec.key), ": ", RangeText(range), " of ",
                          DTypeName(spec.dtype), " ", ShapeText(spec.shape),
                          " begin or end inside a byte, want whole bytes");
  }
  RowSlice slice{spec, range.first, range.first * row_bits / 8, count * row_bits / 8};
  slice.spec.shape[0] = count;
  return slice;
}

}  // namespace ballast

// Rows of a tensor: slices along its first dimension, which lie one behind the other in its
// bytes.
#ifndef BALLAST_STORAGE_MODEL_ROW_RANGE_H_
#define BALLAST_STORAGE_MODEL_ROW_RANGE_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "storage/model/tensor_spec.h"

namespace ballast {

struct RowRange {
  uint64_t first = 0;
  std::optional<uint64_t> count = std::nullopt;  // nullopt: to the last one
};

// A tensor of its own: `spec` is the whole one's but for the first dimension.
struct RowSlice {
  TensorSpec spec;
  uint64_t first_row = 0;
  uint64_t offset_bytes = 0;  // of the slice, in the tensor's bytes
  uint64_t size_bytes = 0;
};

// No rows are a slice too, also behind the last row. `spec` has passed TensorBytes.
// Errors: OutOfRange       rows that the tensor does not have.
//         InvalidArgument  a tensor without dimensions; packed elements (float6_*) of which
//                          the slice would begin or end inside a byte.
absl::StatusOr<RowSlice> SliceRows(const TensorSpec& spec, const RowRange& range);

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_ROW_RANGE_H_

// How the values of a tensor changed: both are read side by side, a little at a time.
#ifndef BALLAST_SERVER_USE_CASES_VALUE_DIFF_H_
#define BALLAST_SERVER_USE_CASES_VALUE_DIFF_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/use_cases/store_tensor_source.h"
#include "storage/model/manifest.h"

namespace ballast {

// Over the elements of two tensors of one shape, as doubles; the parts of complex ones are
// elements here. Differences that are no finite numbers are counted, not measured.
struct ValueChange {
  uint64_t elements = 0;
  uint64_t changed = 0;  // whose bits differ; another dtype: whose values differ
  double max_abs = 0;    // of the differences
  double l2 = 0;         // norm of the differences
  double l2_from = 0;    // norm of the finite values that were there before
  uint64_t not_finite = 0;
  friend bool operator==(const ValueChange&, const ValueChange&) = default;
};

// Whether elements of both dtypes are numbers.
bool HaveValues(DType from, DType to);

// Compares entries of two manifests. Of blocks that are the same in both only the first is
// read. Memory: a block of each and some buffers. Not thread-safe.
class ValueDiff {
 public:
  // All must outlive this. `go_on` is asked now and then whether to go on.
  ValueDiff(BlobStore* blobs, const Manifest* from, const Manifest* to,
            std::function<absl::Status()> go_on);

  // The entries have one shape, and dtypes that have values.
  // Errors: DataLoss  a block is missing or damaged; names the key. Those of `go_on`.
  absl::StatusOr<ValueChange> Compare(uint32_t from, uint32_t to);
  // Bytes read so far.
  uint64_t read_bytes() const { return read_bytes_; }

 private:
  struct Side;
  struct Sums;

  absl::Status CompareWindow(const Side& from, const Side& to, bool same_block, uint64_t first,
                             uint64_t count, Sums* sums);

  const Manifest* const from_;  // Must outlive this.
  const Manifest* const to_;    // Must outlive this.
  StoreTensorSource from_source_;
  StoreTensorSource to_source_;
  const std::function<absl::Status()> go_on_;
  std::vector<double> from_values_, to_values_;
  uint64_t read_bytes_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_VALUE_DIFF_H_

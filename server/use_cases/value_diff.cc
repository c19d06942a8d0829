#include "server/use_cases/value_diff.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "storage/base/status.h"
#include "storage/model/element_values.h"

namespace ballast {
namespace {

// Of the wider tensor; divides a block.
constexpr uint64_t kWindowBytes = 64u << 10;

double Norm(double squares) {
  return std::min(std::sqrt(squares), std::numeric_limits<double>::max());
}

// As doubles, 64-bit integers that differ could be the same.
template <typename Int>
double IntegerDifference(const char* from, const char* to) {
  Int a, b;
  std::memcpy(&a, from, sizeof(a));
  std::memcpy(&b, to, sizeof(b));
  const auto distance = [](Int high, Int low) {
    return static_cast<double>(static_cast<uint64_t>(high) - static_cast<uint64_t>(low));
  };
  return b >= a ? distance(b, a) : -distance(a, b);
}

bool SameNumber(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

// One of the two tensors.
struct ValueDiff::Side {
  Side(StoreTensorSource* from, const Manifest& manifest, uint32_t position)
      : source(from),
        entry(position),
        tensor(&manifest.entries[position]),
        dtype(tensor->spec.dtype),
        parts(ValuesPerElement(dtype)),
        element_bytes(InfoOf(dtype).bits / 8) {}

  // Elements from `first` on that lie in one block.
  uint64_t LeftInBlock(uint64_t first) const {
    return (kBlockBytes - first * element_bytes % kBlockBytes) / element_bytes;
  }
  absl::StatusOr<Chunk> Read(uint64_t first, uint64_t count) const {
    return source->Read(entry, first * element_bytes, count * element_bytes);
  }
  const Digest& BlockOf(uint64_t first) const {
    return tensor->blocks[first * element_bytes / kBlockBytes].digest;
  }

  StoreTensorSource* const source;  // Must outlive this.
  const uint32_t entry;
  const ManifestEntry* const tensor;  // Must outlive this.
  const DType dtype;
  const uint32_t parts;
  const uint64_t element_bytes;
};

struct ValueDiff::Sums {
  ValueChange change;
  double squares = 0;
  double from_squares = 0;

  void AddBefore(absl::Span<const double> values) {
    for (const double value : values) {
      if (std::isfinite(value)) from_squares += value * value;
    }
  }
  void AddDifference(double difference) {
    ++change.changed;
    if (!std::isfinite(difference)) {
      ++change.not_finite;
      return;
    }
    change.max_abs = std::max(change.max_abs, std::abs(difference));
    squares += difference * difference;
  }
  // Of one dtype: what has the same bits has not changed, whatever the number.
  void AddSameDType(DType dtype, const char* from_bytes, const char* to_bytes, size_t width,
                    absl::Span<const double> from, const double* to) {
    for (size_t i = 0; i < from.size(); ++i) {
      const char *a = from_bytes + i * width, *b = to_bytes + i * width;
      if (std::memcmp(a, b, width) == 0) continue;
      if (dtype == DType::kInt64) {
        AddDifference(IntegerDifference<int64_t>(a, b));
      } else if (dtype == DType::kUint64) {
        AddDifference(IntegerDifference<uint64_t>(a, b));
      } else {
        AddDifference(to[i] - from[i]);
      }
    }
  }
  // A real number is a complex one without an imaginary part.
  void AddOtherDType(const std::vector<double>& from, uint32_t from_parts,
                     const std::vector<double>& to, uint32_t to_parts, uint64_t elements) {
    const uint32_t parts = std::max(from_parts, to_parts);
    for (uint64_t i = 0; i < elements; ++i) {
      for (uint32_t part = 0; part < parts; ++part) {
        const double a = part < from_parts ? from[i * from_parts + part] : 0;
        const double b = part < to_parts ? to[i * to_parts + part] : 0;
        if (!SameNumber(a, b)) AddDifference(b - a);
      }
    }
  }
};

bool HaveValues(DType from, DType to) {
  return ValuesPerElement(from) > 0 && ValuesPerElement(to) > 0;
}

ValueDiff::ValueDiff(BlobStore* blobs, const Manifest* from, const Manifest* to,
                     std::function<absl::Status()> go_on)
    : from_(from),
      to_(to),
      from_source_(blobs, from),
      to_source_(blobs, to),
      go_on_(std::move(go_on)) {
  from_source_.CheckWholeBlocks();
  to_source_.CheckWholeBlocks();
}

absl::StatusOr<ValueChange> ValueDiff::Compare(uint32_t from, uint32_t to) {
  const Side before(&from_source_, *from_, from), after(&to_source_, *to_, to);
  const uint64_t elements = CheckedTensorBytes(before.tensor->spec) / before.element_bytes;
  const uint64_t window = kWindowBytes / std::max(before.element_bytes, after.element_bytes);
  Sums sums;
  sums.change.elements = elements * std::max(before.parts, after.parts);
  for (uint64_t first = 0; first < elements;) {
    RETURN_IF_ERROR(go_on_());
    const uint64_t count =
        std::min({window, elements - first, before.LeftInBlock(first), after.LeftInBlock(first)});
    const bool same_block =
        before.dtype == after.dtype && before.BlockOf(first) == after.BlockOf(first);
    RETURN_IF_ERROR(CompareWindow(before, after, same_block, first, count, &sums));
    first += count;
  }
  sums.change.l2 = Norm(sums.squares);
  sums.change.l2_from = Norm(sums.from_squares);
  return sums.change;
}

absl::Status ValueDiff::CompareWindow(const Side& from, const Side& to, bool same_block,
                                      uint64_t first, uint64_t count, Sums* sums) {
  ASSIGN_OR_RETURN(const Chunk old_bytes, from.Read(first, count));
  read_bytes_ += old_bytes.bytes.size();
  from_values_.resize(count * from.parts);
  ReadValues(from.dtype, old_bytes.bytes, from_values_.data());
  sums->AddBefore(from_values_);
  if (same_block) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Chunk new_bytes, to.Read(first, count));
  read_bytes_ += new_bytes.bytes.size();
  if (from.dtype == to.dtype && old_bytes.bytes == new_bytes.bytes) return absl::OkStatus();
  to_values_.resize(count * to.parts);
  ReadValues(to.dtype, new_bytes.bytes, to_values_.data());
  if (from.dtype == to.dtype) {
    sums->AddSameDType(from.dtype, old_bytes.bytes.data(), new_bytes.bytes.data(),
                       from.element_bytes / from.parts, from_values_, to_values_.data());
  } else {
    sums->AddOtherDType(from_values_, from.parts, to_values_, to.parts, count);
  }
  return absl::OkStatus();
}

}  // namespace ballast

#include "storage/formats/transform.h"

#include <algorithm>

namespace ballast {
namespace {

bool IsComplex(DType dtype) {
  return dtype == DType::kComplex32 || dtype == DType::kComplex64 || dtype == DType::kComplex128;
}

bool IsInteger(DType dtype) {
  switch (dtype) {
    case DType::kUint8:
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kUint16:
    case DType::kUint32:
    case DType::kUint64:
      return true;
    default:
      return false;
  }
}

void Swap(size_t width, absl::Span<char> bytes) {
  for (size_t i = 0; i + width <= bytes.size(); i += width) {
    std::reverse(bytes.begin() + i, bytes.begin() + i + width);
  }
}

// Two's complement of a little-endian number.
void NegateInteger(absl::Span<char> component) {
  unsigned carry = 1;
  for (char& c : component) {
    carry += static_cast<unsigned char>(~c);
    c = static_cast<char>(carry);
    carry >>= 8;
  }
}

void Negate(bool integer, absl::Span<char> component) {
  if (integer) {
    NegateInteger(component);
  } else {
    component.back() = static_cast<char>(component.back() ^ 0x80);
  }
}

}  // namespace

bool NeedsTransform(const SourceEntry& entry, bool big_endian) {
  return (big_endian && InfoOf(entry.spec.dtype).swap_bytes > 1) ||
         (entry.conjugate && IsComplex(entry.spec.dtype)) || entry.negative;
}

void Transform(const SourceEntry& entry, bool big_endian, absl::Span<char> bytes) {
  const DType dtype = entry.spec.dtype;
  const size_t width = InfoOf(dtype).swap_bytes;
  if (big_endian && width > 1) Swap(width, bytes);
  if (entry.conjugate && IsComplex(dtype)) {
    for (size_t i = width; i < bytes.size(); i += 2 * width) {
      Negate(false, bytes.subspan(i, width));
    }
  }
  if (!entry.negative) return;
  for (size_t i = 0; i < bytes.size(); i += width) {
    Negate(IsInteger(dtype), bytes.subspan(i, width));
  }
}

}  // namespace ballast

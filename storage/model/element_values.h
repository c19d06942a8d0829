// The elements of tensors as numbers, for every dtype that has numbers.
#ifndef BALLAST_STORAGE_MODEL_ELEMENT_VALUES_H_
#define BALLAST_STORAGE_MODEL_ELEMENT_VALUES_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "storage/model/dtype.h"

namespace ballast {

// Numbers in one element: 2 for complex dtypes, 1 for the others; 0 for dtypes whose
// elements are packed (float4_*, float6_*), which are not read as numbers.
uint32_t ValuesPerElement(DType dtype);

// Whether a value of this dtype can be NaN or infinite.
bool CanBeNotFinite(DType dtype);

// The number that a byte stands for, in a dtype of 8 bits with numbers. Quantized ones: the
// integer. Sources: OCP 8-bit floating point (e4m3fn, e5m2), OCP microscaling (e8m0fnu:
// 2^(byte - 127), 255 is NaN), c10/util/Float8_*fnuz.h (0x80 is NaN, no infinities).
double ByteValue(DType dtype, uint8_t byte);

// Reads whole elements: `out` gets ValuesPerElement for each. 64-bit integers are rounded.
void ReadValues(DType dtype, absl::string_view bytes, double* out);

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_ELEMENT_VALUES_H_

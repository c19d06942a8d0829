// What is done to elements on their way from a file: byte order, and torch's lazy
// conjugate and negative bits.
#ifndef BALLAST_STORAGE_FORMATS_TRANSFORM_H_
#define BALLAST_STORAGE_FORMATS_TRANSFORM_H_

#include "absl/types/span.h"
#include "storage/formats/state_dict.h"
#include "storage/model/dtype.h"

namespace ballast {

// True if Transform would do anything for this entry.
bool NeedsTransform(const SourceEntry& entry, bool big_endian);

// Whole elements of the entry, in place: big-endian components become
// little-endian, then imaginary parts (conjugate) or all components (negative)
// change their sign. Floats only flip their sign bit, so NaNs keep their payload.
void Transform(const SourceEntry& entry, bool big_endian, absl::Span<char> bytes);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_TRANSFORM_H_

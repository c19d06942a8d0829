// Reads safetensors, with random access or front to back.
// safetensors_header.h has the byte layout.
#ifndef BALLAST_STORAGE_FORMATS_SAFETENSORS_READER_H_
#define BALLAST_STORAGE_FORMATS_SAFETENSORS_READER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/reader.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Entries come in the order of the header. Tensors that are declared tied are read and
// compared: a tie that the bytes contradict is dropped with a warning.
// Errors: as ParseSafetensorsHeader; InvalidArgument/TRUNCATED  the file ends in the
//         header or in the data; MALFORMED  bytes behind the data.
absl::StatusOr<SourceStateDict> ReadSafetensors(const ByteSource& source, const Limits& limits);

// Reads the header at once (it grows as it arrives, whatever length it claims);
// entries then come in the order of their data.
// Errors: as ReadSafetensors.
absl::StatusOr<std::unique_ptr<ForwardReader>> OpenSafetensorsForward(ByteStream* stream,
                                                                      const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_SAFETENSORS_READER_H_

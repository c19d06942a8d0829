// Memory of the caller for the tensors of a manifest.
#ifndef BALLAST_CLIENT_TENSOR_MEMORY_H_
#define BALLAST_CLIENT_TENSOR_MEMORY_H_

#include <ballast/client.h>

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/model/manifest.h"

namespace ballast {

// Of every entry, in its order.
// Errors: those of `allocate`; InvalidArgument  memory of another size than the tensor's.
absl::StatusOr<std::vector<absl::Span<char>>> AllocateTensors(const Manifest& manifest,
                                                              const TensorAllocator& allocate);

}  // namespace ballast

#endif  // BALLAST_CLIENT_TENSOR_MEMORY_H_

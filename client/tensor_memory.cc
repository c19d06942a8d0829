#include "client/tensor_memory.h"

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"

namespace ballast {

absl::StatusOr<std::vector<absl::Span<char>>> AllocateTensors(const Manifest& manifest,
                                                              const TensorAllocator& allocate) {
  std::vector<absl::Span<char>> all;
  for (const ManifestEntry& entry : manifest.entries) {
    ASSIGN_OR_RETURN(const absl::Span<char> memory, allocate(entry.spec),
                     QuotedKey(entry.spec.key));
    const uint64_t want = CheckedTensorBytes(entry.spec);
    if (memory.size() != want) {
      return absl::InvalidArgumentError(absl::StrCat("the allocator gave ", memory.size(),
                                                     " bytes for ", QuotedKey(entry.spec.key),
                                                     ", want ", want));
    }
    all.push_back(memory);
  }
  return all;
}

}  // namespace ballast

#include "server/use_cases/ask_blocks.h"

#include <algorithm>

#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {

absl::StatusOr<std::vector<bool>> AskBlocks(const Services& services, absl::string_view principal,
                                            absl::string_view model,
                                            absl::Span<const uint32_t> crcs) {
  RETURN_IF_ERROR(CheckModelName(model), "ask for blocks");
  RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kPush, model));
  ASSIGN_OR_RETURN(const std::vector<std::vector<Digest>> found, services.blobs->FindByCrc(crcs));
  const auto visible = [&](const Digest& digest) {
    return services.authorizer->BlockVisible(principal, digest);
  };
  std::vector<bool> may;
  may.reserve(found.size());
  for (const std::vector<Digest>& digests : found) {
    may.push_back(std::any_of(digests.begin(), digests.end(), visible));
  }
  return may;
}

}  // namespace ballast

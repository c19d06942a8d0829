#include "server/use_cases/ask_blocks.h"

#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {

absl::StatusOr<std::vector<bool>> AskBlocks(const Services& services, OngoingPushes* ongoing,
                                            absl::string_view principal, absl::string_view model,
                                            absl::string_view request_id,
                                            absl::Span<const uint32_t> crcs) {
  RETURN_IF_ERROR(CheckModelName(model), "ask for blocks");
  RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kPush, model));
  if (crcs.size() > kAskedBlocksMax) {
    return LimitError("ask for blocks: there are ", crcs.size(), " CRCs in one call, want at most ",
                      kAskedBlocksMax);
  }
  if (!request_id.empty()) ongoing->Enter(NameOfPush(model, request_id), nullptr);
  return services.blobs->HasCrcs(crcs, [&](const Digest& digest) {
    return services.authorizer->BlockVisible(principal, digest);
  });
}

}  // namespace ballast

// What a push asks before it hashes anything.
#ifndef BALLAST_SERVER_USE_CASES_ASK_BLOCKS_H_
#define BALLAST_SERVER_USE_CASES_ASK_BLOCKS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/services.h"
#include "server/use_cases/ongoing_pushes.h"

namespace ballast {

constexpr size_t kAskedBlocksMax = 1u << 18;  // in one call

// Whether each block of kCrcKnownBytes or more with these CRC-32s may be in the store. Blocks
// that are not visible to the principal are not.
// An earlier call of the same push that still runs in `ongoing` ends first, and what it brought
// counts; request_id "": there is none.
// Errors: InvalidArgument  the model. ResourceExhausted  more than kAskedBlocksMax.
//         PermissionDenied, FailedPrecondition, DataLoss, Unavailable.
absl::StatusOr<std::vector<bool>> AskBlocks(const Services& services, OngoingPushes* ongoing,
                                            absl::string_view principal, absl::string_view model,
                                            absl::string_view request_id,
                                            absl::Span<const uint32_t> crcs);

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_ASK_BLOCKS_H_

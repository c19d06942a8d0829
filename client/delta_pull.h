// Pulls that use what the caller has: a file, or tensors in memory.
#ifndef BALLAST_CLIENT_DELTA_PULL_H_
#define BALLAST_CLIENT_DELTA_PULL_H_

#include <ballast/client.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/connection.h"
#include "storage/base/file.h"
#include "storage/model/manifest.h"

namespace ballast {

// Refuses what the caller has where nothing is done with it.
// Errors: InvalidArgument  have_file without `file`, have_version without `memory` or of no
//         exact version.
absl::Status CheckHave(const PullOptions& options, bool file, bool memory);

// Writes the version to `file` from options.have_file and the server; does not commit.
// `manifest` becomes that of what is written.
// Errors: NotFound, PermissionDenied, Unavailable  have_file cannot be opened or read (what it
// holds is no error: a warning says that it is of no use); those of BlockStream.
absl::StatusOr<PullResult> DeltaToFile(Connection* connection, Operation* operation,
                                       const VersionDescription& version,
                                       const PullOptions& options, AtomicFile* file,
                                       Manifest* manifest);

// Brings memory that has the tensors of `have` up to `version`. nullopt: it is gone.
absl::StatusOr<PullResult> DeltaToMemory(Connection* connection, Operation* operation,
                                         const VersionDescription& version,
                                         const std::optional<VersionDescription>& have,
                                         const PullOptions& options,
                                         const TensorAllocator& allocate);

}  // namespace ballast

#endif  // BALLAST_CLIENT_DELTA_PULL_H_

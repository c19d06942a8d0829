// What the command line answers with, and which failures are the user's typing.
#ifndef BALLAST_CLIENT_CLI_EXIT_CODE_H_
#define BALLAST_CLIENT_CLI_EXIT_CODE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast::cli {

enum ExitCode {
  kOk = 0,
  kFailure = 1,
  kUsage = 2,  // flags, references, an unparsable schema
  kNotFound = 3,
  kSchemaMismatch = 4,
  kIntegrity = 5,  // DataLoss: what was pulled or stored fails its check
  kNotAllowed = 6,
  kUnavailable = 7,  // or interrupted: can be tried again
};

// Marks a failure as one of the command's words; an OK status is returned as it is.
absl::Status UsageError(absl::Status status);
absl::Status UsageError(absl::string_view message);

ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_EXIT_CODE_H_

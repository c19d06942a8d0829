// --rows KEY=FIRST:LAST of `pull`: some rows of one tensor instead of a version.
#ifndef BALLAST_CLIENT_CLI_ROWS_H_
#define BALLAST_CLIENT_CLI_ROWS_H_

#include <ballast/client.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/session.h"

namespace ballast::cli {

struct KeyRows {
  std::string key;
  RowRange rows;
};

// As Python slices: LAST is not among them, and either may be left out. The last "=" ends the
// key, which may have others.
// Errors: usage.
absl::StatusOr<KeyRows> ParseRows(const std::string& text, const Limits& limits);

// Writes the rows to `path`, or to stdout ("-"), and prints what they are.
absl::Status PullRows(Session* session, Client* client, const std::string& reference,
                      const KeyRows& rows, const std::string& path, const PullRowsOptions& options);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_ROWS_H_

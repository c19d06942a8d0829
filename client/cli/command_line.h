// The command line as a whole: parsed, run, answered with an exit code.
#ifndef BALLAST_CLIENT_CLI_COMMAND_LINE_H_
#define BALLAST_CLIENT_CLI_COMMAND_LINE_H_

#include <ballast/cancel.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast::cli {

// "ballast: push: model.pth: …\n": one line, printable.
std::string ErrorLine(absl::string_view command, const absl::Status& status);

// Results go to stdout, one line per failure to stderr. Returns the exit code.
int RunCommandLine(int argc, const char* const* argv, const CancelToken& cancel);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_COMMAND_LINE_H_

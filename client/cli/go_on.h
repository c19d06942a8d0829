// The command that an interrupted one is followed by.
#ifndef BALLAST_CLIENT_CLI_GO_ON_H_
#define BALLAST_CLIENT_CLI_GO_ON_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ballast::cli {

// A word as a POSIX shell reads it: quoted where it must be.
std::string ShellWord(absl::string_view word);

// A command line with more flags: they stand before `--`, behind which nothing is one, and
// in place of what the same flags (`--flag VALUE`, `--flag=VALUE`) said.
std::vector<std::string> WithFlags(const std::vector<std::string>& words,
                                   const std::vector<std::string>& flags);

// The words of a command line as text for a shell. What stands behind --token is left out:
// errors end up in logs.
std::string CommandText(const std::vector<std::string>& words);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_GO_ON_H_

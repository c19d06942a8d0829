// FILE or REF: what an argument names.
#ifndef BALLAST_CLIENT_CLI_TARGET_H_
#define BALLAST_CLIENT_CLI_TARGET_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ballast::cli {

// An existing path, "-", and what begins with "/", "./" or "../" is a file; everything
// else is a reference. "ref:NAME" is a reference in any case.
struct Target {
  enum class Kind { kFile, kReference };
  Kind kind = Kind::kReference;
  std::string text;      // path or reference
  bool guessed = false;  // a reference because there is no such file

  bool is_file() const { return kind == Kind::kFile; }
};

// Errors: NotFound  neither a file nor a well-formed reference, saying that both were
//         tried. Usage  "ref:" with a malformed reference, an empty argument.
absl::StatusOr<Target> ResolveTarget(const std::string& argument);

// Says that there is no file of that name either, if that was tried.
absl::Status ExplainTarget(const Target& target, const absl::Status& status);

// What can only be a reference, or a model. Errors: usage.
absl::Status CheckReference(const std::string& reference);
absl::Status CheckModel(const std::string& model);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_TARGET_H_

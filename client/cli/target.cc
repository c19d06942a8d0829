#include "client/cli/target.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/exit_code.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast::cli {
namespace {

bool LooksLikeFile(const std::string& text) {
  return text == "-" || absl::StartsWith(text, "/") || absl::StartsWith(text, "./") ||
         absl::StartsWith(text, "../") || access(text.c_str(), F_OK) == 0;
}

}  // namespace

absl::StatusOr<Target> ResolveTarget(const std::string& argument) {
  if (argument.empty()) return UsageError("the name is empty, want a file or a reference");
  absl::string_view reference = argument;
  if (absl::ConsumePrefix(&reference, "ref:")) {
    Target target{Target::Kind::kReference, std::string(reference), false};
    RETURN_IF_ERROR(CheckReference(target.text));
    return target;
  }
  if (LooksLikeFile(argument)) return Target{Target::Kind::kFile, argument, false};
  const absl::Status parsed = ParseReference(argument).status();
  if (parsed.ok()) return Target{Target::Kind::kReference, argument, true};
  return absl::NotFoundError(absl::StrCat("\"", Printable(argument),
                                          "\" is neither a file here nor a reference (",
                                          parsed.message(), ")"));
}

absl::Status ExplainTarget(const Target& target, const absl::Status& status) {
  if (status.ok() || !target.guessed) return status;
  return WithContext(status, absl::StrCat("no file \"", Printable(target.text),
                                          "\" here, so taken as a reference"));
}

absl::Status CheckReference(const std::string& reference) {
  return UsageError(ParseReference(reference).status());
}

absl::Status CheckModel(const std::string& model) { return UsageError(CheckModelName(model)); }

}  // namespace ballast::cli

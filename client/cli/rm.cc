#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast::cli {
namespace {

struct RmFlags {
  std::string reference;
  bool all_versions = false;
  bool force = false;
};

// A model without a selector with --all-versions, else a version by its number: what an
// alias names may be another one by the time it is deleted.
absl::StatusOr<Reference> Check(const RmFlags& flags) {
  const auto reference = ParseReference(flags.reference);
  if (!reference.ok()) return UsageError(reference.status());
  const bool bare = reference->model == flags.reference;
  if (flags.all_versions && !bare) {
    return UsageError(absl::StrCat("REF is \"", Printable(flags.reference),
                                   "\", want MODEL with --all-versions"));
  }
  if (!flags.all_versions && reference->selector != Reference::Selector::kVersion) {
    return UsageError(absl::StrCat("REF is \"", Printable(flags.reference),
                                   "\", want MODEL:N, or MODEL with --all-versions"));
  }
  return *reference;
}

absl::Status RunRm(Session* session, const RmFlags& flags) {
  ASSIGN_OR_RETURN(const Reference reference, Check(flags));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  DeleteOptions options;
  options.force = flags.force;
  ASSIGN_OR_RETURN(const DeleteResult result,
                   flags.all_versions
                       ? client->DeleteAllVersions(reference.model, options)
                       : client->DeleteVersion(reference.model, reference.version, options));
  if (session->json()) {
    return session->Print(JsonLine({{"reference", flags.reference},
                                    {"deleted", result.deleted},
                                    {"until", TimeJson(result.until)}}));
  }
  const std::string what =
      flags.all_versions ? absl::StrCat(Count(result.deleted, "version"), " of ", reference.model)
                         : flags.reference;
  return session->Tell(absl::StrCat(what, result.deleted == 1 ? " is" : " are",
                                    " deleted; undelete brings back, at least until ",
                                    TimeText(result.until)));
}

}  // namespace

void AddRm(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<RmFlags>();
  CLI::App* rm = app->add_subcommand(
      "rm", "delete a version; it can be brought back for a while, its number is never reused");
  rm->add_option("REF", flags->reference, "MODEL:N, or MODEL with --all-versions")->required();
  rm->add_flag("--all-versions", flags->all_versions, "all versions of the model");
  rm->add_flag("--force", flags->force, "also what an alias names; the alias is removed");
  rm->callback([=] { *chosen = [=] { return RunRm(session, *flags); }; });
}

}  // namespace ballast::cli

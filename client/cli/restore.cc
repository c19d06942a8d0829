#include <ballast/local.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

struct RestoreFlags {
  std::string folder;
  std::string model;  // another name for it; "": its own
  bool dry_run = false;
  bool overwrite = false;
};

absl::Status CheckOnly(Session* session, const std::string& folder) {
  std::vector<std::string> warnings;
  const auto check =
      CheckBackup(folder, session->Control(), session->limits(), session->Warner(&warnings));
  session->EndProgress();
  RETURN_IF_ERROR(check.status());
  if (session->json()) {
    return session->Print(JsonLine({{"folder", folder},
                                    {"dry_run", true},
                                    {"models", check->models},
                                    {"versions", check->versions},
                                    {"blocks", check->blocks},
                                    {"bytes", check->bytes},
                                    {"warnings", warnings}}));
  }
  return session->Print(absl::StrCat(Printable(folder), ": ", Count(check->models, "model"), ", ",
                                     Count(check->versions, "version"), ", ",
                                     BytesText(check->bytes), ": all sound\n"));
}

absl::Status PrintDone(Session* session, const std::string& folder, const RestoreReport& report,
                       const std::vector<std::string>& warnings) {
  if (session->json()) {
    return session->Print(JsonLine({{"folder", folder},
                                    {"dry_run", false},
                                    {"models", report.models},
                                    {"versions_new", report.versions_new},
                                    {"versions_there", report.versions_there},
                                    {"bytes_sent", report.bytes_sent},
                                    {"warnings", warnings}}));
  }
  return session->Print(absl::StrCat(
      Count(report.models, "model"), ": ", Count(report.versions_new, "version"), " restored (",
      BytesText(report.bytes_sent), " sent), ", report.versions_there, " there already\n"));
}

absl::Status RunRestore(Session* session, const RestoreFlags& flags, bool single) {
  if (!flags.model.empty()) RETURN_IF_ERROR(CheckModel(flags.model));
  if (flags.dry_run) return CheckOnly(session, flags.folder);
  RestoreOptions options;
  options.single = single;
  options.as = flags.model;
  options.overwrite_facts = flags.overwrite;
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  options.control = session->Control();
  std::vector<std::string> warnings;
  options.warn = session->Warner(&warnings);
  RestoreReport done;
  options.done = &done;
  const absl::Status restored = client->Restore(flags.folder, options).status();
  session->EndProgress();
  // Also beside what failed; not when nothing was tried.
  if (restored.ok() || !warnings.empty()) {
    RETURN_IF_ERROR(PrintDone(session, flags.folder, done, warnings));
  }
  return restored;
}

CLI::App* AddCommand(CLI::App* app, const std::string& name, const std::string& help,
                     const std::shared_ptr<RestoreFlags>& flags) {
  CLI::App* command = app->add_subcommand(name, help);
  command->add_option("DIR", flags->folder, "the folder")->required();
  command->add_flag("--dry-run", flags->dry_run,
                    "only read every byte of the folder and check it; needs no server");
  command->add_flag("--overwrite", flags->overwrite,
                    "set aliases, schemas and retention rules as the folder has them also for "
                    "models that are there already (default: they stay, with a warning)");
  return command;
}

}  // namespace

void AddRestore(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<RestoreFlags>();
  CLI::App* restore = AddCommand(
      app, "restore",
      "bring back the models of a backup: versions with their numbers, aliases, schemas and rules",
      flags);
  restore->callback([=] { *chosen = [=] { return RunRestore(session, *flags, false); }; });
}

void AddImport(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<RestoreFlags>();
  CLI::App* command =
      AddCommand(app, "import", "bring a model of an export here, with its numbers", flags);
  command->add_option("MODEL", flags->model, "another name for it");
  command->callback([=] { *chosen = [=] { return RunRestore(session, *flags, true); }; });
}

}  // namespace ballast::cli

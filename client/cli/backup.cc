#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

absl::Status PrintDone(Session* session, const std::string& folder, const BackupReport& report,
                       const std::vector<std::string>& warnings) {
  if (session->json()) {
    return session->Print(JsonLine({{"folder", folder},
                                    {"models", report.models},
                                    {"versions", report.versions},
                                    {"versions_new", report.versions_new},
                                    {"blocks_new", report.blocks_new},
                                    {"bytes_new", report.bytes_new},
                                    {"warnings", warnings}}));
  }
  return session->Print(absl::StrCat(Printable(folder), ": ", Count(report.models, "model"), ", ",
                                     Count(report.versions, "version"), " (", report.versions_new,
                                     " new, ", BytesText(report.bytes_new), " fetched)\n"));
}

// `model` "": all.
absl::Status RunBackup(Session* session, const std::string& folder, const std::string& model) {
  BackupOptions options;
  options.model = model;
  if (!model.empty()) RETURN_IF_ERROR(CheckModel(model));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  options.control = session->Control();
  std::vector<std::string> warnings;
  options.warn = session->Warner(&warnings);
  BackupReport done;
  options.done = &done;
  const absl::Status saved = client->Backup(folder, options).status();
  session->EndProgress();
  // Other failures end it before there is a total.
  if (saved.ok() || (absl::IsDataLoss(saved) && !warnings.empty())) {
    RETURN_IF_ERROR(PrintDone(session, folder, done, warnings));
  }
  return saved;
}

}  // namespace

void AddBackup(CLI::App* app, Session* session, Command* chosen) {
  auto folder = std::make_shared<std::string>();
  CLI::App* backup = app->add_subcommand(
      "backup",
      "copy all models into a folder, beside everything else; what it has already is "
      "not fetched again, what is damaged is named and left out");
  backup->add_option("DIR", *folder, "the folder; made if it is not there")->required();
  backup->callback([=] { *chosen = [=] { return RunBackup(session, *folder, ""); }; });
}

void AddExport(CLI::App* app, Session* session, Command* chosen) {
  auto model = std::make_shared<std::string>();
  auto folder = std::make_shared<std::string>();
  CLI::App* command =
      app->add_subcommand("export", "copy a model into a folder that any registry can import");
  command->add_option("MODEL", *model, "the model")->required();
  command->add_option("DIR", *folder, "the folder; made if it is not there")->required();
  command->callback([=] { *chosen = [=] { return RunBackup(session, *folder, *model); }; });
}

}  // namespace ballast::cli

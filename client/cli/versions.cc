#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;

Rows LiveRows(const std::vector<VersionDescription>& versions) {
  Rows rows = {{"VERSION", "CREATED", "ENTRIES", "SIZE", "FORMAT", "DIGEST", "ALIASES", "MESSAGE"}};
  for (const VersionDescription& version : versions) {
    rows.push_back({absl::StrCat(version.version), TimeText(version.created),
                    absl::StrCat(version.entries), BytesText(version.payload_bytes),
                    std::string(FormatName(version.format)),
                    "sha256:" + version.digest.Hex().substr(0, 12),
                    absl::StrJoin(version.aliases, ", "), version.message});
  }
  return rows;
}

Rows DeletedRows(const std::vector<VersionDescription>& versions) {
  Rows rows = {{"VERSION", "CREATED", "SIZE", "DELETED", "BY", "UNTIL", "MESSAGE"}};
  for (const VersionDescription& version : versions) {
    const DeletionDescription deletion = version.deletion.value_or(DeletionDescription());
    rows.push_back({absl::StrCat(version.version), TimeText(version.created),
                    BytesText(version.payload_bytes), TimeText(deletion.time), deletion.principal,
                    TimeText(deletion.until), version.message});
  }
  return rows;
}

absl::Status RunVersions(Session* session, const std::string& model, bool deleted) {
  RETURN_IF_ERROR(CheckModel(model));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const std::vector<VersionDescription> versions,
                   deleted ? client->DeletedVersions(model) : client->AllVersions(model));
  if (session->json()) {
    Json list = Json::array();
    for (const VersionDescription& version : versions) list.push_back(VersionJson(version));
    return session->Print(JsonLine({{"model", model}, {"versions", list}}));
  }
  return session->Print(Table(deleted ? DeletedRows(versions) : LiveRows(versions)));
}

}  // namespace

void AddVersions(CLI::App* app, Session* session, Command* chosen) {
  auto model = std::make_shared<std::string>();
  auto deleted = std::make_shared<bool>(false);
  CLI::App* versions = app->add_subcommand("versions", "the versions of a model, newest first");
  versions->add_option("MODEL", *model, "name of the model")->required();
  versions->add_flag("--deleted", *deleted, "those that `undelete` can bring back");
  versions->callback([=] { *chosen = [=] { return RunVersions(session, *model, *deleted); }; });
}

}  // namespace ballast::cli

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

absl::Status RunVersions(Session* session, const std::string& model) {
  RETURN_IF_ERROR(CheckModel(model));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const std::vector<VersionDescription> versions, client->AllVersions(model));
  if (session->json()) {
    Json list = Json::array();
    for (const VersionDescription& version : versions) list.push_back(VersionJson(version));
    return session->Print(JsonLine({{"model", model}, {"versions", list}}));
  }
  std::vector<std::vector<std::string>> rows = {
      {"VERSION", "CREATED", "ENTRIES", "SIZE", "FORMAT", "DIGEST", "ALIASES", "MESSAGE"}};
  for (const VersionDescription& version : versions) {
    rows.push_back({absl::StrCat(version.version),
                    absl::FormatTime("%Y-%m-%d %H:%M:%S", version.created, absl::LocalTimeZone()),
                    absl::StrCat(version.entries), BytesText(version.payload_bytes),
                    std::string(FormatName(version.format)),
                    "sha256:" + version.digest.Hex().substr(0, 12),
                    absl::StrJoin(version.aliases, ", "), version.message});
  }
  return session->Print(Table(rows));
}

}  // namespace

void AddVersions(CLI::App* app, Session* session, Command* chosen) {
  auto model = std::make_shared<std::string>();
  CLI::App* versions = app->add_subcommand("versions", "the versions of a model, newest first");
  versions->add_option("MODEL", *model, "name of the model")->required();
  versions->callback([=] { *chosen = [=] { return RunVersions(session, *model); }; });
}

}  // namespace ballast::cli

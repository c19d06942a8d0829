#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast::cli {
namespace {

std::string AliasText(const std::map<std::string, uint64_t>& aliases) {
  return absl::StrJoin(aliases, ", ", [](std::string* out, const auto& alias) {
    absl::StrAppend(out, alias.first, "=", alias.second);
  });
}

absl::Status RunLs(Session* session, const std::string& prefix) {
  RETURN_IF_ERROR(UsageError(CheckModelPrefix(prefix)));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const std::vector<ModelDescription> models, client->AllModels(prefix));
  if (session->json()) {
    Json list = Json::array();
    for (const ModelDescription& model : models) list.push_back(ModelJson(model));
    return session->Print(JsonLine({{"models", list}}));
  }
  if (models.empty()) return absl::OkStatus();
  std::vector<std::vector<std::string>> rows = {{"MODEL", "LATEST", "SCHEMA", "ALIASES"}};
  for (const ModelDescription& model : models) {
    rows.push_back({model.model, model.latest == 0 ? "-" : absl::StrCat(model.latest),
                    model.has_schema ? "bound" : "", AliasText(model.aliases)});
  }
  return session->Print(Table(rows));
}

}  // namespace

void AddLs(CLI::App* app, Session* session, Command* chosen) {
  auto prefix = std::make_shared<std::string>();
  CLI::App* ls = app->add_subcommand("ls", "the models, by name");
  ls->add_option("PREFIX", *prefix, "only names that begin so");
  ls->callback([=] { *chosen = [=] { return RunLs(session, *prefix); }; });
}

}  // namespace ballast::cli

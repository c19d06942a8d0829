#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

absl::Status RunVersion(Session* session, bool server) {
  std::string server_version;
  if (server) {
    ASSIGN_OR_RETURN(Client* const client, session->GetClient());
    ASSIGN_OR_RETURN(const Capabilities capabilities, client->GetCapabilities());
    server_version = capabilities.server_version;
  }
  if (session->json()) {
    Json json = {{"client", BALLAST_VERSION}};
    if (server) json["server"] = server_version;
    return session->Print(JsonLine(json));
  }
  return session->Print(
      absl::StrCat("ballast ", BALLAST_VERSION, "\n",
                   server ? absl::StrCat("server ", Printable(server_version), "\n") : ""));
}

}  // namespace

void AddVersion(CLI::App* app, Session* session, Command* chosen) {
  auto server = std::make_shared<bool>(false);
  CLI::App* version = app->add_subcommand("version", "the version of this program");
  version->add_flag("--remote", *server, "also the server's");
  version->callback([=] { *chosen = [=] { return RunVersion(session, *server); }; });
}

}  // namespace ballast::cli

#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast::cli {
namespace {

absl::Status RunUndelete(Session* session, const std::string& text) {
  const auto reference = ParseReference(text);
  if (!reference.ok()) return UsageError(reference.status());
  if (reference->selector != Reference::Selector::kVersion) {
    return UsageError(absl::StrCat("REF is \"", Printable(text), "\", want MODEL:N"));
  }
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const VersionDescription version,
                   client->UndeleteVersion(reference->model, reference->version));
  if (session->json()) return session->Print(JsonLine(VersionJson(version)));
  return session->Tell(absl::StrCat(text, " is back"));
}

}  // namespace

void AddUndelete(CLI::App* app, Session* session, Command* chosen) {
  auto reference = std::make_shared<std::string>();
  CLI::App* undelete =
      app->add_subcommand("undelete", "bring a deleted version back (`versions --deleted`)");
  undelete->add_option("REF", *reference, "MODEL:N")->required();
  undelete->callback([=] { *chosen = [=] { return RunUndelete(session, *reference); }; });
}

}  // namespace ballast::cli

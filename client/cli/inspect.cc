#include <memory>

#include "client/cli/commands.h"
#include "client/cli/description.h"
#include "client/cli/flags.h"
#include "client/cli/input.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "client/local_weights.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

struct InspectFlags {
  std::string target, format;
  InspectOptions options;
};

absl::StatusOr<std::string> InspectThe(Session* session, const Target& target,
                                       const InspectFlags& flags) {
  if (!target.is_file()) {
    ASSIGN_OR_RETURN(const std::string reference, session->Resolve(target));
    ASSIGN_OR_RETURN(Client* const client, session->GetClient());
    return client->Inspect(reference, flags.options);
  }
  ASSIGN_OR_RETURN(
      const WeightsFile weights,
      OpenInputWeights(target.text, flags.options.format, session->cancel(), session->limits()));
  absl::StatusOr<std::string> json = InspectWeights(weights, flags.options, session->limits());
  if (!json.ok()) return WithContext(json.status(), Printable(target.text));
  return json;
}

absl::Status RunInspect(Session* session, InspectFlags* flags) {
  ASSIGN_OR_RETURN(flags->options.format, ReadableFormat("--format", flags->format));
  ASSIGN_OR_RETURN(const Target target, ResolveTarget(flags->target));
  flags->options.control = session->Control();
  const absl::StatusOr<std::string> json = InspectThe(session, target, *flags);
  session->EndProgress();
  RETURN_IF_ERROR(json.status());
  if (session->json()) return session->Print(*json);
  const Json document = Json::parse(*json, nullptr, false);
  if (document.is_discarded()) return absl::InternalError("the description is not JSON");
  return session->Print(DescriptionText(target.text, document));
}

}  // namespace

void AddInspect(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* inspect = app->add_subcommand("inspect", "what is in a file or version");
  inspect
      ->add_option("FILE|REF", flags->target,
                   "a file, a folder of shards, - for stdin, or a version")
      ->required();
  inspect->add_flag("--digests", flags->options.digests,
                    "SHA-256 and values of every tensor: a full read");
  inspect->add_option("--format", flags->format, "what FILE is (default auto: by content)");
  inspect->callback([=] { *chosen = [=] { return RunInspect(session, flags.get()); }; });
}

}  // namespace ballast::cli

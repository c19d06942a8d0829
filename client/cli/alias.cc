#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast::cli {
namespace {

struct AliasFlags {
  std::string model, name, reference, expect;
};

absl::Status CheckFlags(const AliasFlags& flags) {
  RETURN_IF_ERROR(CheckModel(flags.model));
  return UsageError(CheckAliasName(flags.name));
}

// "12" is short for MODEL:12.
std::string FullReference(const std::string& model, const std::string& text) {
  const bool number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  return number ? absl::StrCat(model, ":", text) : text;
}

// The version of `text`, which must be one of the model.
absl::StatusOr<uint64_t> VersionOf(Client* client, const std::string& model,
                                   const std::string& text, absl::string_view what) {
  const std::string reference = FullReference(model, text);
  ASSIGN_OR_RETURN(const Reference parsed, ParseReference(reference), what);
  if (parsed.model != model) {
    return UsageError(
        absl::StrCat(what, ": is a version of ", parsed.model, ", want one of ", model));
  }
  if (parsed.selector == Reference::Selector::kVersion) return parsed.version;
  ASSIGN_OR_RETURN(const VersionDescription version, client->GetVersion(reference), what);
  return version.version;
}

// --expect: "none", or what the alias must name now.
absl::StatusOr<std::optional<uint64_t>> Expected(Client* client, const AliasFlags& flags) {
  if (flags.expect.empty()) return std::nullopt;
  if (flags.expect == "none") return 0;
  return VersionOf(client, flags.model, flags.expect, "--expect");
}

absl::Status RunSet(Session* session, const AliasFlags& flags) {
  RETURN_IF_ERROR(CheckFlags(flags));
  RETURN_IF_ERROR(CheckReference(FullReference(flags.model, flags.reference)));
  if (!flags.expect.empty() && flags.expect != "none") {
    RETURN_IF_ERROR(CheckReference(FullReference(flags.model, flags.expect)), "--expect");
  }
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const std::optional<uint64_t> expected, Expected(client, flags));
  ASSIGN_OR_RETURN(const uint64_t version, VersionOf(client, flags.model, flags.reference, "REF"));
  ASSIGN_OR_RETURN(const AliasChange change,
                   client->SetAlias(absl::StrCat(flags.model, ":", version), flags.name, expected));
  const std::string alias = absl::StrCat(flags.model, "@", flags.name);
  if (session->json()) {
    return session->Print(
        JsonLine({{"reference", alias},
                  {"version", change.version.version},
                  {"previous",
                   change.previous_version == 0 ? Json(nullptr) : Json(change.previous_version)}}));
  }
  return session->Tell(absl::StrCat(
      alias, " is version ", change.version.version,
      change.previous_version == 0 ? "" : absl::StrCat(", was ", change.previous_version)));
}

absl::Status RunRemove(Session* session, const AliasFlags& flags) {
  RETURN_IF_ERROR(CheckFlags(flags));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const std::optional<uint64_t> expected, Expected(client, flags));
  RETURN_IF_ERROR(client->DeleteAlias(flags.model, flags.name, expected));
  const std::string alias = absl::StrCat(flags.model, "@", flags.name);
  if (session->json()) return session->Print(JsonLine({{"removed", alias}}));
  return session->Tell(absl::StrCat(alias, " is removed"));
}

absl::Status RunLog(Session* session, const std::string& model, const std::string& name) {
  RETURN_IF_ERROR(CheckModel(model));
  if (!name.empty()) RETURN_IF_ERROR(UsageError(CheckAliasName(name)));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const std::vector<AliasMoveDescription> moves,
                   client->AliasHistory(model, name));
  const auto number = [](uint64_t version) { return version == 0 ? Json(nullptr) : Json(version); };
  if (session->json()) {
    Json list = Json::array();
    for (const AliasMoveDescription& move : moves) {
      list.push_back({{"alias", move.alias},
                      {"from", number(move.from)},
                      {"to", number(move.to)},
                      {"by", move.principal},
                      {"time", TimeJson(move.time)}});
    }
    return session->Print(JsonLine({{"model", model}, {"moves", list}}));
  }
  std::vector<std::vector<std::string>> rows = {{"TIME", "ALIAS", "FROM", "TO", "BY"}};
  for (const AliasMoveDescription& move : moves) {
    rows.push_back({TimeText(move.time), move.alias, move.from == 0 ? "-" : absl::StrCat(move.from),
                    move.to == 0 ? "-" : absl::StrCat(move.to), move.principal});
  }
  return session->Print(Table(rows));
}

}  // namespace

void AddAlias(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<AliasFlags>();
  CLI::App* alias = app->add_subcommand("alias", "movable names of versions");
  alias->require_subcommand(1);
  CLI::App* set = alias->add_subcommand("set", "point an alias at a version");
  CLI::App* remove = alias->add_subcommand("rm", "remove an alias");
  for (CLI::App* command : {set, remove}) {
    command->add_option("MODEL", flags->model, "name of the model")->required();
    command->add_option("NAME", flags->name, "the alias")->required();
    command
        ->add_option("--expect", flags->expect,
                     "fail unless it names this version now; none: unless it is new")
        ->type_name("REF");
  }
  set->add_option("REF", flags->reference, "a version of the model, or its number")->required();
  CLI::App* log = alias->add_subcommand("log", "who moved which alias when, newest first");
  log->add_option("MODEL", flags->model, "name of the model")->required();
  log->add_option("NAME", flags->name, "only this alias");
  log->callback([=] { *chosen = [=] { return RunLog(session, flags->model, flags->name); }; });
  set->callback([=] { *chosen = [=] { return RunSet(session, *flags); }; });
  remove->callback([=] { *chosen = [=] { return RunRemove(session, *flags); }; });
}

}  // namespace ballast::cli

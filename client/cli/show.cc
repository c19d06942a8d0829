#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

std::string LabelText(const std::map<std::string, std::string>& labels) {
  return absl::StrJoin(labels, ", ", [](std::string* out, const auto& label) {
    absl::StrAppend(out, label.first, "=", label.second);
  });
}

// The groups of tied keys, and the writer, as the version's description has them.
struct Details {
  Json ties = Json::array();
  std::string writer;
};

absl::StatusOr<Details> GetDetails(Client* client, const VersionDescription& version) {
  ASSIGN_OR_RETURN(const std::string text,
                   client->Inspect(absl::StrCat(version.model, ":", version.version), {}));
  const Json document = Json::parse(text, nullptr, false);
  Details details;
  if (!document.is_object()) return absl::InternalError("the description is not JSON");
  if (document.contains("ties")) details.ties = document["ties"];
  if (document.contains("writer") && document["writer"].is_string()) {
    details.writer = document["writer"].get<std::string>();
  }
  return details;
}

std::string TieText(const Json& ties) {
  std::vector<std::string> groups;
  for (const Json& tie : ties) {
    std::vector<std::string> keys;
    for (const Json& key : tie) {
      if (key.is_string()) keys.push_back(key.get<std::string>());
    }
    groups.push_back(absl::StrJoin(keys, " = "));
  }
  return absl::StrJoin(groups, ", ");
}

std::string Describe(const VersionDescription& version, const Details& details) {
  std::vector<std::vector<std::string>> rows = {
      {"reference", absl::StrCat(version.model, ":", version.version)},
      {"digest", "sha256:" + version.digest.Hex()},
      {"aliases", absl::StrJoin(version.aliases, ", ")},
      {"pushed as", std::string(FormatName(version.format))},
      {"written by", details.writer},
      {"entries", absl::StrCat(version.entries)},
      {"size", absl::StrCat(BytesText(version.payload_bytes), ", ", BytesText(version.bytes_new),
                            " new with this version")},
      {"ties", TieText(details.ties)},
      {"parent", version.parent == 0 ? "" : absl::StrCat(version.model, ":", version.parent)},
      {"message", version.message},
      {"labels", LabelText(version.labels)},
      {"created", absl::FormatTime("%Y-%m-%d %H:%M:%S %Z", version.created, absl::LocalTimeZone())},
      {"creator", version.creator}};
  std::vector<std::vector<std::string>> known;
  for (std::vector<std::string>& row : rows) {
    if (!row[1].empty()) known.push_back(std::move(row));
  }
  return Table(known);
}

absl::Status RunShow(Session* session, const std::string& reference) {
  RETURN_IF_ERROR(CheckReference(reference));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const VersionDescription version, client->GetVersion(reference));
  ASSIGN_OR_RETURN(const Details details, GetDetails(client, version));
  if (!session->json()) return session->Print(Describe(version, details));
  Json json = VersionJson(version);
  json["writer"] = details.writer;
  json["ties"] = details.ties;
  return session->Print(JsonLine(json));
}

}  // namespace

void AddShow(CLI::App* app, Session* session, Command* chosen) {
  auto reference = std::make_shared<std::string>();
  CLI::App* show = app->add_subcommand("show", "what is known of a version");
  show->add_option("REF", *reference, "model, model:12, model@alias, model@sha256:…")->required();
  show->callback([=] { *chosen = [=] { return RunShow(session, *reference); }; });
}

}  // namespace ballast::cli

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/description.h"
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

constexpr size_t kLeavesShown = 20;

// The document of storage/formats/inspect.h.
absl::StatusOr<Json> GetDetails(Client* client, const VersionDescription& version) {
  ASSIGN_OR_RETURN(const std::string text,
                   client->Inspect(absl::StrCat(version.model, ":", version.version), {}));
  Json document = Json::parse(text, nullptr, false);
  if (!document.is_object()) return absl::InternalError("the description is not JSON");
  return document;
}

std::string TieText(const Json& details) {
  return absl::StrJoin(MemberItems(details, "ties"), ", ", [](std::string* out, const Json& tie) {
    absl::StrAppend(out, TieLine(tie));
  });
}

// What was no tensor in the file that was pushed, one line each.
std::string LeavesText(const Json& details, const std::string& reference) {
  const std::vector<Json> leaves = MemberItems(details, "leaves");
  if (leaves.empty()) return "";
  std::string out = "\nNot tensors\n";
  for (size_t i = 0; i < leaves.size() && i < kLeavesShown; ++i) {
    absl::StrAppend(&out, "  ", Printable(LeafLine(leaves[i])), "\n");
  }
  if (leaves.size() > kLeavesShown) {
    absl::StrAppend(&out, "  and ", leaves.size() - kLeavesShown, " more: ballast inspect ",
                    reference, "\n");
  }
  return out;
}

// How many tensors hold what is no finite number, and which.
struct HealthSummary {
  uint64_t counted = 0;
  uint64_t nan = 0;  // values
  uint64_t inf = 0;
  std::vector<std::string> keys;  // of tensors with either
};

HealthSummary SummaryOf(const Json& details) {
  HealthSummary out;
  for (const Json& entry : MemberItems(details, "entries")) {
    const auto health = entry.find("health");
    if (health == entry.end()) continue;
    ++out.counted;
    const uint64_t nan = MemberNumber(*health, "nan"), inf = MemberNumber(*health, "inf");
    out.nan += nan;
    out.inf += inf;
    if (nan + inf > 0) out.keys.push_back(MemberText(entry, "key"));
  }
  return out;
}

std::string HealthText(const HealthSummary& health) {
  constexpr size_t kNamed = 5;
  if (health.counted == 0) return "";
  if (health.keys.empty()) return "no NaN or Inf";
  const std::vector<std::string> named(
      health.keys.begin(),
      health.keys.begin() + static_cast<ptrdiff_t>(std::min(kNamed, health.keys.size())));
  return absl::StrCat(health.nan, " NaN, ", health.inf, " Inf in ",
                      Count(health.keys.size(), "tensor"), ": ", absl::StrJoin(named, ", "),
                      named.size() < health.keys.size() ? ", …" : "");
}

std::string Describe(const VersionDescription& version, const Json& details,
                     const std::string& usage) {
  const std::string reference = absl::StrCat(version.model, ":", version.version);
  std::vector<std::vector<std::string>> rows = {
      {"reference", reference},
      {"digest", "sha256:" + version.digest.Hex()},
      {"aliases", absl::StrJoin(version.aliases, ", ")},
      {"pushed as", std::string(FormatName(version.format))},
      {"written by", MemberText(details, "writer")},
      {"entries", absl::StrCat(version.entries)},
      {"size", absl::StrCat(BytesText(version.payload_bytes), ", ", BytesText(version.bytes_new),
                            " new with this version")},
      {"stored", usage},
      {"ties", TieText(details)},
      {"values", HealthText(SummaryOf(details))},
      {"parent", version.parent == 0 ? "" : absl::StrCat(version.model, ":", version.parent)},
      {"message", version.message},
      {"labels", LabelText(version.labels)},
      {"created", absl::FormatTime("%Y-%m-%d %H:%M:%S %Z", version.created, absl::LocalTimeZone())},
      {"creator", version.creator}};
  std::vector<std::vector<std::string>> known;
  for (std::vector<std::string>& row : rows) {
    if (!row[1].empty()) known.push_back(std::move(row));
  }
  return absl::StrCat(Table(known), LeavesText(details, reference));
}

// nullopt if the registry has too many versions to tell.
absl::StatusOr<std::optional<VersionUsage>> GetUsage(Client* client,
                                                     const VersionDescription& version) {
  const auto usage = client->GetVersionUsage(absl::StrCat(version.model, ":", version.version));
  if (usage.ok()) return *usage;
  if (absl::IsResourceExhausted(usage.status())) return std::nullopt;
  return usage.status();
}

std::string UsageText(const std::optional<VersionUsage>& usage) {
  if (!usage.has_value()) return "not counted: the registry has many versions (see gc --dry-run)";
  return absl::StrCat(BytesText(usage->exclusive_bytes), " its own, ",
                      BytesText(usage->shared_bytes), " shared with other versions");
}

absl::Status RunShow(Session* session, const std::string& reference) {
  RETURN_IF_ERROR(CheckReference(reference));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const VersionDescription version, client->GetVersion(reference));
  ASSIGN_OR_RETURN(const Json details, GetDetails(client, version));
  ASSIGN_OR_RETURN(const std::optional<VersionUsage> usage, GetUsage(client, version));
  if (!session->json()) return session->Print(Describe(version, details, UsageText(usage)));
  Json json = VersionJson(version);
  for (const char* member : {"writer", "ties", "leaves"}) {
    json[member] = details.value(member, Json());
  }
  const HealthSummary health = SummaryOf(details);
  json["health"] = {{"tensors_counted", health.counted},
                    {"nan", health.nan},
                    {"inf", health.inf},
                    {"keys", health.keys}};
  json["bytes_exclusive"] = usage.has_value() ? Json(usage->exclusive_bytes) : Json(nullptr);
  json["bytes_shared"] = usage.has_value() ? Json(usage->shared_bytes) : Json(nullptr);
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

#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

Json ReportJson(const GarbageReport& report) {
  Json json = {{"dry_run", report.dry_run},
               {"models", report.models},
               {"versions_live", report.live_versions},
               {"versions_held", report.held_versions},
               {"versions_deleted", report.deleted_versions},
               {"versions_removed", report.removed_versions},
               {"blocks_live", report.live_blocks},
               {"bytes_live", report.live_bytes},
               {"blocks_held", report.held_blocks},
               {"bytes_held", report.held_bytes},
               {"blocks_freed", report.freed_blocks},
               {"bytes_freed", report.freed_bytes},
               {"pushes", report.fenced_pushes},
               {"answers_forgotten", report.forgotten_answers},
               {"passes", report.passes}};
  if (!report.dry_run) return json;
  Json list = Json::array();
  for (const DeletionUsage& deletion : report.deletions) {
    list.push_back({{"reference", absl::StrCat(deletion.model, ":", deletion.version)},
                    {"reason", deletion.reason},
                    {"until", TimeJson(deletion.until)},
                    {"bytes_exclusive", deletion.exclusive_bytes}});
  }
  json["deletions"] = list;
  json["deletions_omitted"] = report.deletions_omitted;
  return json;
}

std::string Summary(const GarbageReport& report) {
  const char* would = report.dry_run ? "would be " : "";
  std::string text = absl::StrCat(
      BytesText(report.freed_bytes), " in ", Count(report.freed_blocks, "block"), " ", would,
      "freed, ", BytesText(report.held_bytes), " held for deleted versions, ",
      BytesText(report.live_bytes), " in use by ", Count(report.live_versions, "version"), "\n");
  if (report.deleted_versions > 0) {
    absl::StrAppend(&text, Count(report.deleted_versions, "version"), " ", would,
                    "deleted by retention rules\n");
  }
  if (report.removed_versions > 0) {
    absl::StrAppend(&text, Count(report.removed_versions, "deleted version"), " ", would,
                    "removed for good\n");
  }
  if (report.fenced_pushes > 0) {
    absl::StrAppend(&text, report.fenced_pushes, report.fenced_pushes == 1 ? " push" : " pushes",
                    report.dry_run ? " under way: what they have sent is counted as garbage here\n"
                                   : " that did not answer stopped\n");
  }
  return text;
}

// What a deletion frees by itself; several together may free what they share as well.
std::string Deletions(const GarbageReport& report) {
  if (report.deletions.empty()) return "";
  std::vector<std::vector<std::string>> rows = {{"VERSION", "WHY", "UNTIL", "FREES"}};
  for (const DeletionUsage& deletion : report.deletions) {
    rows.push_back({absl::StrCat(deletion.model, ":", deletion.version), deletion.reason,
                    TimeText(deletion.until), BytesText(deletion.exclusive_bytes)});
  }
  std::string text = Table(rows);
  if (report.deletions_omitted > 0) {
    absl::StrAppend(&text, "and ", report.deletions_omitted, " more\n");
  }
  return text;
}

// One that runs already ends some time: the same command works then.
absl::Status Later(const absl::Status& status) {
  if (!absl::IsAborted(status)) return status;
  return absl::UnavailableError(absl::StrCat(status.message(), "; try again"));
}

absl::Status RunGc(Session* session, bool dry_run) {
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  GarbageOptions options;
  options.dry_run = dry_run;
  options.control = session->Control();
  const absl::StatusOr<GarbageReport> collected = client->CollectGarbage(options);
  RETURN_IF_ERROR(Later(collected.status()));
  const GarbageReport& report = *collected;
  session->EndProgress();
  if (session->json()) return session->Print(JsonLine(ReportJson(report)));
  return session->Print(absl::StrCat(Deletions(report), Summary(report)));
}

}  // namespace

void AddGc(CLI::App* app, Session* session, Command* chosen) {
  auto dry_run = std::make_shared<bool>(false);
  CLI::App* gc = app->add_subcommand(
      "gc",
      "collect garbage: what retention rules and deletions leave over, beside pushes and pulls");
  gc->add_flag("--dry-run", *dry_run, "only say what would go, and which deletion frees how much");
  gc->callback([=] { *chosen = [=] { return RunGc(session, *dry_run); }; });
}

}  // namespace ballast::cli

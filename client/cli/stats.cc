#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

// From this share on a limit is near.
constexpr double kNear = 0.8;

double ShareOf(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

bool IsNear(const LimitUsage& limit) { return ShareOf(limit.used, limit.max) >= kNear; }

Json StatsJson(const ServerStatistics& stats) {
  Json limits = Json::array();
  for (const LimitUsage& limit : stats.limits) {
    limits.push_back(
        {{"name", limit.name}, {"used", limit.used}, {"max", limit.max}, {"near", IsNear(limit)}});
  }
  return {{"server_version", stats.server_version},
          {"started", TimeJson(stats.started)},
          {"counted", TimeJson(stats.counted)},
          {"models", stats.models},
          {"versions", stats.versions},
          {"logical_bytes", stats.logical_bytes},
          {"blocks", stats.blocks},
          {"block_bytes", stats.block_bytes},
          {"dead_bytes", stats.dead_bytes},
          {"files_bytes", stats.files_bytes},
          {"disk_bytes", stats.disk_bytes},
          {"disk_free_bytes", stats.disk_free_bytes},
          {"limits", limits}};
}

// What storing each block once saves.
std::string SavedText(const ServerStatistics& stats) {
  if (stats.block_bytes == 0 || stats.logical_bytes <= stats.block_bytes) return "";
  return absl::StrFormat(", %.1f times less", 1 / ShareOf(stats.block_bytes, stats.logical_bytes));
}

std::string LimitsText(const ServerStatistics& stats) {
  std::string near;
  for (const LimitUsage& limit : stats.limits) {
    if (!IsNear(limit)) continue;
    absl::StrAppend(&near, near.empty() ? "" : ", ", limit.name, " ", limit.used, " of ",
                    limit.max);
  }
  return near.empty() ? "none is near" : absl::StrCat("near: ", near);
}

std::string Describe(const ServerStatistics& stats) {
  // Clocks of two machines differ: not less than nothing.
  const absl::Duration up = std::max(absl::ZeroDuration(), absl::Now() - stats.started);
  const absl::Duration age = std::max(absl::ZeroDuration(), absl::Now() - stats.counted);
  return Table(
      {{"server", absl::StrCat(stats.server_version, ", up ",
                               absl::FormatDuration(absl::Trunc(up, absl::Seconds(1))))},
       {"models", absl::StrCat(stats.models)},
       {"versions",
        absl::StrCat(stats.versions, " (counted ",
                     absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))), " ago)")},
       {"weights", absl::StrCat(BytesText(stats.logical_bytes), " in all versions")},
       {"stored", absl::StrCat(BytesText(stats.block_bytes), " in ", Count(stats.blocks, "block"),
                               SavedText(stats))},
       {"garbage", absl::StrCat(BytesText(stats.dead_bytes), " of removed blocks")},
       {"files", BytesText(stats.files_bytes)},
       {"disk", absl::StrFormat("%s free of %s (%.0f %%)", BytesText(stats.disk_free_bytes),
                                BytesText(stats.disk_bytes),
                                100 * ShareOf(stats.disk_free_bytes, stats.disk_bytes))},
       {"limits", LimitsText(stats)}});
}

absl::Status RunStats(Session* session, bool exact) {
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const ServerStatistics stats, client->GetStats(exact));
  return session->Print(session->json() ? JsonLine(StatsJson(stats)) : Describe(stats));
}

}  // namespace

void AddStats(CLI::App* app, Session* session, Command* chosen) {
  auto exact = std::make_shared<bool>(false);
  CLI::App* stats = app->add_subcommand("stats", "what the server holds, and its limits");
  stats->add_flag("--exact", *exact,
                  "count versions and blocks now, one by one: a scan, slow on a big server");
  stats->callback([=] { *chosen = [=] { return RunStats(session, *exact); }; });
}

}  // namespace ballast::cli

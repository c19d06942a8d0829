#include "server/use_cases/statistics.h"

#include <algorithm>
#include <utility>

#include "storage/base/status.h"

namespace ballast {

absl::StatusOr<ServerStats> Statistics::Get(bool exact) {
  ServerStats stats;
  stats.started = started_;
  ASSIGN_OR_RETURN(stats.tally, TallyFor(exact), "stats");
  ASSIGN_OR_RETURN(stats.store, sources_.store->Usage(), "stats");
  if (exact) {
    ASSIGN_OR_RETURN(stats.store.blocks, sources_.store->CountBlocks(), "stats");
  }
  if (sources_.load) stats.limits = sources_.load();
  stats.limits.push_back({"aliases_max", stats.tally.aliases_most, sources_.limits.aliases_max});
  return stats;
}

absl::StatusOr<Tally> Statistics::TallyFor(bool exact) {
  const absl::Duration age_max = absl::Milliseconds(sources_.limits.tally_age_ms_max);
  const std::unique_lock counting(counting_, std::try_to_lock);
  {
    const std::lock_guard lock(mutex_);
    const bool young = last_ && sources_.clock() - last_->counted <= age_max;
    if (!exact && last_ && (young || !counting.owns_lock())) return *last_;
  }
  if (!counting.owns_lock()) {
    return absl::UnavailableError("another count of all versions is under way, try again");
  }
  ASSIGN_OR_RETURN(const Tally tally, Count());
  const std::lock_guard lock(mutex_);
  last_ = tally;
  return tally;
}

absl::StatusOr<Tally> Statistics::Count() {
  Tally tally;
  tally.counted = sources_.clock();
  std::string token;
  do {
    ASSIGN_OR_RETURN(ModelPage page, sources_.catalog->ListModels("", 0, token));
    for (const ModelInfo& model : page.models) {
      ++tally.models;
      tally.aliases_most = std::max<uint64_t>(tally.aliases_most, model.aliases.size());
      const absl::Status counted = CountVersions(model.model, &tally);
      // A model may go while others are counted.
      if (!absl::IsNotFound(counted)) RETURN_IF_ERROR(counted);
    }
    token = std::move(page.next_page_token);
  } while (!token.empty());
  return tally;
}

absl::Status Statistics::CountVersions(const std::string& model, Tally* tally) {
  std::string token;
  do {
    ASSIGN_OR_RETURN(VersionPage page, sources_.catalog->ListVersions(model, 0, token));
    for (const VersionInfo& version : page.versions) {
      ++tally->versions;
      tally->logical_bytes += version.payload_bytes;
    }
    token = std::move(page.next_page_token);
  } while (!token.empty());
  return absl::OkStatus();
}

}  // namespace ballast

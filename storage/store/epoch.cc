#include "storage/store/epoch.h"

#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/commit_attempts.h"
#include "storage/store/model_record.h"

namespace ballast {
namespace {

absl::StatusOr<Epoch> ParseEpoch(const std::optional<std::string>& value) {
  Epoch epoch = 1;
  if (value.has_value() && !absl::SimpleAtoi(*value, &epoch)) {
    return absl::DataLossError(
        absl::StrCat("gc: epoch is \"", Printable(value->substr(0, 100)), "\", want a number"));
  }
  return epoch;
}

}  // namespace

absl::StatusOr<Epoch> CurrentEpoch(RecordStore* records) {
  ASSIGN_OR_RETURN(const auto values, records->Read(kGcRecord, {std::string(kEpochKey)}));
  return ParseEpoch(values[0]);
}

absl::StatusOr<Epoch> RaiseEpoch(RecordStore* records) {
  const std::string key(kEpochKey);
  ASSIGN_OR_RETURN(const Epoch before, CurrentEpoch(records));
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    PauseBeforeAttempt(attempt);
    ASSIGN_OR_RETURN(const auto values, records->Read(kGcRecord, {key}));
    ASSIGN_OR_RETURN(const Epoch epoch, ParseEpoch(values[0]));
    // By an attempt of ours whose outcome was unknown, or by another collection.
    if (epoch > before) return epoch;
    ASSIGN_OR_RETURN(
        const CommitOutcome outcome,
        records->Commit(kGcRecord, {{key, values[0]}}, {{key, absl::StrCat(epoch + 1)}}));
    if (outcome == CommitOutcome::kApplied) return epoch + 1;
  }
  return absl::UnavailableError("gc: the epoch could not be raised");
}

}  // namespace ballast

#include "client/failed_models.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"

namespace ballast {

void FailedModels::Add(const absl::Status& why, bool again) {
  if (!again) ++count_;
  if (warn_) warn_(std::string(why.message()));
  if (worst_.ok() || (absl::IsDataLoss(why) && !absl::IsDataLoss(worst_))) worst_ = why;
}

absl::Status FailedModels::Summary(absl::string_view done) const {
  if (count_ == 0) return absl::OkStatus();
  const absl::Status counted = WithContext(
      worst_, absl::StrCat(count_, count_ == 1 ? " model" : " models", " could not be ", done));
  if (count_ == 1) return counted;
  absl::Status more(counted.code(), absl::StrCat(counted.message(), "; and ", count_ - 1, " more"));
  counted.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { more.SetPayload(url, payload); });
  return more;
}

bool IsOfTheModel(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsFailedPrecondition(status) ||
         absl::IsInvalidArgument(status);
}

absl::Status NamingModel(const absl::Status& status, const std::string& model) {
  const bool named = absl::StartsWith(status.message(), model + ":");
  return named ? status : WithContext(status, model);
}

}  // namespace ballast

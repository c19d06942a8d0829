#include "client/cli/exit_code.h"

#include <utility>

#include "absl/strings/cord.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

constexpr char kUsageMark[] = "ballast/usage";

}  // namespace

absl::Status UsageError(absl::Status status) {
  if (!status.ok()) status.SetPayload(kUsageMark, absl::Cord("1"));
  return status;
}

absl::Status UsageError(absl::string_view message) {
  return UsageError(absl::InvalidArgumentError(message));
}

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kOk;
  if (status.GetPayload(kUsageMark)) return kUsage;
  if (GetReason(status) == Reason::kSchemaMismatch) return kSchemaMismatch;
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kDataLoss:
      return kIntegrity;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kNotAllowed;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnavailable;
    default:
      return kFailure;
  }
}

}  // namespace ballast::cli

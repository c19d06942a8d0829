// The id by which a mutation that is sent again is known.
#ifndef BALLAST_STORAGE_MODEL_REQUEST_ID_H_
#define BALLAST_STORAGE_MODEL_REQUEST_ID_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast {

// Errors: InvalidArgument  not 1 to 64 printable ASCII bytes without spaces.
absl::Status RequireRequestId(absl::string_view id);

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_REQUEST_ID_H_

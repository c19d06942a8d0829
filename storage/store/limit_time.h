// Limits in milliseconds as absl durations.
#ifndef BALLAST_STORAGE_STORE_LIMIT_TIME_H_
#define BALLAST_STORAGE_STORE_LIMIT_TIME_H_

#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace ballast {

// What does not fit is for ever.
inline absl::Duration LimitMilliseconds(uint64_t ms) {
  if (ms > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InfiniteDuration();
  }
  return absl::Milliseconds(static_cast<int64_t>(ms));
}

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_LIMIT_TIME_H_

// Keeps reading at an average rate.
#ifndef BALLAST_STORAGE_STORE_PACER_H_
#define BALLAST_STORAGE_STORE_PACER_H_

#include <algorithm>
#include <cstdint>
#include <functional>

#include "absl/time/time.h"

namespace ballast {

// Not thread-safe. Time that was not used up is not saved for more than a second: after a
// pause the rate is the same as before.
class Pacer {
 public:
  struct Clock {
    std::function<absl::Duration()> now;  // since some instant; never goes back
    std::function<void(absl::Duration)> sleep;
  };
  // The machine's own.
  static Clock RealClock();

  // `bytes_per_second` 0: no limit.
  Pacer(uint64_t bytes_per_second, Clock clock)
      : rate_(static_cast<double>(bytes_per_second)), clock_(std::move(clock)) {
    due_ = clock_.now();
  }

  // How long to wait after `bytes` were read.
  absl::Duration Took(uint64_t bytes) {
    if (rate_ <= 0) return absl::ZeroDuration();
    const absl::Duration now = clock_.now();
    due_ =
        std::max(due_, now - absl::Seconds(1)) + absl::Seconds(static_cast<double>(bytes) / rate_);
    return std::max(absl::ZeroDuration(), due_ - now);
  }
  void Sleep(absl::Duration duration) { clock_.sleep(duration); }

 private:
  const double rate_;
  const Clock clock_;
  absl::Duration due_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_PACER_H_

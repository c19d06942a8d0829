#include "storage/store/pacer.h"

#include <chrono>

#include "absl/time/clock.h"

namespace ballast {

Pacer::Clock Pacer::RealClock() {
  return {[] { return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()); },
          [](absl::Duration duration) { absl::SleepFor(duration); }};
}

}  // namespace ballast

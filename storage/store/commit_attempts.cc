#include "storage/store/commit_attempts.h"

#include <algorithm>
#include <random>

#include "absl/time/clock.h"

namespace ballast {

void PauseBeforeAttempt(int attempt) {
  constexpr int kFreeAttempts = 4;
  constexpr int kPauseMicrosMax = 50'000;
  if (attempt < kFreeAttempts) return;
  thread_local std::minstd_rand random{std::random_device{}()};
  const int bound = std::min(kPauseMicrosMax, 500 << std::min(attempt - kFreeAttempts, 10));
  absl::SleepFor(absl::Microseconds(std::uniform_int_distribution<int>(0, bound)(random)));
}

}  // namespace ballast

// One line on a terminal that shows how far a transfer is; nothing anywhere else.
#ifndef BALLAST_CLIENT_CLI_PROGRESS_BAR_H_
#define BALLAST_CLIENT_CLI_PROGRESS_BAR_H_

#include <ballast/client.h>

#include <chrono>
#include <string>

namespace ballast::cli {

// "send    [=====>     ]  43 %  1.2 GiB of 2.8 GiB  310.0 MiB/s", at most `columns` wide.
std::string ProgressLine(const Progress& progress, double seconds, size_t columns);

// Not thread-safe.
class ProgressBar {
 public:
  // Draws only if `enabled` and stderr is a terminal that can move its cursor. There is
  // no colour in it, so NO_COLOR changes nothing.
  explicit ProgressBar(bool enabled);
  ~ProgressBar();  // wipes the line
  void Show(const Progress& progress);

 private:
  using Clock = std::chrono::steady_clock;
  const bool enabled_;
  bool drawn_ = false;
  bool begun_ = false;
  Progress::Phase phase_ = Progress::Phase::kSend;
  Clock::time_point phase_begin_, last_;
};

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_PROGRESS_BAR_H_

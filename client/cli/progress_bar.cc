#include "client/cli/progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/text.h"

namespace ballast::cli {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr size_t kBarColumns = 24;
constexpr size_t kColumnsIfUnknown = 80;

const char* PhaseName(Progress::Phase phase) {
  switch (phase) {
    case Progress::Phase::kHash:
      return "hash";
    case Progress::Phase::kSend:
      return "send";
    case Progress::Phase::kReceive:
      return "receive";
    case Progress::Phase::kVerify:
      return "verify";
    case Progress::Phase::kConvert:
      return "convert";
    case Progress::Phase::kCollect:
      return "freed";
  }
  return "";
}

std::string Bar(double share) {
  const size_t filled = static_cast<size_t>(share * kBarColumns);
  std::string bar(filled, '=');
  if (filled < kBarColumns) bar += '>';
  bar.resize(kBarColumns, ' ');
  return absl::StrCat("[", bar, "]");
}

size_t Columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kColumnsIfUnknown;
  return size.ws_col;
}

bool CanDraw() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && term != nullptr && absl::string_view(term) != "dumb";
}

}  // namespace

std::string ProgressLine(const Progress& progress, double seconds, size_t columns) {
  std::string line = absl::StrFormat("%-7s ", PhaseName(progress.phase));
  if (progress.total_bytes > 0) {
    const double share = std::min(
        1.0, static_cast<double>(progress.done_bytes) / static_cast<double>(progress.total_bytes));
    absl::StrAppend(&line, Bar(share), absl::StrFormat(" %3d %%  ", static_cast<int>(share * 100)),
                    BytesText(progress.done_bytes), " of ", BytesText(progress.total_bytes));
  } else {
    absl::StrAppend(&line, BytesText(progress.done_bytes));
  }
  if (seconds >= 0.5) {
    const double rate = static_cast<double>(progress.done_bytes) / seconds;
    absl::StrAppend(&line, "  ", BytesText(static_cast<uint64_t>(rate)), "/s");
  }
  return line.substr(0, columns > 0 ? columns - 1 : 0);
}

ProgressBar::ProgressBar(bool enabled) : enabled_(enabled && CanDraw()) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::Show(const Progress& progress) {
  if (!enabled_) return;
  const Clock::time_point now = Clock::now();
  if (!begun_ || progress.phase != phase_) {
    begun_ = true;
    phase_ = progress.phase;
    phase_begin_ = now;
  } else if (now - last_ < kRedraw) {
    return;
  }
  last_ = now;
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - phase_begin_).count();
  const std::string line = ProgressLine(progress, seconds, Columns());
  std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
  std::fflush(stderr);
}

}  // namespace ballast::cli

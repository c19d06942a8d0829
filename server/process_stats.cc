#include "server/process_stats.h"

#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace ballast {
namespace {

// Fields of proc(5) stat behind the command's name, which may hold anything but ends
// with the last ')': state is the first of them, number 3.
constexpr size_t kFirstField = 3;
constexpr size_t kThreadsField = 20;
constexpr size_t kStartField = 22;  // clock ticks after boot
constexpr size_t kVirtualField = 23;
constexpr size_t kResidentField = 24;  // pages

std::vector<std::string> StatFields() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) return {};
  return absl::StrSplit(absl::string_view(text).substr(name_end + 2), ' ');
}

uint64_t FieldOf(const std::vector<std::string>& fields, size_t number) {
  uint64_t value = 0;
  const size_t index = number - kFirstField;
  return index < fields.size() && absl::SimpleAtoi(fields[index], &value) ? value : 0;
}

double Seconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// Unix time of the boot. /proc/stat has it too, but a service may not see that.
double BootSeconds() {
  timespec now = {};
  timespec since_boot = {};
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  return Seconds(now) - Seconds(since_boot);
}

uint64_t CountOpenFds() {
  uint64_t count = 0;
  std::error_code error;
  std::filesystem::directory_iterator it("/proc/self/fd", error);
  for (const std::filesystem::directory_iterator end; !error && it != end; it.increment(error)) {
    ++count;
  }
  return count == 0 ? 0 : count - 1;  // one of them is the listing's own
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

ProcessStats ReadProcessStats() {
  ProcessStats stats;
  const std::vector<std::string> fields = StatFields();
  stats.threads = FieldOf(fields, kThreadsField);
  stats.virtual_bytes = FieldOf(fields, kVirtualField);
  stats.resident_bytes =
      FieldOf(fields, kResidentField) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  stats.start_time_seconds = BootSeconds() + static_cast<double>(FieldOf(fields, kStartField)) /
                                                 static_cast<double>(sysconf(_SC_CLK_TCK));
  stats.open_fds = CountOpenFds();
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) stats.max_fds = files.rlim_cur;
  rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    stats.cpu_seconds = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  }
  return stats;
}

}  // namespace ballast

#include "tests/bench/helpers/command_loop.h"

#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "nlohmann/json.hpp"

namespace ballast::bench {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

absl::StatusOr<Numbers> RunOne(const std::map<std::string, Command>& commands, Words words) {
  const auto it = commands.find(words[0]);
  if (it == commands.end()) {
    return absl::InvalidArgumentError(absl::StrCat("there is no command ", words[0]));
  }
  words.erase(words.begin());
  return it->second(words);
}

}  // namespace

void RunCommands(const std::map<std::string, Command>& commands) {
  std::string line;
  while (std::getline(std::cin, line)) {
    const Words words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    const absl::StatusOr<Numbers> answer = RunOne(commands, words);
    nlohmann::json json = nlohmann::json::object();
    if (answer.ok()) {
      json.update(*answer);
    } else {
      json["error"] = std::string(answer.status().ToString());
    }
    std::cout << json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) << std::endl;
  }
}

void SetUpProcess() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Stopwatch::Stopwatch() : wall_s_(Now()), cpu_s_(CpuSeconds()) {}

Numbers Stopwatch::Stop() const {
  return {{"seconds", Now() - wall_s_}, {"cpu_s", CpuSeconds() - cpu_s_}};
}

Numbers Percentiles(std::vector<double> latencies_s) {
  if (latencies_s.empty()) return {{"p50_us", 0}, {"p99_us", 0}, {"count", 0}};
  std::sort(latencies_s.begin(), latencies_s.end());
  const size_t n = latencies_s.size();
  return {{"p50_us", latencies_s[n / 2] * 1e6},
          {"p99_us", latencies_s[std::min(n - 1, n * 99 / 100)] * 1e6},
          {"count", static_cast<double>(n)}};
}

absl::StatusOr<uint64_t> NumberAt(const Words& words, size_t index) {
  uint64_t number = 0;
  if (index < words.size() && absl::SimpleAtoi(words[index], &number)) return number;
  return absl::InvalidArgumentError(
      absl::StrCat("argument ", index + 1, " is \"", WordAt(words, index), "\", want a number"));
}

std::string WordAt(const Words& words, size_t index) {
  return index < words.size() ? words[index] : std::string();
}

std::vector<char> RandomMemory(uint64_t size_bytes, uint64_t seed) {
  std::vector<char> out(size_bytes);
  uint64_t state = seed;
  for (uint64_t i = 0; i < size_bytes; i += 8) {
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    std::memcpy(out.data() + i, &z, std::min<uint64_t>(8, size_bytes - i));
  }
  return out;
}

}  // namespace ballast::bench

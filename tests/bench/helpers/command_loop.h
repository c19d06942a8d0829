// A helper of the benchmarks is a process that stays: it reads one command a line from
// stdin (words apart by blanks) and answers each with one line of JSON on stdout, so that
// what is timed never includes the start of a process or its first touch of memory.
#ifndef BALLAST_TESTS_BENCH_HELPERS_COMMAND_LOOP_H_
#define BALLAST_TESTS_BENCH_HELPERS_COMMAND_LOOP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ballast::bench {

// What a command measured, by name; printed as a JSON object of numbers.
using Numbers = std::map<std::string, double>;
using Words = std::vector<std::string>;
using Command = std::function<absl::StatusOr<Numbers>(const Words& arguments)>;

// Until the end of stdin. A failed command answers {"error": "..."}.
void RunCommands(const std::map<std::string, Command>& commands);

// Big buffers are kept and locks do not look for deadlocks, as the product's own programs do.
void SetUpProcess();

// Wall time and processor time (user and system, all threads) of this process.
class Stopwatch {
 public:
  Stopwatch();
  // "seconds", "cpu_s".
  Numbers Stop() const;

 private:
  double wall_s_;
  double cpu_s_;
};

// "p50_us", "p99_us", "count" of latencies in seconds.
Numbers Percentiles(std::vector<double> latencies_s);

// Seconds since some fixed moment.
double Now();

// Errors: InvalidArgument  it is no whole number.
absl::StatusOr<uint64_t> NumberAt(const Words& words, size_t index);
// "" if there is none.
std::string WordAt(const Words& words, size_t index);

// Memory that looks random, has no zero page and is already faulted in.
std::vector<char> RandomMemory(uint64_t size_bytes, uint64_t seed);

}  // namespace ballast::bench

#endif  // BALLAST_TESTS_BENCH_HELPERS_COMMAND_LOOP_H_

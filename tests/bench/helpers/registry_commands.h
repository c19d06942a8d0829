// What the benchmarks do with a registry, through the client library, in a process that stays.
#ifndef BALLAST_TESTS_BENCH_HELPERS_REGISTRY_COMMANDS_H_
#define BALLAST_TESTS_BENCH_HELPERS_REGISTRY_COMMANDS_H_

#include <ballast/client.h>

#include <map>
#include <string>
#include <vector>

#include "tests/bench/helpers/command_loop.h"

namespace ballast::bench {

// Each method is a command of bench_client; its arguments are listed. Not thread-safe.
class RegistryCommands {
 public:
  explicit RegistryCommands(Client* client) : client_(client) {}

  std::map<std::string, Command> Table();

 private:
  using Result = absl::StatusOr<Numbers>;
  // pull-memory REF: every tensor into memory that the first call has faulted in.
  Result PullMemory(const Words& words);
  // memory-matches FILE OFFSET: what pull-memory brought against the file's bytes.
  Result MemoryMatches(const Words& words);
  // pull-sink REF FORMAT THREADS: whole files, dropped; THREADS of them at once.
  Result PullSink(const Words& words);
  // pull-for REF SECONDS: the same until the time is over.
  Result PullFor(const Words& words);
  // pull-key REF KEY COUNT: one tensor into memory, one call after the other.
  Result PullKey(const Words& words);
  // pull-each REF COUNT: all of a small model, one call after the other.
  Result PullEach(const Words& words);
  // push-mapped FILE MODEL STAMP THREADS: new content each, THREADS models at once.
  Result PushMapped(const Words& words);
  // push-each MODEL COUNT STAMP: small versions that share three of four blocks.
  Result PushEach(const Words& words);
  // resolve REF COUNT, resolve-rate REF SECONDS THREADS: GetVersion.
  Result Resolve(const Words& words);
  Result ResolveRate(const Words& words);
  // list MODEL COUNT: the first ten versions.
  Result List(const Words& words);

  absl::StatusOr<uint64_t> PullIntoMemory(const std::string& reference, const PullOptions& options);

  Client* const client_;  // Must outlive this.
  std::vector<char> memory_;
  std::vector<char> small_ = RandomMemory(uint64_t{64} << 10, 7);
};

}  // namespace ballast::bench

#endif  // BALLAST_TESTS_BENCH_HELPERS_REGISTRY_COMMANDS_H_

// The blocks of the pushes that are cut short, made again by whoever checks them.
#ifndef BALLAST_TESTS_STORE_CRASH_BLOCKS_H_
#define BALLAST_TESTS_STORE_CRASH_BLOCKS_H_

#include <vector>

#include "tests/store/store_fixture.h"

namespace ballast {

// Tiny, one block file, or several, in turn; one block is in all of them.
inline std::vector<TestBlock> CrashBlocks(uint64_t seed) {
  std::vector<TestBlock> blocks = {MakeBlock(0, 5000), MakeBlock(seed + 1, 777)};
  const size_t big = seed % 3 * 2;
  for (size_t i = 0; i < big; ++i) blocks.push_back(MakeBlock(seed * 10 + i, 1'000'000));
  return blocks;
}

// Deletions are final at once, and pushes that are gone are fenced at once.
inline Limits CrashLimits() {
  Limits limits = SmallLimits();
  limits.undelete_window_ms = 0;
  limits.push_lease_ms = 0;
  return limits;
}

}  // namespace ballast

#endif  // BALLAST_TESTS_STORE_CRASH_BLOCKS_H_

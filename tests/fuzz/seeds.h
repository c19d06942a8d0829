// Where fuzzing starts: sound inputs of every target, made by the product's writers and
// by the builders of tests/formats, so that they follow the formats as those change.
#ifndef BALLAST_TESTS_FUZZ_SEEDS_H_
#define BALLAST_TESTS_FUZZ_SEEDS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ballast::fuzz {

struct Seed {
  absl::string_view target;
  std::string input;
};

// The same ones in the same order, always.
std::vector<Seed> AllSeeds();

// A whole file from elsewhere (tests/golden, a corpus), as inputs of the targets that it
// fits; none if it is too large.
std::vector<Seed> SeedsOfFile(const std::string& file);

}  // namespace ballast::fuzz

#endif  // BALLAST_TESTS_FUZZ_SEEDS_H_

#include "storage/formats/reader.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {

void FuzzTorchSharp(absl::string_view input) {
  const StringSource source{std::string(input)};
  for (const Format format :
       {Format::kTorchSharp, Format::kTorchSharpTensor, Format::kTorchSharpOptimizer}) {
    CheckAnswer(source, ReadStateDict(source, format, SmallLimits()));
  }
  CheckBothWays(input, Format::kTorchSharp);
}

}  // namespace ballast::fuzz

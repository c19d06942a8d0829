#include "storage/formats/pytorch_legacy.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {

void FuzzLegacy(absl::string_view input) {
  const StringSource source{std::string(input)};
  CheckAnswer(source, ReadPyTorchLegacy(source, SmallLimits()));
}

}  // namespace ballast::fuzz

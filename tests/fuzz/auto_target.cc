#include "storage/formats/reader.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {

void FuzzAuto(absl::string_view input) {
  const StringSource source{std::string(input)};
  CheckAnswer(source, ReadStateDict(source, Format::kUnknown, SmallLimits()));
}

}  // namespace ballast::fuzz

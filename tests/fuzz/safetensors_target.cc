#include "storage/formats/safetensors_header.h"
#include "storage/formats/safetensors_reader.h"
#include "tests/formats/formats_testing.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

constexpr uint64_t kDataBytesMax = 16 << 10;

// A file around the header, with as much data as it asks for.
std::string FileOf(absl::string_view json) {
  const absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(json, SmallLimits());
  if (!header.ok()) CheckRefusal(header.status());
  const uint64_t size = header.ok() && header->data_bytes <= kDataBytesMax ? header->data_bytes : 0;
  return Safetensors(json, std::string(size, '\1'));
}

}  // namespace

void FuzzSafetensors(absl::string_view input) {
  Pieces pieces(input);
  const bool made = (pieces.Byte() & 1) != 0;
  const std::string file = made ? FileOf(pieces.Rest()) : std::string(pieces.Rest());
  const StringSource source(file);
  CheckAnswer(source, ReadSafetensors(source, SmallLimits()));
  CheckBothWays(file, Format::kSafetensors);
}

}  // namespace ballast::fuzz

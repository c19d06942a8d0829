#include "storage/formats/bool_bytes.h"

#include <algorithm>

#include "storage/base/status.h"
#include "storage/model/tensor_spec.h"

namespace ballast {

absl::Status CheckBoolBytes(absl::string_view key, absl::string_view bytes, uint64_t offset_bytes) {
  unsigned char seen = 0;
  for (const char c : bytes) seen |= static_cast<unsigned char>(c);
  if (seen <= 1) return absl::OkStatus();
  const auto bad = std::find_if(bytes.begin(), bytes.end(),
                                [](char c) { return static_cast<unsigned char>(c) > 1; });
  return MalformedError("key ", QuotedKey(key), ": byte ", offset_bytes + (bad - bytes.begin()),
                        " of the bool tensor is ", static_cast<unsigned char>(*bad),
                        ", want 0 or 1");
}

}  // namespace ballast

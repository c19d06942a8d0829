#include "storage/model/request_id.h"

#include <algorithm>

#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr size_t kRequestIdBytesMax = 64;

}  // namespace

absl::Status RequireRequestId(absl::string_view id) {
  const bool printable =
      std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (!id.empty() && id.size() <= kRequestIdBytesMax && printable) return absl::OkStatus();
  return MalformedError("request id is \"", Printable(id.substr(0, 80)),
                        "\", want 1 to 64 printable ASCII bytes");
}

}  // namespace ballast

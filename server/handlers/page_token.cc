#include "server/handlers/page_token.h"

#include "absl/strings/str_cat.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr size_t kSealBytes = 8;

// A seal against mistakes; who makes a token on purpose gets the page it describes.
std::string Seal(const Listing& listing, absl::string_view position) {
  const std::string text = absl::StrCat(listing.method, "\n", listing.subject, "\n", position);
  return absl::StrCat(absl::Hex(Crc32(text), absl::kZeroPad8));
}

}  // namespace

std::string MakePageToken(const Listing& listing, absl::string_view position) {
  if (position.empty()) return "";
  return absl::StrCat(position, ".", Seal(listing, position));
}

absl::StatusOr<std::string> ReadPageToken(const Listing& listing, absl::string_view token) {
  if (token.empty()) return std::string();
  if (token.size() > kSealBytes + 1) {
    const absl::string_view position = token.substr(0, token.size() - kSealBytes - 1);
    if (MakePageToken(listing, position) == token) return std::string(position);
  }
  return MalformedError(listing.method, " of \"", Printable(listing.subject),
                        "\": page token is \"", Printable(token.substr(0, 100)),
                        "\", want \"\" or one that a page of this listing gave");
}

}  // namespace ballast

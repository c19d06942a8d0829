// Page tokens: where a listing goes on. A token belongs to the listing that gave it, so
// that one of another listing, or one that was made up, does not silently skip items.
#ifndef BALLAST_SERVER_HANDLERS_PAGE_TOKEN_H_
#define BALLAST_SERVER_HANDLERS_PAGE_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ballast {

// What is listed: "list models", "vision/"; both end up in messages.
struct Listing {
  absl::string_view method;
  absl::string_view subject;
};

// "" for the position "": there is no next page.
std::string MakePageToken(const Listing& listing, absl::string_view position);

// The position that a token was made of; "" for "": the first page.
// Errors: InvalidArgument  not a token of this listing.
absl::StatusOr<std::string> ReadPageToken(const Listing& listing, absl::string_view token);

}  // namespace ballast

#endif  // BALLAST_SERVER_HANDLERS_PAGE_TOKEN_H_

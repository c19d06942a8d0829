#include "server/listen_address.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

bool IsIpv6(absl::string_view text) {
  return absl::StrContains(text, ':') && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.';
         });
}

bool IsHost(absl::string_view host) {
  if (absl::ConsumePrefix(&host, "[")) return absl::ConsumeSuffix(&host, "]") && IsIpv6(host);
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  });
}

// SimpleAtoi alone would take signs and spaces too.
bool IsPort(absl::string_view text, uint32_t* port) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, port) && *port <= 65535;
}

}  // namespace

absl::string_view BrokenAddressRule(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return kHostPortRule;
  const absl::string_view host = address.substr(0, colon);
  if (IsIpv6(host)) return "an IPv6 address in brackets: [ADDRESS]:PORT";
  if (!IsHost(host)) return kHostPortRule;
  uint32_t port = 0;
  return IsPort(address.substr(colon + 1), &port) ? "" : "a port from 0 to 65535";
}

absl::StatusOr<HostPort> ParseHostPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (!BrokenAddressRule(address).empty() || !IsPort(address.substr(colon + 1), &port)) {
    return absl::InvalidArgumentError(
        absl::StrCat("address is \"", Printable(address), "\", want HOST:PORT, port 0 to 65535"));
  }
  return HostPort{std::string(address.substr(0, colon)), static_cast<uint16_t>(port)};
}

bool IsLoopback(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const absl::string_view host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  uint32_t byte = 0;
  return parts.size() == 4 && parts[0] == "127" &&
         std::all_of(parts.begin(), parts.end(), [&](absl::string_view part) {
           return absl::SimpleAtoi(part, &byte) && byte <= 255;
         });
}

}  // namespace ballast

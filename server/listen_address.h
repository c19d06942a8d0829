// Addresses to listen on, as text.
#ifndef BALLAST_SERVER_LISTEN_ADDRESS_H_
#define BALLAST_SERVER_LISTEN_ADDRESS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ballast {

struct HostPort {
  std::string host;   // "127.0.0.1", "localhost", "[::1]": as it was written
  uint16_t port = 0;  // 0: any free one
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// The rule that an address breaks, "" if it is HOST:PORT: kHostPortRule, or what is
// wanted of its port, or of an IPv6 address. gRPC itself would take a port modulo 2^16,
// and IPv6 without brackets as it likes.
inline constexpr char kHostPortRule[] = "HOST:PORT";
absl::string_view BrokenAddressRule(absl::string_view address);

// Errors: InvalidArgument  not HOST:PORT: a host of other characters than those of names
//         and addresses, IPv6 without brackets, a port that is none.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view address);

// "127.0.0.1:7420", "localhost:0", "[::1]:7420", "unix:/path" stay on this machine.
bool IsLoopback(absl::string_view address);

}  // namespace ballast

#endif  // BALLAST_SERVER_LISTEN_ADDRESS_H_

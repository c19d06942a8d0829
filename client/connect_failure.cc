#include "client/connect_failure.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// gRPC 1.51: "failed to connect to all addresses; last error: UNKNOWN: <address>: Ssl
// handshake failed: SSL_ERROR_SSL: error:0A000086:SSL routines::certificate verify failed".
constexpr absl::string_view kNotConnected = "failed to connect to all addresses";
constexpr absl::string_view kHandshake = "Ssl handshake failed";
constexpr absl::string_view kOtherName = "is not in peer certificate";
constexpr absl::string_view kClosed = "Socket closed";

// What OpenSSL calls it: behind the last colon.
absl::string_view LastPart(absl::string_view message) {
  const size_t colon = message.rfind(':');
  if (colon == absl::string_view::npos) return message;
  return absl::StripLeadingAsciiWhitespace(message.substr(colon + 1));
}

absl::string_view HandshakeHint(absl::string_view cause) {
  if (absl::StrContains(cause, "certificate verify failed")) {
    return ", want a server whose certificate the CA file signed";
  }
  if (absl::StrContains(cause, "wrong version number")) return ", want a server that speaks TLS";
  return "";
}

absl::string_view ClosedHint(const ConnectionFacts& facts) {
  if (!facts.tls) return "it may want TLS (a CA file)";
  return facts.certificate ? "it may not accept the client's certificate"
                           : "it may want a certificate of the client";
}

}  // namespace

absl::Status ExplainConnectFailure(const absl::Status& status, const ConnectionFacts& facts) {
  if (!absl::IsUnavailable(status)) return status;
  const absl::string_view message = status.message();
  if (absl::StrContains(message, kHandshake) || absl::StrContains(message, kOtherName)) {
    const absl::string_view cause = LastPart(message);
    return absl::FailedPreconditionError(absl::StrCat(
        facts.peer, ": TLS handshake failed: ", Printable(cause), HandshakeHint(cause)));
  }
  if (absl::StartsWith(message, kNotConnected) && absl::EndsWith(message, kClosed)) {
    return absl::UnavailableError(
        absl::StrCat("the server closed the connection before it answered; ", ClosedHint(facts)));
  }
  return status;
}

}  // namespace ballast

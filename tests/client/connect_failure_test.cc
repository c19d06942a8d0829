#include "client/connect_failure.h"

#include <string>

#include "gtest/gtest.h"

namespace ballast {
namespace {

constexpr char kGrpc[] =
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:5: ";

TEST(ConnectFailure, SaysWhatIsTheMatterAsFarAsGrpcTells) {
  constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;
  constexpr auto kGone = absl::StatusCode::kUnavailable;
  const ConnectionFacts plain{"host:1", false, false};
  const ConnectionFacts tls{"host:1", true, false};
  const ConnectionFacts mtls{"host:1", true, true};
  const struct {
    std::string grpc;
    ConnectionFacts facts;
    absl::StatusCode code;
    std::string message;
  } rows[] = {
      {"Ssl handshake failed: SSL_ERROR_SSL: error:0A000086:SSL routines::certificate verify "
       "failed",
       tls, kFailed,
       "host:1: TLS handshake failed: certificate verify failed, want a server whose certificate "
       "the CA file signed"},
      {"Ssl handshake failed: SSL_ERROR_SSL: error:0A00010B:SSL routines::wrong version number",
       tls, kFailed,
       "host:1: TLS handshake failed: wrong version number, want a server that speaks TLS"},
      {"Ssl handshake failed: SSL_ERROR_SSL: error:0A000410:SSL routines::sslv3 alert handshake "
       "failure",
       mtls, kFailed, "host:1: TLS handshake failed: sslv3 alert handshake failure"},
      {"Peer name host is not in peer certificate", tls, kFailed,
       "host:1: TLS handshake failed: Peer name host is not in peer certificate"},
      {"Socket closed", plain, kGone,
       "the server closed the connection before it answered; it may want TLS (a CA file)"},
      {"Socket closed", tls, kGone,
       "the server closed the connection before it answered; it may want a certificate of the "
       "client"},
      {"Socket closed", mtls, kGone,
       "the server closed the connection before it answered; it may not accept the client's "
       "certificate"},
      {"Failed to connect to remote host: Connection refused", plain, kGone,
       kGrpc + std::string("Failed to connect to remote host: Connection refused")},
  };
  for (const auto& row : rows) {
    const absl::Status status =
        ExplainConnectFailure(absl::UnavailableError(kGrpc + row.grpc), row.facts);
    EXPECT_EQ(status.code(), row.code) << row.grpc;
    EXPECT_EQ(status.message(), row.message);
  }
}

TEST(ConnectFailure, LeavesOtherStatusesAlone) {
  const ConnectionFacts facts{"host:1", true, true};
  for (const absl::Status& status :
       {absl::OkStatus(), absl::NotFoundError("Ssl handshake failed: x"),
        absl::UnavailableError("the server is busy"), absl::UnavailableError("Socket closed")}) {
    EXPECT_EQ(ExplainConnectFailure(status, facts), status);
  }
}

}  // namespace
}  // namespace ballast

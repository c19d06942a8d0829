// What gRPC says when there is no connection, in words that help.
#ifndef BALLAST_CLIENT_CONNECT_FAILURE_H_
#define BALLAST_CLIENT_CONNECT_FAILURE_H_

#include <string>

#include "absl/status/status.h"

namespace ballast {

// How the client connects: what it may lack.
struct ConnectionFacts {
  std::string peer;  // as messages call it
  bool tls = false;
  bool certificate = false;  // of its own
};

// A TLS handshake that failed becomes FailedPrecondition: trying again is of no use. A
// server that closed the connection at once stays Unavailable, because one that stops does
// so too, and gets a hint at what TLS may have to do with it. Other statuses stay.
absl::Status ExplainConnectFailure(const absl::Status& status, const ConnectionFacts& facts);

}  // namespace ballast

#endif  // BALLAST_CLIENT_CONNECT_FAILURE_H_

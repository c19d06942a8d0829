// How the client reaches a server: gRPC, or in the process (tests).
#ifndef BALLAST_CLIENT_TRANSPORT_H_
#define BALLAST_CLIENT_TRANSPORT_H_

#include <ballast/client.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/frame_stream.h"

namespace google::protobuf {
class MessageLite;
}

namespace ballast {

// Thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;

  // One request, one answer. `method` is the bare name ("GetVersion").
  // Errors: what the server answers; Unavailable  it cannot be reached;
  //         DeadlineExceeded; Cancelled  through the token.
  virtual absl::Status Unary(absl::string_view method, const google::protobuf::MessageLite& request,
                             google::protobuf::MessageLite* response, absl::Time deadline,
                             const CancelToken& cancel) = 0;

  // Starts a streaming call. Never null; a failure shows when it is used.
  virtual std::unique_ptr<ClientFrameStream> Open(absl::string_view method,
                                                  absl::Time deadline) = 0;

  // What messages call the other end: "127.0.0.1:7420".
  virtual std::string peer() const = 0;
};

// Errors: InvalidArgument  the address or a TLS file. NotFound  a TLS file.
absl::StatusOr<std::unique_ptr<Transport>> MakeGrpcTransport(const ClientOptions& options);

// A client over any transport.
std::unique_ptr<Client> MakeClient(std::unique_ptr<Transport> transport, ClientOptions options);

}  // namespace ballast

#endif  // BALLAST_CLIENT_TRANSPORT_H_

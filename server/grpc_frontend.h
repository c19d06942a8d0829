// The service over gRPC: one generic reactor hands every call to its method on a
// worker thread, so that a method is plain blocking code and no gRPC thread ever
// waits for a disk.
//
// Every method runs through gRPC's generic callback service (messages stay bytes,
// payload is not copied); one method of each service is registered by name, so that
// reflection lists the services.
#ifndef BALLAST_SERVER_GRPC_FRONTEND_H_
#define BALLAST_SERVER_GRPC_FRONTEND_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/call_observer.h"
#include "server/call_threads.h"
#include "server/handlers/handlers.h"
#include "server/tls_files.h"
#include "storage/base/limits.h"

namespace ballast {

// Thread-safe.
class GrpcFrontend {
 public:
  struct Options {
    std::vector<std::string> listen;  // "127.0.0.1:7420", "unix:/path", "[::1]:0" …
    TlsFiles tls;
    Limits limits;
  };
  // Starts serving. Methods, threads and observers must outlive the result.
  // Errors: InvalidArgument  TLS files that are none. Unavailable  an address that
  //         cannot be bound; names it.
  static absl::StatusOr<std::unique_ptr<GrpcFrontend>> Start(const Options& options,
                                                             const MethodTable* methods,
                                                             CallThreads* threads,
                                                             std::vector<CallObserver*> observers);
  virtual ~GrpcFrontend() = default;

  // As given, with real port numbers.
  virtual const std::vector<std::string>& addresses() const = 0;

  // Takes no new calls, lets running ones finish for `grace`, cancels the rest, and
  // returns when all are over.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_GRPC_FRONTEND_H_

// The client's transport straight to the server's methods: no gRPC, no sockets, so
// that sanitizers see everything between the two.
#ifndef BALLAST_TESTS_SUPPORT_IN_PROCESS_TRANSPORT_H_
#define BALLAST_TESTS_SUPPORT_IN_PROCESS_TRANSPORT_H_

#include <functional>
#include <memory>
#include <string>

#include "client/transport.h"
#include "proto/frame_stream.h"
#include "server/handlers/handlers.h"

namespace ballast {

// Starts `method` on a thread of its own and returns the client's end. Statuses travel
// as over the wire. `methods` must outlive the call.
std::unique_ptr<ClientFrameStream> StartInProcessCall(const MethodTable* methods,
                                                      const std::string& method,
                                                      const std::string& principal = "tester");

// What may go wrong on the way, for tests: asked before the client sends and after it
// received each frame; true cuts the call (Unavailable).
using CutHook = std::function<bool(const std::string& method)>;

// A client transport over `methods`, which must outlive it.
std::unique_ptr<Transport> MakeInProcessTransport(const MethodTable* methods,
                                                  CutHook cut = nullptr);

}  // namespace ballast

#endif  // BALLAST_TESTS_SUPPORT_IN_PROCESS_TRANSPORT_H_

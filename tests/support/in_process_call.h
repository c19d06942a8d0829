// A call straight to the server's methods: no gRPC, no sockets, so that sanitizers see
// everything between the two ends.
#ifndef BALLAST_TESTS_SUPPORT_IN_PROCESS_CALL_H_
#define BALLAST_TESTS_SUPPORT_IN_PROCESS_CALL_H_

#include <functional>
#include <memory>
#include <string>

#include "proto/frame_stream.h"
#include "server/handlers/handlers.h"

namespace ballast {

// What may go wrong on the way, for tests: asked before the client sends and after it
// received each frame; true cuts the call (Unavailable).
using CutHook = std::function<bool(const std::string& method)>;

// Starts `method` on a thread of its own and returns the client's end. Statuses travel
// as over the wire. `methods` must outlive the call.
std::unique_ptr<ClientFrameStream> StartInProcessCall(const MethodTable* methods,
                                                      const std::string& method,
                                                      const std::string& principal = "tester",
                                                      CutHook cut = nullptr);

}  // namespace ballast

#endif  // BALLAST_TESTS_SUPPORT_IN_PROCESS_CALL_H_

// The client's transport straight to the server's methods.
#ifndef BALLAST_TESTS_SUPPORT_IN_PROCESS_TRANSPORT_H_
#define BALLAST_TESTS_SUPPORT_IN_PROCESS_TRANSPORT_H_

#include <memory>

#include "client/transport.h"
#include "server/handlers/handlers.h"
#include "tests/support/in_process_call.h"

namespace ballast {

// A client transport over `methods`, which must outlive it.
std::unique_ptr<Transport> MakeInProcessTransport(const MethodTable* methods,
                                                  CutHook cut = nullptr);

}  // namespace ballast

#endif  // BALLAST_TESTS_SUPPORT_IN_PROCESS_TRANSPORT_H_

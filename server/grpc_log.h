// gRPC's own messages in the server's log.
#ifndef BALLAST_SERVER_GRPC_LOG_H_
#define BALLAST_SERVER_GRPC_LOG_H_

#include "server/log.h"

namespace ballast {

// gRPC has one log for the whole process: from now on it is `log`, which must outlive
// the process's use of gRPC. What gRPC writes is chosen by its GRPC_VERBOSITY.
void SendGrpcLogTo(Log* log);

}  // namespace ballast

#endif  // BALLAST_SERVER_GRPC_LOG_H_

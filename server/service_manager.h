// The service manager (systemd, Type=notify) is told when the server is ready and when
// it stops: one datagram to the socket that it names, sd_notify(3) without its library.
#ifndef BALLAST_SERVER_SERVICE_MANAGER_H_
#define BALLAST_SERVER_SERVICE_MANAGER_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast {

// `state`: "READY=1", "STOPPING=1", lines of sd_notify(3). Without NOTIFY_SOCKET in the
// environment nobody wants to know, which is fine.
// Errors: InvalidArgument  NOTIFY_SOCKET is no address. Unavailable  nobody listens there.
absl::Status NotifyServiceManager(absl::string_view state);

}  // namespace ballast

#endif  // BALLAST_SERVER_SERVICE_MANAGER_H_

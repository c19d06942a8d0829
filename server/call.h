// What a handler knows of the call it serves, and what the log line will say.
#ifndef BALLAST_SERVER_CALL_H_
#define BALLAST_SERVER_CALL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "server/call_end.h"

namespace ballast {

struct Call {
  std::string method;     // "Push"
  std::string principal;  // who calls; "anonymous" without a client certificate
  std::string peer;       // transport address
  // For a handler that waits for something else than its stream. Owners: the handler's side
  // and the transport.
  std::shared_ptr<CallEnd> end = std::make_shared<CallEnd>();
  // Set by the handler for the log.
  std::string subject;    // model or reference
  uint64_t bytes_in = 0;  // payload
  uint64_t bytes_out = 0;
  uint64_t blocks_stored = 0;  // of a push that became a version
  uint64_t blocks_known = 0;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_CALL_H_

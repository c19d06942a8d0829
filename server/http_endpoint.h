// A small HTTP listener: fixed paths, GET, text. civetweb does the protocol. No TLS, no
// files, no query parameters, nothing that a request could change.
#ifndef BALLAST_SERVER_HTTP_ENDPOINT_H_
#define BALLAST_SERVER_HTTP_ENDPOINT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace ballast {

struct HttpPage {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// By path: "/metrics". Made anew for each request, on a thread of the endpoint's.
using HttpPages = std::map<std::string, std::function<HttpPage()>>;

// Serves until it is destroyed, which waits for requests under way. Other paths are
// answered with 404, other methods than GET and HEAD with 405.
class HttpEndpoint {
 public:
  // `address`: "127.0.0.1:9420", "[::1]:0" …; what the pages use must outlive the result.
  // Errors: InvalidArgument  not HOST:PORT. Unavailable  it cannot be bound; says why.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const std::string& address,
                                                             HttpPages pages);
  virtual ~HttpEndpoint() = default;

  // As given, with the real port number.
  virtual const std::string& address() const = 0;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_HTTP_ENDPOINT_H_

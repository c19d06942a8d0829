#include "server/http_endpoint.h"

#include <civetweb.h>

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/listen_address.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// A scrape a second and two probes need one thread; the rest is for a client that hangs.
constexpr char kThreads[] = "4";
// A client that sends or takes nothing for so long is left.
constexpr char kTimeoutMs[] = "10000";

const char* Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    default:
      return "Service Unavailable";
  }
}

class Endpoint : public HttpEndpoint {
 public:
  explicit Endpoint(HttpPages pages) : pages_(std::move(pages)) {}
  ~Endpoint() override {
    if (context_ != nullptr) mg_stop(context_);
  }
  absl::Status Listen(const std::string& address);
  const std::string& address() const override { return address_; }

 private:
  static int OnRequest(mg_connection* connection);
  static int OnMessage(const mg_connection* connection, const char* message);
  HttpPage PageFor(const mg_request_info& request) const;

  const HttpPages pages_;
  mg_context* context_ = nullptr;
  std::string address_;
};

absl::Status Endpoint::Listen(const std::string& address) {
  ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  mg_callbacks callbacks = {};
  callbacks.begin_request = &Endpoint::OnRequest;
  callbacks.log_message = &Endpoint::OnMessage;
  const char* options[] = {"listening_ports",    address.c_str(), "num_threads", kThreads,
                           "request_timeout_ms", kTimeoutMs,      nullptr};
  context_ = mg_start(&callbacks, this, options);
  mg_server_port port = {};
  if (context_ == nullptr || mg_get_server_ports(context_, 1, &port) != 1) {
    return absl::UnavailableError(
        absl::StrCat("listening on ", Printable(address),
                     ": the address cannot be bound (in use, or not of this machine)"));
  }
  address_ = absl::StrCat(parsed.host, ":", port.port);
  return absl::OkStatus();
}

// civetweb would write its own messages to stderr, between the lines of the log.
int Endpoint::OnMessage(const mg_connection*, const char*) { return 1; }

HttpPage Endpoint::PageFor(const mg_request_info& request) const {
  const absl::string_view method = request.request_method;
  if (method != "GET" && method != "HEAD") {
    return {.status = 405, .body = "only GET and HEAD are served here\n"};
  }
  const auto page = pages_.find(request.local_uri == nullptr ? "" : request.local_uri);
  if (page == pages_.end()) return {.status = 404, .body = "there is no such page\n"};
  return page->second();
}

int Endpoint::OnRequest(mg_connection* connection) {
  const mg_request_info& request = *mg_get_request_info(connection);
  const HttpPage page = static_cast<const Endpoint*>(request.user_data)->PageFor(request);
  std::string answer = absl::StrCat(
      "HTTP/1.1 ", page.status, " ", Reason(page.status), "\r\nContent-Type: ", page.content_type,
      "\r\nContent-Length: ", page.body.size(), "\r\nCache-Control: no-store\r\n",
      page.status == 405 ? "Allow: GET, HEAD\r\n" : "", "Connection: close\r\n\r\n");
  if (absl::string_view(request.request_method) != "HEAD") answer += page.body;
  mg_write(connection, answer.data(), answer.size());
  return page.status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const std::string& address,
                                                                  HttpPages pages) {
  auto endpoint = std::make_unique<Endpoint>(std::move(pages));
  RETURN_IF_ERROR(endpoint->Listen(address));
  return endpoint;
}

}  // namespace ballast

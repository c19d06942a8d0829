// The HTTP listener for metrics and probes, over real sockets.

#include "server/http_endpoint.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/listen_address.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Sends `request` to 127.0.0.1 and returns all that comes back.
std::string Ask(const std::string& address, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(ParseHostPort(address)->port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0 &&
      send(fd, request.data(), request.size(), MSG_NOSIGNAL) >= 0) {
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) answer.append(buffer, n);
  }
  close(fd);
  return answer;
}

std::string Get(const std::string& address, const std::string& path,
                const std::string& method = "GET") {
  return Ask(address, absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
}

class HttpEndpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto endpoint = HttpEndpoint::Start(
        "127.0.0.1:0",
        {{"/count", [this] { return HttpPage{.body = absl::StrCat("count ", ++asked_, "\n")}; }},
         {"/broken", [] { return HttpPage{.status = 503, .body = "not now\n"}; }},
         {"/typed", [] {
            return HttpPage{200, "text/x-own", "own"};
          }}});
    ASSERT_THAT(endpoint, IsOk());
    endpoint_ = *std::move(endpoint);
  }
  const std::string& address() const { return endpoint_->address(); }

  std::atomic<int> asked_{0};
  std::unique_ptr<HttpEndpoint> endpoint_;
};

TEST_F(HttpEndpointTest, ServesItsPages) {
  const std::string answer = Get(address(), "/count");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: 8\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\ncount 1\n"));
  EXPECT_THAT(Get(address(), "/count?from=probe"), EndsWith("count 2\n"));
  EXPECT_THAT(Get(address(), "/broken"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(Get(address(), "/typed"), HasSubstr("\r\nContent-Type: text/x-own\r\n"));
}

TEST_F(HttpEndpointTest, AHeadHasNoBody) {
  EXPECT_THAT(Get(address(), "/typed", "HEAD"), EndsWith("Connection: close\r\n\r\n"));
}

TEST_F(HttpEndpointTest, ServesNothingElse) {
  const struct {
    std::string method, path, status;
  } kRows[] = {
      {"GET", "/", "404"},
      {"GET", "/counter", "404"},
      {"GET", "/count/", "404"},
      {"GET", "/etc/passwd", "404"},
      {"GET", "/../../../../etc/passwd", "404"},
      {"GET", "/%2e%2e/%2e%2e/etc/passwd", "404"},
      {"POST", "/count", "405"},
      {"PUT", "/count", "405"},
      {"DELETE", "/count", "405"},
      {"OPTIONS", "/count", "405"},
  };
  for (const auto& row : kRows) {
    const std::string answer = Get(address(), row.path, row.method);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + row.status)) << row.method << " " << row.path;
    EXPECT_THAT(answer, Not(HasSubstr("root:")));
  }
  EXPECT_EQ(asked_, 0);
}

TEST_F(HttpEndpointTest, GarbageDoesNotEndIt) {
  for (const std::string& request :
       {std::string("\r\n\r\n"), std::string("GET\r\n\r\n"), std::string(100'000, 'a'),
        std::string("GET / HTTP/9.9\r\n\r\n"), std::string("GET \0/ HTTP/1.1\r\n\r\n", 19),
        std::string("GET /count HTTP/1.1\r\nContent-Length: -1\r\n\r\n")}) {
    // A request that never ends would be waited for: the client ends it.
    Ask(address(), request + "\r\n\r\n");
  }
  EXPECT_THAT(Get(address(), "/count"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpEndpointTest, ServesManyAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> served{0};
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10; ++j) {
        if (absl::StartsWith(Get(address(), "/count"), "HTTP/1.1 200")) ++served;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 160);
}

TEST_F(HttpEndpointTest, AnAddressInUseIsAnErrorThatNamesIt) {
  EXPECT_THAT(HttpEndpoint::Start(address(), {}),
              IsError(absl::StatusCode::kUnavailable, "listening on " + address()));
}

TEST(HostPort, TakesHostAndPortOnly) {
  const struct {
    const char* address;
    HostPort parsed;
  } kGood[] = {
      {"127.0.0.1:0", {"127.0.0.1", 0}},
      {"localhost:65535", {"localhost", 65535}},
      {"[::1]:9420", {"[::1]", 9420}},
      {"node-1.example.org:80", {"node-1.example.org", 80}},
  };
  for (const auto& row : kGood) {
    const auto parsed = ParseHostPort(row.address);
    ASSERT_THAT(parsed, IsOk()) << row.address;
    EXPECT_EQ(*parsed, row.parsed) << row.address;
  }
  for (const char* address :
       {"", ":", "9420", ":9420", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:9420s", "127.0.0.1:1,127.0.0.1:2", "::1:80",
        "[]:80", "[::1:80", "::1]:80", "a b:80", "unix:/path", "http://127.0.0.1:80"}) {
    EXPECT_THAT(ParseHostPort(address),
                IsError(absl::StatusCode::kInvalidArgument, "want HOST:PORT"))
        << address;
  }
}

}  // namespace
}  // namespace ballast

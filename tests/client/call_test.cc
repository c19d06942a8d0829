#include "client/call.h"

#include <ballast/client.h>

#include "client/transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

// A server that never says anything.
class SilentStream : public ClientFrameStream {
 public:
  absl::StatusOr<std::optional<Frame>> Read() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return cancelled_; });
    return absl::CancelledError("the call is over");
  }
  absl::Status Write(Frame) override { return absl::OkStatus(); }
  absl::Status WritesDone() override { return absl::OkStatus(); }
  absl::Status Finish() override { return absl::CancelledError("the call was cancelled"); }
  void Cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
};

TEST(CallTest, ASilentServerIsGivenUpAsUnavailable) {
  IdleWatch watch(absl::Milliseconds(1));
  ClientCall call(std::make_unique<SilentStream>(), {}, &watch, "peer:1");
  const auto frame = call.Read();
  ASSERT_FALSE(frame.ok());
  const absl::Status status = call.Explain(frame.status());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("peer:1: nothing moved"));
}

TEST(CallTest, ATokenWakesAWaitingRead) {
  IdleWatch watch(absl::InfiniteDuration());
  const CancelToken token;
  ClientCall call(std::make_unique<SilentStream>(), {token}, &watch, "peer:1");
  std::thread other([&] { token.Cancel(); });
  const auto frame = call.Read();
  other.join();
  EXPECT_EQ(call.Explain(frame.status()).code(), absl::StatusCode::kCancelled);
}

TEST(CancelTokenTest, CallbacksRunOnceAndOnlyWhileRegistered) {
  const CancelToken token;
  int kept = 0, dropped = 0;
  const auto registration = token.OnCancel([&] { ++kept; });
  token.OnCancel([&] { ++dropped; });  // the registration is gone at once
  token.Cancel();
  token.Cancel();
  EXPECT_EQ(kept, 1);
  EXPECT_EQ(dropped, 0);
  int late = 0;
  const auto after = token.OnCancel([&] { ++late; });
  EXPECT_EQ(late, 1);
}

TEST(TransportTest, AddressesAreChecked) {
  struct Row {
    const char* address;
    bool good;
  } rows[] = {{"127.0.0.1:7420", true}, {"host", true},         {"unix:/tmp/x", true},
              {"[::1]:7420", true},     {"[::1]", true},        {"", false},
              {"unix:", false},         {"host:0", false},      {"host:65536", false},
              {"host:x", false},        {":7420", false},       {"http://host:1", false},
              {"a b:1", false},         {"host:1/path", false}, {"host:", false}};
  for (const Row& row : rows) {
    ClientOptions options;
    options.server = row.address;
    const auto client = Client::Connect(options);
    EXPECT_EQ(client.ok(), row.good) << row.address << ": " << client.status();
    if (!row.good) {
      EXPECT_EQ(client.status().code(), absl::StatusCode::kInvalidArgument) << row.address;
    }
  }
}

TEST(TransportTest, TlsFilesAreReadWhenConnecting) {
  ClientOptions options;
  options.ca_file = "/nonexistent/ca.pem";
  EXPECT_EQ(Client::Connect(options).status().code(), absl::StatusCode::kNotFound);
  options.ca_file = "";
  options.cert_file = "cert.pem";
  EXPECT_THAT(std::string(Client::Connect(options).status().message()), HasSubstr("key"));
}

TEST(TransportTest, AServerThatIsNotThereIsUnavailableAndNamed) {
  ClientOptions options;
  options.server = "unix:/nonexistent/ballast.sock";
  options.back_off = absl::ZeroDuration();
  const auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  const auto models = (*client)->AllModels("");
  EXPECT_EQ(models.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(models.status().message()), HasSubstr("unix:/nonexistent/ballast.sock"));
}

}  // namespace
}  // namespace ballast

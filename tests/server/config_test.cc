#include "server/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Invocation> Parse(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"ballastd"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data());
}

// Parses with this text as the configuration file.
absl::StatusOr<Invocation> ParseFile(const std::string& text,
                                     std::vector<std::string> arguments = {}) {
  const TempDir dir;
  const std::string path = dir.path() + "/ballast.ini";
  std::ofstream(path) << text;
  arguments.insert(arguments.end(), {"--config", path});
  return Parse(arguments);
}

TEST(IsLoopback, IsTrueOnlyForAddressesOfThisMachine) {
  const struct {
    const char* address;
    bool loopback;
  } kRows[] = {
      {"127.0.0.1:7420", true},
      {"127.0.0.1:0", true},
      {"127.255.3.4:1", true},
      {"localhost:7420", true},
      {"[::1]:7420", true},
      {"unix:/run/ballast.sock", true},
      {"unix:relative", true},
      {"0.0.0.0:7420", false},
      {"[::]:7420", false},
      {"10.0.0.1:7420", false},
      {"127.0.0.256:7420", false},
      {"127.0.0.1.example.org:7420", false},
      {"127.example.0.1:7420", false},
      {"127.1:7420", false},
      {"localhost.example.org:7420", false},
      {"example.org:7420", false},
      {"::1:7420", false},
      {":7420", false},
      {"", false},
  };
  for (const auto& row : kRows) EXPECT_EQ(IsLoopback(row.address), row.loopback) << row.address;
}

TEST(CommandLine, HasDefaults) {
  const auto invocation = Parse({"--data-dir", "/d"});
  ASSERT_THAT(invocation, IsOk());
  EXPECT_EQ(invocation->print, "");
  const Config& config = invocation->config;
  EXPECT_EQ(config.data_dir, "/d");
  EXPECT_THAT(config.listen, ElementsAre("127.0.0.1:7420"));
  EXPECT_FALSE(config.insecure);
  EXPECT_EQ(config.log_level, LogLevel::kInfo);
  EXPECT_EQ(config.log_format, LogFormat::kText);
  EXPECT_EQ(config.metrics_listen, "");
  EXPECT_EQ(config.grace.count(), 10'000);
  EXPECT_EQ(config.limits.streams_max, Limits().streams_max);
}

TEST(CommandLine, TakesEveryFlag) {
  const auto invocation =
      Parse({"--data-dir",   "/d",    "--listen",   "0.0.0.0:1", "--listen",         "unix:/s",
             "--tls-cert",   "c",     "--tls-key",  "k",         "--tls-client-ca",  "a",
             "--log-level",  "error", "--grace-ms", "5",         "--metrics-listen", "localhost:9",
             "--log-format", "json"});
  ASSERT_THAT(invocation, IsOk());
  const Config& config = invocation->config;
  EXPECT_THAT(config.listen, ElementsAre("0.0.0.0:1", "unix:/s"));
  EXPECT_EQ(config.tls.certificate, "c");
  EXPECT_EQ(config.tls.key, "k");
  EXPECT_EQ(config.tls.client_ca, "a");
  EXPECT_EQ(config.log_level, LogLevel::kError);
  EXPECT_EQ(config.log_format, LogFormat::kJson);
  EXPECT_EQ(config.grace.count(), 5);
  EXPECT_EQ(config.metrics_listen, "localhost:9");
}

TEST(CommandLine, PrintsHelpAndVersion) {
  EXPECT_THAT(Parse({"--help"})->print, HasSubstr("--data-dir"));
  EXPECT_THAT(Parse({"--version"})->print, ::testing::StartsWith("ballastd "));
}

TEST(CommandLine, SaysWhatIsWrong) {
  const struct {
    std::vector<std::string> arguments;
    std::string part;
  } kRows[] = {
      {{}, "--data-dir is required"},
      {{"--data-dir"}, "--data-dir"},
      {{"--data-dir", "/d", "--unknown"}, "--unknown"},
      {{"--data-dir", "/d", "surplus"}, "surplus"},
      {{"--data-dir", "/d", "--grace-ms", "soon"}, "--grace-ms"},
      {{"--data-dir", "/d", "--grace-ms", "-1"}, "--grace-ms"},
      {{"--data-dir", "/d", "--log-level", "loud"}, "--log-level"},
      {{"--data-dir", "/d", "--log-level", "1"}, "--log-level"},
      {{"--data-dir", "/d", "--log-format", "xml"}, "--log-format"},
      {{"--data-dir", "/d", "--listen", "7420"}, "want HOST:PORT or unix:/path"},
      {{"--data-dir", "/d", "--listen", ":7420"}, "want HOST:PORT or unix:/path"},
      {{"--data-dir", "/d", "--listen", "unix:"}, "want HOST:PORT or unix:/path"},
      {{"--data-dir", "/d", "--listen", "127.0.0.1:65536"},
       "--listen is \"127.0.0.1:65536\", want a port from 0 to 65535"},
      {{"--data-dir", "/d", "--listen", "127.0.0.1:4294974716"}, "want a port from 0 to 65535"},
      {{"--data-dir", "/d", "--listen", "127.0.0.1:http"}, "want a port from 0 to 65535"},
      {{"--data-dir", "/d", "--listen", "127.0.0.1:+1"}, "want a port from 0 to 65535"},
      {{"--data-dir", "/d", "--listen", "127.0.0.1:"}, "want a port from 0 to 65535"},
      {{"--data-dir", "/d", "--listen", "::1:7420"}, "want an IPv6 address in brackets"},
      {{"--data-dir", "/d", "--config", "/no/such/file"}, "/no/such/file"},
      {{"--data-dir", "/d", "--tls-cert", "c"}, "--tls-cert and --tls-key go together"},
      {{"--data-dir", "/d", "--tls-key", "k"}, "--tls-cert and --tls-key go together"},
      {{"--data-dir", "/d", "--tls-client-ca", "a"},
       "--tls-client-ca needs --tls-cert and --tls-key"},
      {{"--data-dir", "/d", "--listen", "0.0.0.0:7420"},
       "--listen 0.0.0.0:7420 is reachable from other machines, want --tls-cert"},
      {{"--data-dir", "/d", "--listen", "127.0.0.1:1", "--listen", "[::]:7420"}, "[::]:7420"},
      {{"--data-dir", "/d", "--metrics-listen", "9420"}, "--metrics-listen is \"9420\""},
      {{"--data-dir", "/d", "--metrics-listen", "unix:/s"}, "want HOST:PORT"},
      {{"--data-dir", "/d", "--metrics-listen", "0.0.0.0:9420"},
       "--metrics-listen 0.0.0.0:9420 is reachable from other machines and has no TLS"},
      {{"--data-dir", "/d", "--metrics-listen", "0.0.0.0:9420", "--tls-cert", "c", "--tls-key",
        "k"},
       "has no TLS, want a loopback address or --insecure"},
  };
  for (const auto& row : kRows) {
    EXPECT_THAT(Parse(row.arguments), IsError(kInvalid, row.part))
        << ::testing::PrintToString(row.arguments);
  }
}

TEST(CommandLine, TakesEveryPortAndBracketedAddresses) {
  for (const char* address : {"127.0.0.1:0", "127.0.0.1:65535", "[::1]:7420", "localhost:1"}) {
    EXPECT_THAT(Parse({"--data-dir", "/d", "--listen", address}), IsOk()) << address;
  }
}

TEST(CommandLine, AListenerBeyondLoopbackNeedsTlsOrInsecure) {
  EXPECT_THAT(Parse({"--data-dir", "/d", "--listen", "0.0.0.0:1", "--insecure"}), IsOk());
  EXPECT_THAT(
      Parse({"--data-dir", "/d", "--listen", "0.0.0.0:1", "--tls-cert", "c", "--tls-key", "k"}),
      IsOk());
}

TEST(CommandLine, MetricsBeyondLoopbackNeedInsecure) {
  EXPECT_THAT(Parse({"--data-dir", "/d", "--metrics-listen", "0.0.0.0:1", "--insecure"}), IsOk());
}

TEST(ConfigFile, SetsFlagsAndLimits) {
  const auto invocation = ParseFile(
      "data-dir = /var/lib/ballast\n"
      "listen = 127.0.0.1:1\n"
      "grace-ms = 7\n"
      "gc-interval-ms = 86400000\n"
      "[limits]\n"
      "streams_max = 32\n"
      "spool_bytes_max = 1099511627776\n");
  ASSERT_THAT(invocation, IsOk());
  EXPECT_EQ(invocation->config.data_dir, "/var/lib/ballast");
  EXPECT_THAT(invocation->config.listen, ElementsAre("127.0.0.1:1"));
  EXPECT_EQ(invocation->config.grace.count(), 7);
  EXPECT_EQ(invocation->config.gc_interval, std::chrono::hours(24));
  EXPECT_EQ(invocation->config.limits.streams_max, 32u);
  EXPECT_EQ(invocation->config.limits.spool_bytes_max, uint64_t{1} << 40);
  EXPECT_EQ(invocation->config.limits.entries_max, Limits().entries_max);
}

TEST(ConfigFile, EveryLimitCanBeSet) {
  // A number of its own for each, above the least and below the most that any may be.
  const auto number_of = [](const LimitField& limit) -> uint64_t {
    const auto index = static_cast<uint64_t>(&limit - AllLimits().data());
    const bool threads = limit.name == "streams_max" || limit.name == "watches_max";
    return threads ? 1000 + index : 4'000'000 + index;
  };
  std::string text = "data-dir = /d\n[limits]\n";
  for (const LimitField& limit : AllLimits()) {
    text += std::string(limit.name) + " = " + std::to_string(number_of(limit)) + "\n";
  }
  const auto invocation = ParseFile(text);
  ASSERT_THAT(invocation, IsOk());
  for (const LimitField& limit : AllLimits()) {
    EXPECT_EQ(invocation->config.limits.*limit.field, number_of(limit)) << limit.name;
  }
}

TEST(CommandLine, CheckConfigLeavesBrokenRulesToTheCheck) {
  const auto invocation = Parse({"--data-dir", "/d", "--listen", "0.0.0.0:1", "--tls-key", "k",
                                 "--metrics-listen", "x", "--check-config"});
  ASSERT_THAT(invocation, IsOk());
  EXPECT_TRUE(invocation->check);
  EXPECT_THAT(ConfigProblems(invocation->config),
              ElementsAre(HasSubstr("go together"), HasSubstr("0.0.0.0:1"),
                          HasSubstr("--metrics-listen is \"x\"")));
  EXPECT_FALSE(Parse({"--data-dir", "/d"})->check);
}

TEST(ConfigFile, AFlagOnTheCommandLineWins) {
  const auto invocation = ParseFile("data-dir = /file\nlog-level = error\n", {"--data-dir", "/d"});
  ASSERT_THAT(invocation, IsOk());
  EXPECT_EQ(invocation->config.data_dir, "/d");
  EXPECT_EQ(invocation->config.log_level, LogLevel::kError);
}

TEST(ConfigFile, SaysWhatIsWrong) {
  const struct {
    std::string text;
    std::string part;
  } kRows[] = {
      {"data-dir = /d\nlisten-to = 127.0.0.1:1\n", "listen-to"},
      {"data-dir = /d\n[limits]\nstream_max = 1\n", "stream_max"},
      {"data-dir = /d\n[limit]\nstreams_max = 1\n", "limit"},
      {"data-dir = /d\n[limits]\nstreams_max = many\n", "streams_max"},
      {"data-dir = /d\n[limits]\nstreams_max = -1\n", "\"-1\" is not a whole number"},
      {"data-dir = /d\n[limits]\nstreams_max = 99999999999999999999\n",
       "is not a whole number from 0 to 2^64-1"},
      {"data-dir = /d\n[limits]\nstreams_max = 0\n", "limits.streams_max is 0, want at least 1"},
      {"data-dir = /d\n[limits]\nstreams_max = 10001\n", "want at most 10000"},
      {"data-dir = /d\n[limits]\nwatches_max = 0\n", "limits.watches_max is 0, want at least 1"},
      {"data-dir = /d\n[limits]\nentries_max = 0\n", "limits.entries_max is 0, want at least 1"},
      {"data-dir = /d\n[limits]\npage_entries_max = 0\n", "page_entries_max is 0"},
      {"data-dir = /d\n[limits]\nblock_file_bytes = 1048575\n", "want at least 1048576"},
      {"data-dir = /d\n[limits]\nconnection_streams_max = 2147483648\n", "at most 2147483647"},
      {"data-dir = /d\n[limits]\nstream_idle_ms = 31536000001\n", "at most 31536000000"},
      {"data-dir = /d\n[limits]\nmanifest_wait_ms = 31536000001\n", "at most 31536000000"},
      {"data-dir = /d\ncheck-config = true\n", "check-config"},
      {"data-dir = /d\nlisten = 0.0.0.0:1\n", "reachable from other machines"},
  };
  for (const auto& row : kRows) {
    EXPECT_THAT(ParseFile(row.text), IsError(kInvalid, row.part)) << row.text;
  }
}

}  // namespace
}  // namespace ballast

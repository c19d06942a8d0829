#include "server/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "absl/strings/str_split.h"
#include "server/call_log.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class LogTest : public ::testing::Test {
 protected:
  std::unique_ptr<Log> Open(LogFormat format, LogLevel level = LogLevel::kInfo) {
    return Log::Open({level, format, &out_});
  }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines = absl::StrSplit(out_.str(), '\n');
    EXPECT_EQ(lines.back(), "") << "the last line is not ended";
    lines.pop_back();
    return lines;
  }

  std::ostringstream out_;
};

TEST_F(LogTest, TextHasTimeLevelEventAndFields) {
  Open(LogFormat::kText)
      ->Write(LogLevel::kInfo, "call",
              {{"method", LogWord{"Push"}}, {"subject", std::string("a b")}, {"in", uint64_t{7}}});
  EXPECT_THAT(Lines().at(0),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}[+-][0-9]{2}:[0-9]{2} "
                           "info call method=Push subject=\"a b\" in=7"));
}

TEST_F(LogTest, JsonHasTheSame) {
  Open(LogFormat::kJson)
      ->Write(LogLevel::kWarn, "call",
              {{"method", LogWord{"Push"}}, {"subject", std::string("a b")}, {"in", uint64_t{7}}});
  const auto line = nlohmann::json::parse(Lines().at(0), nullptr, false);
  ASSERT_TRUE(line.is_object()) << Lines().at(0);
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["event"], "call");
  EXPECT_EQ(line["method"], "Push");
  EXPECT_EQ(line["subject"], "a b");
  EXPECT_EQ(line["in"], 7);
  EXPECT_EQ(line["time"].get<std::string>().size(), 29u);
}

TEST_F(LogTest, AnEventWithoutFieldsIsALineToo) {
  Open(LogFormat::kText)->Write(LogLevel::kInfo, "stopped", {});
  Open(LogFormat::kJson)->Write(LogLevel::kInfo, "stopped", {});
  EXPECT_THAT(Lines().at(0), EndsWith(" info stopped"));
  EXPECT_EQ(nlohmann::json::parse(Lines().at(1))["event"], "stopped");
}

TEST_F(LogTest, NoTextCanForgeALineOrAField) {
  const std::vector<std::string> kTexts = {"x\n2026-11-25T00:00:00 info call method=Forged",
                                           "x\" code=OK forged=\"",
                                           "x\\\",\"forged\":1",
                                           std::string("nul\0nul", 7),
                                           "\xff\xfe not UTF-8",
                                           "{} {0} %v %n",
                                           "\x1b[31mred"};
  for (const std::string& text : kTexts) {
    for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
      out_.str("");
      Open(format)->Write(LogLevel::kInfo, "call", {{"subject", text}, {"ms", uint64_t{1}}});
      ASSERT_EQ(Lines().size(), 1u) << text;
      const std::string line = Lines()[0];
      for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line;
      if (format == LogFormat::kText) {
        EXPECT_THAT(line, EndsWith("\" ms=1"));
        EXPECT_THAT(line, Not(HasSubstr("x\" code=")));
      } else {
        const auto object = nlohmann::json::parse(line, nullptr, false);
        ASSERT_TRUE(object.is_object()) << line;
        EXPECT_EQ(object.size(), 5u) << line;
      }
    }
  }
}

TEST_F(LogTest, WhatIsBelowTheLevelIsLeftOut) {
  const LogLevel kLevels[] = {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError};
  for (size_t chosen = 0; chosen < std::size(kLevels); ++chosen) {
    out_.str("");
    const auto log = Open(LogFormat::kText, kLevels[chosen]);
    for (const LogLevel level : kLevels) log->Write(level, "event", {});
    EXPECT_EQ(Lines().size(), std::size(kLevels) - chosen);
  }
  out_.str("");
  const auto off = Open(LogFormat::kText, LogLevel::kOff);
  for (const LogLevel level : kLevels) off->Write(level, "event", {});
  EXPECT_EQ(out_.str(), "");
}

TEST_F(LogTest, LinesOfManyThreadsDoNotMix) {
  const auto log = Open(LogFormat::kJson);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 200; ++j) {
        log->Write(LogLevel::kInfo, "call", {{"subject", std::string(300, 'x')}});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Lines().size(), 1600u);
  for (const std::string& line : Lines()) ASSERT_TRUE(nlohmann::json::accept(line)) << line;
}

TEST_F(LogTest, ACallsLevelSaysWhoseMatterItIs) {
  const struct {
    absl::Status status;
    const char* level;
  } kRows[] = {
      {absl::OkStatus(), "info"},
      {absl::NotFoundError("x"), "info"},
      {SchemaMismatchError("x"), "info"},
      {LimitError("over entries_max"), "info"},
      {absl::CancelledError("x"), "info"},
      {absl::ResourceExhaustedError("the disk is full"), "warning"},
      {absl::UnavailableError("busy"), "warning"},
      {absl::DataLossError("x"), "error"},
      {absl::InternalError("x"), "error"},
  };
  const auto log = Open(LogFormat::kJson);
  CallLog calls(log.get());
  Call call;
  call.method = "Push";
  for (const auto& row : kRows) {
    out_.str("");
    calls.Begun(call);
    calls.Ended(call, row.status, std::chrono::milliseconds(3));
    ASSERT_EQ(Lines().size(), 1u);
    const auto line = nlohmann::json::parse(Lines()[0]);
    EXPECT_EQ(line["level"], row.level) << row.status;
    EXPECT_EQ(line["code"], absl::StatusCodeToString(row.status.code()));
    EXPECT_EQ(line["ms"], 3);
    EXPECT_EQ(line.contains("message"), !row.status.ok());
  }
}

TEST_F(LogTest, AtDebugACallsBeginIsALineToo) {
  const auto log = Open(LogFormat::kText, LogLevel::kDebug);
  Call call;
  call.method = "Pull";
  CallLog(log.get()).Begun(call);
  EXPECT_THAT(Lines().at(0), HasSubstr("debug begin method=Pull"));
}

}  // namespace
}  // namespace ballast

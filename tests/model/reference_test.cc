#include "storage/model/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "storage/base/status.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;
using Selector = Reference::Selector;

const std::string kHex(64, 'a');
const std::string kSegment63(63, 's');

TEST(Reference, ReadsEveryForm) {
  const Digest digest = Digest::FromHex(kHex).value();
  const struct {
    std::string text;
    Reference want;
    std::string canonical;
  } rows[] = {
      {"m", {.model = "m"}, "m"},
      {"m:latest", {.model = "m"}, "m"},
      {"m@latest", {.model = "m"}, "m"},
      {"m:1", {.model = "m", .selector = Selector::kVersion, .version = 1}, "m:1"},
      {"m:9999999999999999999"},
      {"m:999999999999999999",
       {.model = "m", .selector = Selector::kVersion, .version = 999999999999999999},
       "m:999999999999999999"},
      {"a/b-2/c_3.x:12",
       {.model = "a/b-2/c_3.x", .selector = Selector::kVersion, .version = 12},
       "a/b-2/c_3.x:12"},
      {"m@prod", {.model = "m", .selector = Selector::kAlias, .alias = "prod"}, "m@prod"},
      {"m@v1.2-rc_3",
       {.model = "m", .selector = Selector::kAlias, .alias = "v1.2-rc_3"},
       "m@v1.2-rc_3"},
      {"m@12", {.model = "m", .selector = Selector::kAlias, .alias = "12"}, "m@12"},
      {"m@sha256:" + kHex,
       {.model = "m", .selector = Selector::kDigest, .digest = digest},
       "m@sha256:" + kHex},
      {"1/2/3/4/5/6/7/8", {.model = "1/2/3/4/5/6/7/8"}, "1/2/3/4/5/6/7/8"},
      {kSegment63, {.model = kSegment63}, kSegment63},
  };
  for (const auto& row : rows) {
    const auto ref = ParseReference(row.text);
    if (row.canonical.empty()) {
      EXPECT_TRUE(ref.ok()) << ref.status();
      continue;
    }
    ASSERT_TRUE(ref.ok()) << ref.status();
    EXPECT_EQ(*ref, row.want) << row.text;
    EXPECT_EQ(ref->ToString(), row.canonical);
    EXPECT_EQ(ParseReference(ref->ToString()).value(), row.want);
  }
}

TEST(Reference, RefusesBadOnesAndSaysWhichRule) {
  const struct {
    std::string text, message;
  } rows[] = {
      {"", "model name is empty"},
      {":1", "model name is empty"},
      {"@prod", "model name is empty"},
      {"Resnet", "has upper-case letters, want \"resnet\""},
      {"team/ResNet:3", "has upper-case letters, want \"team/resnet\""},
      {"R!", "segment \"R!\" is not a name"},
      {"/m", "segment \"\" is not a name"},
      {"m/", "segment \"\" is not a name"},
      {"a//b", "segment \"\" is not a name"},
      {"../m", "segment \"..\" is not a name"},
      {".m", "segment \".m\" is not a name"},
      {"m-", "segment \"m-\" is not a name"},
      {"a b", "segment \"a b\" is not a name"},
      {"m\n", "\"m\\x0a\""},
      {"mödel", "is not a name"},
      {"1/2/3/4/5/6/7/8/9", "has 9 segments, want at most 8"},
      {kSegment63 + "s", "is not a name, want 1 to 63"},
      {std::string(256, 'm'), "256 bytes long, want at most 255"},
      {"m:", "version is \"\", want a number from 1"},
      {"m:0", "version is \"0\", want a number from 1"},
      {"m:01", "version is \"01\""},
      {"m:+1", "version is \"+1\""},
      {"m:-1", "version is \"-1\""},
      {"m:1x", "version is \"1x\""},
      {"m: 1", "version is \" 1\""},
      {"m:99999999999999999999", "want a number from 1"},
      {"m:1@prod", "version is \"1@prod\""},
      {"m@", "alias \"\" is not a name"},
      {"m@prod:1", "alias \"prod:1\" is not a name"},
      {"m@Prod", "alias \"Prod\" has upper-case letters, want \"prod\""},
      {"m@sha256", "alias \"sha256\" is reserved"},
      {"m@sha256:abc", "is not a digest, want 64 lower-case hex digits"},
      {"m@sha256:" + std::string(64, 'A'), "is not a digest"},
      {"host:7420/m", "version is \"7420/m\""},
  };
  for (const auto& row : rows) {
    const absl::Status status = ParseReference(row.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message)) << row.text;
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  }
}

TEST(Reference, LongNonsenseGetsAShortMessage) {
  const absl::Status status = ParseReference(std::string(1 << 20, '\n')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_LT(status.message().size(), 2000u);
}

TEST(ModelPrefix, TakesAnyBeginningOfAName) {
  for (const char* prefix : {"", "a", "a/", "team/re", "a."}) {
    EXPECT_TRUE(CheckModelPrefix(prefix).ok()) << prefix;
  }
  for (const char* prefix : {"A", "a b", "a:1", "*"}) {
    EXPECT_EQ(CheckModelPrefix(prefix).code(), absl::StatusCode::kInvalidArgument) << prefix;
  }
}

}  // namespace
}  // namespace ballast

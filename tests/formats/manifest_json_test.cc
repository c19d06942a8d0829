#include "storage/formats/manifest_json.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

std::string Nested(int depth) {
  return absl::StrCat(std::string(static_cast<size_t>(depth), '['),
                      std::string(static_cast<size_t>(depth), ']'));
}

TEST(ManifestJson, TakesMetadataThatIsAnObjectOfObjectsOnly) {
  const struct {
    std::string json;
    bool good;
  } kRows[] = {
      {"", true},
      {"{}", true},
      {"{\"\":{\"version\":1},\"fc\":{}}", true},
      {"{\"a\":{\"b\":[1,-2,0.5,null,true,\"x\",{\"c\":9223372036854775807}]}}", true},
      {"{\"a\":{\"b\":9223372036854775808}}", false},
      {absl::StrCat("{\"a\":{\"b\":", Nested(6), "}}"), true},
      {absl::StrCat("{\"a\":{\"b\":", Nested(7), "}}"), false},
      {absl::StrCat("{\"a\":{\"b\":", Nested(1'000'000), "}}"), false},
      {" ", false},
      {"not JSON", false},
      {"null", false},
      {"[]", false},
      {"1", false},
      {"{\"a\":1}", false},
      {"{\"a\":[]}", false},
      {"{\"a\":{}} {}", false},
      {"{\"a\":{\"b\":NaN}}", false},
      {"{\"a\":{}", false},
      {"{\"\xff\":{}}", false},
  };
  for (const auto& row : kRows) {
    Manifest manifest;
    manifest.metadata_json = row.json;
    const absl::Status status = CheckManifestJson(manifest);
    EXPECT_EQ(status.ok(), row.good) << row.json.substr(0, 100);
    if (row.good) continue;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetReason(status), Reason::kMalformed);
    EXPECT_NE(status.message().find("metadata_json"), absl::string_view::npos) << status;
  }
}

TEST(ManifestJson, TakesLeavesThatAreAListOfNamedValuesOnly) {
  const struct {
    std::string json;
    bool good;
  } kRows[] = {
      {"", true},
      {"[]", true},
      {"[{\"path\":\"epoch\",\"type\":\"int\",\"value\":3},{\"type\":\"x\",\"path\":\"\"}]", true},
      {"[{\"path\":\"best\",\"type\":\"float\",\"text\":\"-inf\"}]", true},
      {"[{\"path\":\"best\",\"type\":\"float\",\"text\":7}]", false},
      {"[{\"path\":\"a\",\"type\":\"list\",\"value\":[{\"path\":1},[null,true,0.5]]}]", true},
      {absl::StrCat("[{\"path\":\"a\",\"type\":\"b\",\"value\":", Nested(98), "}]"), true},
      {absl::StrCat("[{\"path\":\"a\",\"type\":\"b\",\"value\":", Nested(99), "}]"), false},
      {absl::StrCat("[{\"path\":\"a\",\"type\":\"b\",\"value\":", Nested(1'000'000), "}]"), false},
      {"not JSON", false},
      {"null", false},
      {"{}", false},
      {"[1]", false},
      {"[[]]", false},
      {"[{}]", false},
      {"[{\"path\":\"a\"}]", false},
      {"[{\"type\":\"a\"}]", false},
      {"[{\"path\":1,\"type\":\"a\"}]", false},
      {"[{\"path\":\"a\",\"type\":[]}]", false},
      {"[{\"path\":\"a\",\"type\":\"b\",\"more\":1}]", false},
      {"[{\"path\":\"a\",\"type\":\"b\"}] []", false},
  };
  for (const auto& row : kRows) {
    Manifest manifest;
    manifest.leaves_json = row.json;
    const absl::Status status = CheckManifestJson(manifest);
    EXPECT_EQ(status.ok(), row.good) << row.json.substr(0, 100);
    if (row.good) continue;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetReason(status), Reason::kMalformed);
    EXPECT_NE(status.message().find("leaves_json"), absl::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace ballast

#include "storage/schema/validate.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "storage/base/status.h"
#include "storage/schema/suggest.h"

namespace ballast {
namespace {

TensorSpec Spec(absl::string_view key, Shape shape, DType dtype = DType::kFloat32) {
  TensorSpec spec;
  spec.key = std::string(key);
  spec.dtype = dtype;
  spec.shape = std::move(shape);
  return spec;
}

Schema Parse(absl::string_view entries) {
  auto schema =
      ParseSchema(absl::StrCat("{\"ballast_schema\":1,\"entries\":[", entries, "]}"), Limits());
  EXPECT_TRUE(schema.ok()) << schema.status();
  return *schema;
}

const char kLinear[] =
    R"({"key":"w","dtype":"float32","shape":[10,"in"]},{"key":"b","shape":[-1]},)"
    R"({"key":"extra","dtype":"int64","shape":[],"optional":true})";

TEST(Validate, AcceptsWhatFits) {
  const Schema schema = Parse(kLinear);
  const std::vector<std::vector<TensorSpec>> good = {
      {Spec("w", {10, 5}), Spec("b", {7})},
      {Spec("b", {0}, DType::kInt8), Spec("w", {10, 0})},
      {Spec("w", {10, 5}), Spec("b", {7}), Spec("extra", {}, DType::kInt64)},
  };
  for (const auto& specs : good) {
    const Report report = Validate(schema, specs, true, Limits());
    EXPECT_TRUE(report.ok) << ReportToJson(report);
    EXPECT_TRUE(ReportToStatus(report).ok());
    EXPECT_TRUE(Validate(SchemaOf(specs), specs, true, Limits()).ok);
  }
  EXPECT_TRUE(Validate(Schema(), {}, true, Limits()).ok);
}

TEST(Validate, ReportsEveryDifference) {
  const Report report = Validate(
      Parse(kLinear),
      {Spec("w", {11, 5}, DType::kFloat16), Spec("x", {2}), Spec("extra", {1}, DType::kInt64)},
      true, Limits());
  EXPECT_FALSE(report.ok);
  ASSERT_EQ(report.missing.size(), 1u);
  EXPECT_EQ(report.missing[0].key, "b");
  EXPECT_EQ(report.missing[0].expected, "[any]");
  EXPECT_EQ(report.missing[0].found, "");
  ASSERT_EQ(report.unexpected.size(), 1u);
  EXPECT_EQ(report.unexpected[0].key, "x");
  EXPECT_EQ(report.unexpected[0].found, "float32 [2]");
  ASSERT_EQ(report.shape_mismatches.size(), 2u);
  EXPECT_EQ(report.shape_mismatches[0].expected, "float32 [10, in]");
  EXPECT_EQ(report.shape_mismatches[0].found, "float16 [11, 5]");
  EXPECT_EQ(report.shape_mismatches[1].key, "extra");
  ASSERT_EQ(report.dtype_mismatches.size(), 1u);
  EXPECT_EQ(report.dtype_mismatches[0].key, "w");
}

TEST(Validate, NonStrictAllowsMissingAndUnexpectedOnly) {
  const Schema schema = Parse(kLinear);
  const Report loose = Validate(schema, {Spec("x", {2})}, false, Limits());
  EXPECT_TRUE(loose.ok);
  EXPECT_FALSE(loose.strict);
  EXPECT_EQ(loose.missing.size(), 2u);
  EXPECT_EQ(loose.unexpected.size(), 1u);
  EXPECT_FALSE(Validate(schema, {Spec("w", {9, 5})}, false, Limits()).ok);
  EXPECT_FALSE(Validate(schema, {Spec("w", {10, 5}, DType::kInt8)}, false, Limits()).ok);
}

TEST(Validate, NamedDimsMustAgree) {
  const Schema schema =
      Parse(R"({"key":"a","shape":["n","n"]},{"key":"b","shape":["n"]},{"key":"c","shape":["m"]})");
  EXPECT_TRUE(
      Validate(schema, {Spec("a", {3, 3}), Spec("b", {3}), Spec("c", {4})}, true, Limits()).ok);
  EXPECT_FALSE(
      Validate(schema, {Spec("a", {3, 4}), Spec("b", {3}), Spec("c", {4})}, true, Limits()).ok);
  const Report report =
      Validate(schema, {Spec("a", {3, 3}), Spec("b", {4}), Spec("c", {4})}, true, Limits());
  ASSERT_EQ(report.shape_mismatches.size(), 1u);
  EXPECT_EQ(report.shape_mismatches[0].expected, "[n=3]");
}

TEST(Validate, AMismatchedShapeBindsNoNames) {
  const Schema schema = Parse(R"({"key":"a","shape":["n",2]},{"key":"b","shape":["n"]})");
  const Report report = Validate(schema, {Spec("a", {9, 9}), Spec("b", {3})}, true, Limits());
  EXPECT_EQ(report.shape_mismatches.size(), 1u);
}

TEST(Validate, ListsNoMoreItemsThanTheLimit) {
  Limits limits;
  limits.report_items_max = 3;
  std::vector<TensorSpec> specs;
  for (int i = 0; i < 10; ++i) specs.push_back(Spec(absl::StrCat("x", i), {1}));
  const Report report = Validate(Parse(kLinear), specs, true, limits);
  EXPECT_EQ(report.unexpected.size(), 3u);
  EXPECT_EQ(report.missing.size(), 0u);
  EXPECT_EQ(report.items_omitted, 9u);
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(nlohmann::json::parse(ReportToJson(report))["items_omitted"], 9);
}

TEST(Validate, SaysTheFirstDifferenceOnOneLine) {
  const Schema schema = Parse(R"({"key":"fc.weight","dtype":"float32","shape":[10,5]},)"
                              R"({"key":"a","shape":[]},{"key":"b","shape":[]})");
  const absl::Status status =
      ReportToStatus(Validate(schema, {Spec("fc.weight", {10, 4})}, true, Limits()));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(status), Reason::kSchemaMismatch);
  EXPECT_EQ(status.message(),
            "schema: 2 missing, 1 shape mismatch; first: key \"fc.weight\" is float32 [10, 4], "
            "want float32 [10, 5]");
}

TEST(Validate, WritesTheReportAsJson) {
  const Report report = Validate(Parse(kLinear), {Spec("w\"é", {1})}, true, Limits());
  const auto json = nlohmann::json::parse(ReportToJson(report));
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["strict"], true);
  EXPECT_EQ(json["missing"].size(), 2u);
  EXPECT_EQ(json["unexpected"][0]["key"], "w\"é");
  EXPECT_EQ(json["unexpected"][0]["expected"], "");
  EXPECT_TRUE(json["shape_mismatches"].empty());
  EXPECT_FALSE(json.contains("items_omitted"));
}

TEST(StreamingValidator, RefusesAtTheFirstContradiction) {
  const Schema schema = Parse(kLinear);
  StreamingValidator validator(&schema, true, Limits());
  EXPECT_TRUE(validator.Add(Spec("w", {10, 5})).ok());
  const absl::Status unexpected = validator.Add(Spec("x", {1}));
  EXPECT_EQ(GetReason(unexpected), Reason::kSchemaMismatch);
  EXPECT_EQ(unexpected.message(), "schema: key \"x\" is float32 [1], want no such key");
  EXPECT_EQ(validator.Add(Spec("extra", {1}, DType::kInt64)).message(),
            "schema: key \"extra\" is int64 [1], want int64 []");
  EXPECT_EQ(
      validator.Finish(),
      Validate(schema, {Spec("w", {10, 5}), Spec("x", {1}), Spec("extra", {1}, DType::kInt64)},
               true, Limits()));
}

TEST(StreamingValidator, NonStrictTakesUnexpectedEntries) {
  const Schema schema = Parse(kLinear);
  StreamingValidator validator(&schema, false, Limits());
  EXPECT_TRUE(validator.Add(Spec("x", {1})).ok());
  EXPECT_FALSE(validator.Add(Spec("w", {1})).ok());
  EXPECT_FALSE(validator.Finish().ok);
}

// ---- suggestions ----

TEST(Suggest, FindsAPrefixOfAllUnexpectedKeys) {
  const Schema schema = Parse(R"({"key":"a.w","shape":[1]},{"key":"b.w","shape":[1]})");
  const struct {
    const char* prefix;
    const char* rule;
  } cases[] = {{"module.", "'module\\.(.*)=\\1'"},
               {"_orig_mod.", "'_orig_mod\\.(.*)=\\1'"},
               {"_orig_mod.module.", "'_orig_mod\\.module\\.(.*)=\\1'"},
               {"model.", "'model\\.(.*)=\\1'"}};
  for (const auto& c : cases) {
    const Report report = Validate(
        schema,
        {Spec(absl::StrCat(c.prefix, "a.w"), {1}), Spec(absl::StrCat(c.prefix, "b.w"), {1})}, true,
        Limits());
    EXPECT_EQ(
        report.unexpected[1].suggestion,
        absl::StrCat("every unexpected key has the prefix \"", c.prefix, "\"; --rename ", c.rule));
    EXPECT_EQ(report.missing[0].suggestion, absl::StrCat("found as \"", c.prefix, "a.w\""));
  }
}

TEST(Suggest, FindsAPrefixOfAllMissingKeys) {
  const Schema schema = Parse(R"({"key":"net.a","shape":[1]},{"key":"net.b","shape":[1]})");
  const Report report = Validate(schema, {Spec("a", {1}), Spec("b", {1})}, true, Limits());
  EXPECT_EQ(report.missing[0].suggestion,
            "every missing key has the prefix \"net.\"; --rename '(.*)=net.\\1'");
  EXPECT_EQ(report.unexpected[1].suggestion, "expected as \"net.b\"");
}

TEST(Suggest, SuggestsNoPrefixThatOnlySomeKeysHave) {
  const Schema schema = Parse(R"({"key":"aaaa.w","shape":[1]},{"key":"bbbb.w","shape":[2]})");
  const Report report =
      Validate(schema, {Spec("module.aaaa.w", {1}), Spec("bbbbb.w", {2})}, true, Limits());
  for (const ReportItem& item : report.unexpected) {
    EXPECT_EQ(item.suggestion.find("prefix"), std::string::npos) << item.suggestion;
  }
}

TEST(Suggest, FindsTheSameTensorUnderASimilarName) {
  const Schema schema = Parse(R"({"key":"fc1.weight","dtype":"float32","shape":[10,5]},)"
                              R"({"key":"fc2.weight","dtype":"float32","shape":[5,5]})");
  const Report report = Validate(
      schema, {Spec("fc2_.weight", {10, 5}), Spec("fc_1.weight", {10, 5}), Spec("other", {5, 5})},
      true, Limits());
  EXPECT_EQ(report.missing[0].suggestion, "did you mean \"fc_1.weight\"?");
  EXPECT_EQ(report.missing[1].suggestion, "");
  EXPECT_EQ(report.unexpected[1].suggestion, "did you mean \"fc1.weight\"?");
  EXPECT_EQ(report.unexpected[0].suggestion, "");
}

TEST(Suggest, ExplainsShapes) {
  const struct {
    const char* shape;
    Shape found;
    const char* part;
  } cases[] = {
      {"[]", {1}, "num_batches_tracked as [1] for []"},
      {"[1]", {}, "num_batches_tracked as [1] for []"},
      {"[3,4]", {4, 3}, "looks transposed"},
      {"[12]", {4, 3}, "same number of elements"},
      {"[3,4]", {3, 5}, ""},
      {"[3,-1]", {4, 3}, ""},
      {"[0,4]", {0, 5}, ""},
  };
  for (const auto& c : cases) {
    const Schema schema =
        Parse(absl::StrCat("{\"key\":\"bn.num_batches_tracked\",\"shape\":", c.shape, "}"));
    const std::string got =
        SuggestShape(schema.entries[0], Spec("bn.num_batches_tracked", c.found));
    if (*c.part == '\0') {
      EXPECT_EQ(got, "") << c.shape;
    } else {
      EXPECT_NE(got.find(c.part), std::string::npos) << c.shape << ": " << got;
    }
  }
}

TEST(Suggest, EditDistanceIsExactBelowItsLimit) {
  EXPECT_EQ(EditDistance("kitten", "sitting", 10), 3u);
  EXPECT_EQ(EditDistance("", "abc", 10), 3u);
  EXPECT_EQ(EditDistance("abc", "abc", 10), 0u);
  EXPECT_EQ(EditDistance("kitten", "sitting", 3), 3u);
  EXPECT_EQ(EditDistance("aaaa", "bbbb", 2), 2u);
  EXPECT_EQ(EditDistance("abcdef", "a", 3), 3u);
}

// A hundred thousand keys, all different and all wrong, with similar names: the
// name search has a budget.
TEST(Suggest, StaysWithinItsBudget) {
  Schema schema;
  std::vector<TensorSpec> specs;
  for (int i = 0; i < 50'000; ++i) {
    const std::string tail = absl::StrCat(std::string(200, 'x'), i);
    SchemaEntry& entry = schema.entries.emplace_back();
    entry.key = "a" + tail;
    entry.dtype = DType::kFloat32;
    specs.push_back(Spec("b" + tail, {}));
  }
  const Report report = Validate(schema, specs, true, Limits());
  EXPECT_EQ(report.missing.size(), 50'000u);
  EXPECT_EQ(report.missing.back().suggestion, "");
}

}  // namespace
}  // namespace ballast

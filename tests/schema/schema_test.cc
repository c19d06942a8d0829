#include "storage/schema/schema.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

std::string Entries(absl::string_view entries) {
  return absl::StrCat("{\"ballast_schema\":1,\"entries\":[", entries, "]}");
}
std::string Entry(absl::string_view members) { return Entries(absl::StrCat("{", members, "}")); }

TEST(Schema, ParsesEveryField) {
  const auto schema = ParseSchema(
      Entries(R"({"key":"fc.weight","dtype":"float32","shape":[10,"in",-1],"kind":"parameter",)"
              R"("optional":true},{"shape":[],"key":"n"})"),
      Limits());
  ASSERT_TRUE(schema.ok()) << schema.status();
  ASSERT_EQ(schema->entries.size(), 2u);
  SchemaEntry want;
  want.key = "fc.weight";
  want.dtype = DType::kFloat32;
  want.shape = {{10, ""}, {-1, "in"}, {-1, ""}};
  want.kind = Kind::kParameter;
  want.optional = true;
  EXPECT_EQ(schema->entries[0], want);
  EXPECT_EQ(schema->entries[1].dtype, std::nullopt);
  EXPECT_TRUE(schema->entries[1].shape.empty());
}

TEST(Schema, ParsesMembersInAnyOrderAndEmptyEntries) {
  EXPECT_TRUE(ParseSchema("{\"entries\":[],\"ballast_schema\":1}", Limits()).ok());
  EXPECT_TRUE(ParseSchema(" {\"ballast_schema\": 1, \"entries\": []}\n", Limits()).ok());
}

struct Bad {
  std::string json;
  Reason reason;
  const char* part;
};

TEST(Schema, RefusesWhatIsNoSchema) {
  const std::string key = R"("key":"a")";
  const std::string shape = R"("shape":[])";
  std::vector<Bad> cases = {
      {"", Reason::kMalformed, "not JSON at byte"},
      {"{", Reason::kMalformed, "not JSON at byte"},
      {"[]", Reason::kMalformed, "schema: it is an array, want an object"},
      {"1", Reason::kMalformed, "want an object"},
      {"{}", Reason::kMalformed, "has no ballast_schema"},
      {R"({"ballast_schema":1})", Reason::kMalformed, "has no entries"},
      {R"({"entries":[]})", Reason::kMalformed, "has no ballast_schema"},
      {R"({"ballast_schema":2,"entries":[]})", Reason::kMalformed, "ballast_schema is 2, want 1"},
      {R"({"ballast_schema":"1","entries":[]})", Reason::kMalformed, "is a string, want 1"},
      {R"({"ballast_schema":1,"ballast_schema":1,"entries":[]})", Reason::kMalformed, "twice"},
      {R"({"ballast_schema":1,"entries":[],"more":1})", Reason::kMalformed,
       "unknown field \"more\""},
      {R"({"ballast_schema":1,"entries":{}})", Reason::kMalformed, "entries is an object"},
      {R"({"ballast_schema":1,"entries":[]}{})", Reason::kMalformed, "not JSON at byte"},
      {std::string("{\"ballast_schema\":1,\"entries\":[]}\0", 34), Reason::kMalformed, "is zero"},
      {Entries("1"), Reason::kMalformed, "entry 0: the entry is 1, want an object"},
      {Entries("[]"), Reason::kMalformed, "the entry is an array"},
      {Entry(shape), Reason::kMalformed, "entry 0: has no key"},
      {Entry(key), Reason::kMalformed, "entry 0 \"a\": has no shape"},
      {Entry(key + "," + shape + ",\"x\":1"), Reason::kMalformed, "unknown field \"x\""},
      {Entry(key + "," + shape + "," + key), Reason::kMalformed, "has key twice"},
      {Entry("\"key\":1," + shape), Reason::kMalformed, "key is 1, want a string"},
      {Entry("\"key\":\"a\\nb\"," + shape), Reason::kMalformed, "control character"},
      {Entry(key + ",\"shape\":1"), Reason::kMalformed, "shape is 1, want an array"},
      {Entry(key + ",\"shape\":[-2]"), Reason::kMalformed, "a dim is a negative number"},
      {Entry(key + ",\"shape\":[1.5]"), Reason::kMalformed, "a dim is a number that is no integer"},
      {Entry(key + ",\"shape\":[\"\"]"), Reason::kMalformed, "a dim is an empty name"},
      {Entry(key + ",\"shape\":[null]"), Reason::kMalformed, "a dim is null"},
      {Entry(key + ",\"shape\":[[1]]"), Reason::kMalformed, "a dim is an array"},
      {Entry(key + ",\"shape\":[9223372036854775808]"), Reason::kMalformed, "a dim is"},
      {Entry(key + "," + shape + ",\"dtype\":\"f32\""), Reason::kMalformed,
       "dtype is \"f32\", want the name of a dtype"},
      {Entry(key + "," + shape + ",\"dtype\":null"), Reason::kMalformed, "dtype is null"},
      {Entry(key + "," + shape + ",\"kind\":\"weight\""), Reason::kMalformed, "kind is \"weight\""},
      {Entry(key + "," + shape + ",\"optional\":1"), Reason::kMalformed, "optional is 1"},
      {Entries("{" + key + "," + shape + "},{" + key + "," + shape + "}"), Reason::kMalformed,
       "entry 1: key \"a\" is there twice"},
  };
  for (const Bad& c : cases) {
    const auto schema = ParseSchema(c.json, Limits());
    EXPECT_EQ(GetReason(schema.status()), c.reason) << c.json;
    EXPECT_NE(schema.status().message().find(c.part), absl::string_view::npos)
        << c.json << ": " << schema.status();
  }
}

TEST(Schema, RefusesWhatIsOverALimit) {
  Limits limits;
  limits.entries_max = 1;
  limits.dims_max = 2;
  limits.schema_bytes_max = 200;
  const std::string a = R"({"key":"a","shape":[1,2]})";
  EXPECT_TRUE(ParseSchema(Entries(a), limits).ok());
  const std::string b = R"({"key":"b","shape":[1]})";
  EXPECT_EQ(GetReason(ParseSchema(Entries(a + "," + b), limits).status()), Reason::kLimit);
  EXPECT_EQ(GetReason(ParseSchema(Entries(R"({"key":"a","shape":[1,2,3]})"), limits).status()),
            Reason::kLimit);
  EXPECT_EQ(GetReason(ParseSchema(Entries(a) + std::string(200, ' '), limits).status()),
            Reason::kLimit);
}

TEST(Schema, RefusesDeepNestingWithoutRecursion) {
  EXPECT_FALSE(ParseSchema(Entries(std::string(1'000'000, '[')), Limits()).ok());
}

TEST(Schema, ComesBackFromItsJson) {
  Schema schema;
  for (const DTypeInfo& info : AllDTypes()) {
    SchemaEntry& entry = schema.entries.emplace_back();
    entry.key = absl::StrCat("key \"\\ é ", info.name);
    entry.dtype = info.dtype;
    entry.shape = {{0, ""}, {-1, ""}, {-1, "n\"m"}, {1ll << 40, ""}};
    entry.kind = Kind::kBuffer;
    entry.optional = true;
  }
  schema.entries.emplace_back().key = "";
  const auto back = ParseSchema(SchemaToJson(schema), Limits());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, schema);
}

TEST(Schema, WritesTheseBytes) {
  TensorSpec spec;
  spec.key = "fc.weight";
  spec.dtype = DType::kFloat32;
  spec.shape = {10, 5};
  spec.kind = Kind::kParameter;
  TensorSpec scalar;
  scalar.key = "n";
  scalar.dtype = DType::kInt64;
  EXPECT_EQ(
      SchemaToJson(SchemaOf({spec, scalar})),
      "{\"ballast_schema\":1,\"entries\":[\n"
      "{\"key\":\"fc.weight\",\"dtype\":\"float32\",\"shape\":[10,5],\"kind\":\"parameter\"},\n"
      "{\"key\":\"n\",\"dtype\":\"int64\",\"shape\":[]}\n]}\n");
  EXPECT_TRUE(ParseSchema(SchemaToJson(Schema()), Limits()).ok());
}

}  // namespace
}  // namespace ballast

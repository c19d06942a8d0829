#include "storage/schema/key_rules.h"

#include "gtest/gtest.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

std::string Applied(const KeyRuleOptions& options, const std::string& key) {
  auto rules = KeyRules::Compile(options, Limits());
  if (!rules.ok()) return std::string(rules.status().message());
  const KeyDecision decision = (*rules)->Apply(key);
  return decision.keep ? "+" + decision.key : "-";
}

KeyRuleOptions Select(std::string path) {
  KeyRuleOptions options;
  options.select = std::move(path);
  return options;
}
KeyRuleOptions Include(std::vector<std::string> globs) {
  KeyRuleOptions options;
  options.include = std::move(globs);
  return options;
}
KeyRuleOptions Exclude(std::vector<std::string> globs) {
  KeyRuleOptions options;
  options.exclude = std::move(globs);
  return options;
}
KeyRuleOptions Rename(std::vector<std::string> rules) {
  KeyRuleOptions options;
  options.rename = std::move(rules);
  return options;
}

struct Case {
  KeyRuleOptions options;
  const char* key;
  const char* want;
};

TEST(KeyRules, AppliesToOneKey) {
  const Case cases[] = {
      {{}, "a.b", "+a.b"},
      {{}, "", "+"},
      {Select("a"), "a.b.c", "+b.c"},
      {Select("a.b"), "a.b.c", "+c"},
      {Select("a.b"), "a.b", "+"},
      {Select("a."), "a.b", "+b"},
      {Select("a"), "ab.c", "-"},
      {Select("a"), "b.a", "-"},
      {Include({"*.weight"}), "a.b.weight", "+a.b.weight"},
      {Include({"*.weight"}), "a.bias", "-"},
      {Include({"a?c"}), "abc", "+abc"},
      {Include({"a?c"}),
       "aé"
       "c",
       "+aéc"},
      {Include({"a?c"}), "ac", "-"},
      {Include({"*"}), "", "+"},
      {Include({""}), "", "+"},
      {Include({""}), "a", "-"},
      {Include({"a*b*c"}), "aXbYbZc", "+aXbYbZc"},
      {Include({"a*b*c"}), "aXbYbZ", "-"},
      {Include({"*é?"}), "größé!", "+größé!"},
      {Include({"x", "y"}), "y", "+y"},
      {Exclude({"opt*"}), "optimizer.x", "-"},
      {Exclude({"opt*"}), "model.x", "+model.x"},
      {Exclude({"[ab]"}), "a", "+a"},
      {Rename({"module\\.(.*)=\\1"}), "module.fc.weight", "+fc.weight"},
      {Rename({"module\\.(.*)=\\1"}), "my.module.fc", "+my.module.fc"},
      {Rename({"a=b"}), "aa", "+aa"},
      {Rename({"(.*)=x.\\1"}), "a", "+x.a"},
      {Rename({"(.*)a=\\1b", "(.*)b=\\1c"}), "ya", "+yb"},
      {Rename({"(.)(.)=\\2\\1\\0"}), "ab", "+baab"},
      {Rename({"a\\=b=c"}), "a=b", "+c"},
      {Rename({"a=b=c"}), "a", "+b=c"},
      {Rename({"a="}), "a", "+"},
  };
  for (const Case& c : cases) EXPECT_EQ(Applied(c.options, c.key), c.want) << c.key;
}

TEST(KeyRules, AppliesSelectThenGlobsThenRename) {
  KeyRuleOptions options;
  options.select = "model";
  options.include = {"layer*"};
  options.exclude = {"*.bias"};
  options.rename = {"layer(\\d+)\\.(.*)=l\\1.\\2"};
  EXPECT_EQ(Applied(options, "model.layer3.weight"), "+l3.weight");
  EXPECT_EQ(Applied(options, "model.layer3.bias"), "-");
  EXPECT_EQ(Applied(options, "layer3.weight"), "-");
  EXPECT_EQ(Applied(options, "model.head.weight"), "-");
}

TEST(KeyRules, GlobsOfManyStarsDoNotBlowUp) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  const std::string key(4000, 'a');
  EXPECT_EQ(Applied(Include({pattern + "b"}), key), "-");
  EXPECT_EQ(Applied(Include({pattern + "*"}), key), "+" + key);
}

TEST(KeyRules, RegularExpressionsDoNotBlowUp) {
  EXPECT_EQ(Applied(Rename({"(a+)+b=x"}), std::string(4000, 'a')), "+" + std::string(4000, 'a'));
}

TEST(KeyRules, RefusesBadRules) {
  const struct {
    std::string rule;
    absl::StatusCode code;
    const char* part;
  } cases[] = {
      {"noequals", absl::StatusCode::kInvalidArgument, "has no ="},
      {"(=x", absl::StatusCode::kInvalidArgument, "no RE2 expression"},
      {"(?=a)b", absl::StatusCode::kInvalidArgument, "no RE2 expression"},
      {"a=\\1", absl::StatusCode::kInvalidArgument, "rename rule \"a="},
      {"a=\\x", absl::StatusCode::kInvalidArgument, "rename rule \"a="},
      {"((a{100}){100}){10}=x", absl::StatusCode::kInvalidArgument, "no RE2 expression"},
      {"\\pL{30}=x", absl::StatusCode::kResourceExhausted, "rename_program_max"},
      {"(\\pL{100}){8}=x", absl::StatusCode::kResourceExhausted, "rename_program_max"},
      {std::string(9000, 'a') + "=x", absl::StatusCode::kResourceExhausted, "key_bytes_max"},
  };
  for (const auto& c : cases) {
    const auto rules = KeyRules::Compile(Rename({c.rule}), Limits());
    EXPECT_EQ(rules.status().code(), c.code) << c.rule << ": " << rules.status();
    EXPECT_NE(rules.status().message().find(c.part), absl::string_view::npos) << rules.status();
  }
}

TEST(KeyRules, RefusesTooManyRules) {
  EXPECT_EQ(
      KeyRules::Compile(Rename(std::vector<std::string>(65, "a=b")), Limits()).status().code(),
      absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(
      KeyRules::Compile(Include(std::vector<std::string>(257, "a")), Limits()).status().code(),
      absl::StatusCode::kResourceExhausted);
}

absl::StatusOr<std::vector<KeyDecision>> All(const KeyRuleOptions& options,
                                             const std::vector<std::string>& keys) {
  auto rules = KeyRules::Compile(options, Limits());
  if (!rules.ok()) return rules.status();
  return (*rules)->ApplyAll(keys);
}

TEST(KeyRules, AppliesToAllKeysInOrder) {
  const auto out = All(Select("m"), {"m.b", "o.x", "m.a"});
  ASSERT_TRUE(out.ok()) << out.status();
  ASSERT_EQ(out->size(), 3u);
  EXPECT_EQ((*out)[0].key, "b");
  EXPECT_FALSE((*out)[1].keep);
  EXPECT_EQ((*out)[2].key, "a");
}

TEST(KeyRules, RefusesTwoKeysRenamedToOne) {
  const auto out = All(Rename({"[ab]=c"}), {"a", "b"});
  EXPECT_EQ(out.status().message(), "keys \"a\" and \"b\" are both renamed to \"c\"");
  EXPECT_FALSE(All(Rename({"a=b"}), {"a", "b"}).ok());
}

TEST(KeyRules, RefusesKeysThatBreakTheRules) {
  EXPECT_EQ(GetReason(All(Rename({"a=x\ny"}), {"a"}).status()), Reason::kMalformed);
  EXPECT_EQ(GetReason(All(Rename({"(.*)=\\1\\1"}), {std::string(4000, 'a')}).status()),
            Reason::kLimit);
}

TEST(KeyRules, NamesThePrefixesWhenSelectFindsNothing) {
  const auto out = All(Select("modle"), {"model.a", "model.b", "optimizer.c"});
  EXPECT_EQ(out.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(out.status().message(),
            "nothing is under \"modle\"; there are \"model\", \"optimizer\"");
  EXPECT_EQ(All(Select("a"), {}).status().message(), "nothing is under \"a\"; there are no keys");
}

TEST(KeyRules, NamesThePatternsAndTheNearestKeysWhenNothingIsLeft) {
  const std::vector<std::string> keys = {"model.fc.weight", "model.fc.bias", "model.conv.weight",
                                         "model.head", "optimizer.step"};
  const auto with = [](KeyRuleOptions options, const std::string& select) {
    options.select = select;
    return options;
  };
  KeyRuleOptions both = Include({"model.fc.*"});
  both.exclude = {"*.weight", "*.bias"};
  const struct {
    KeyRuleOptions options;
    std::vector<std::string> keys;
    const char* message;
  } cases[] = {
      {Include({"model.fc.wieght"}), keys,
       "no key matches \"model.fc.wieght\"; the nearest are \"model.fc.weight\", "
       "\"model.fc.bias\", \"model.conv.weight\""},
      {with(Include({"fc.wieght"}), "model"), keys,
       "no key matches \"fc.wieght\"; the nearest are \"fc.weight\", \"fc.bias\", \"conv.weight\""},
      {Include({"a", "b", "c", "d"}),
       {"x"},
       "no key matches \"a\", \"b\", \"c\" and 1 more; the nearest are \"x\""},
      {Include({"a"}), {}, "no key matches \"a\"; there are no keys"},
      {Exclude({"*"}),
       {"x", "y"},
       "no key is left, want one that the excluded patterns (\"*\") do not match; there are \"x\", "
       "\"y\""},
      {both, keys,
       "no key is left, want one that the excluded patterns (\"*.weight\", \"*.bias\") do not "
       "match; "
       "there are \"model.fc.weight\", \"model.fc.bias\", \"model.conv.weight\" and 2 more"},
  };
  for (const auto& c : cases) {
    const auto out = All(c.options, c.keys);
    EXPECT_EQ(out.status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(std::string(out.status().message()), c.message);
  }
  EXPECT_TRUE(All(Exclude({"*"}), {}).ok());
  EXPECT_TRUE(All(Include({"nothing", "*.bias"}), keys).ok());
}

TEST(KeyRules, RefusesTextThatIsNotUtf8) {
  for (const KeyRuleOptions& options :
       {Select("a\xff"), Include({"a", "a\xff"}), Exclude({"a\xff"}), Rename({"a\xff=b"})}) {
    const absl::Status status = KeyRules::Compile(options, Limits()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("\\xff"), absl::string_view::npos) << status;
    EXPECT_NE(status.message().find(", want UTF-8"), absl::string_view::npos) << status;
  }
}

TEST(KeyRules, KnowsWhetherThereAreAny) {
  EXPECT_TRUE((*KeyRules::Compile({}, Limits()))->empty());
  EXPECT_FALSE((*KeyRules::Compile(Select("a"), Limits()))->empty());
}

}  // namespace
}  // namespace ballast

// An input is lines. The first byte of each says what the rest is:
//   s select   i include   e exclude   r rename   k key   else a reference
#include <set>

#include "absl/strings/str_split.h"
#include "storage/base/status.h"
#include "storage/model/format.h"
#include "storage/model/reference.h"
#include "storage/model/tensor_spec.h"
#include "storage/schema/key_rules.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

constexpr size_t kKeysMax = 16;
constexpr size_t kMessageBytesMax = 4096;

// Names and rules may be refused without a reason: the code says all.
void CheckNameRefusal(const absl::Status& status) {
  Require(status.code() == absl::StatusCode::kInvalidArgument ||
              status.code() == absl::StatusCode::kResourceExhausted,
          "a bad name is the caller's fault", status.ToString());
  Require(Printable(status.message()) == status.message(), "a message is one printable line",
          status.ToString());
  Require(status.message().size() <= kMessageBytesMax, "a message is bounded", status.ToString());
}

void CheckReference(absl::string_view text) {
  for (const absl::Status& status :
       {CheckModelName(text), CheckAliasName(text), CheckModelPrefix(text)}) {
    if (!status.ok()) CheckNameRefusal(status);
  }
  if (CheckModelName(text).ok()) {
    Require(CheckModelPrefix(text).ok(), "a name is a prefix", text);
    Require(ParseReference(text).ok(), "a name is a reference", text);
  }
  const absl::StatusOr<Reference> reference = ParseReference(text);
  if (!reference.ok()) return CheckNameRefusal(reference.status());
  Require(CheckModelName(reference->model).ok(), "a reference names a model", text);
  const absl::StatusOr<Reference> again = ParseReference(reference->ToString());
  Require(again.ok() && *again == *reference, "a reference's text is that reference", text);
}

struct Lines {
  KeyRuleOptions options;
  std::vector<std::string> keys;
};

Lines LinesOf(absl::string_view input) {
  Lines out;
  std::set<std::string> keys;
  for (const absl::string_view line : absl::StrSplit(input, '\n')) {
    const std::string rest(line.empty() ? line : line.substr(1));
    switch (line.empty() ? '\0' : line[0]) {
      case 's':
        out.options.select = rest;
        break;
      case 'i':
        out.options.include.push_back(rest);
        break;
      case 'e':
        out.options.exclude.push_back(rest);
        break;
      case 'r':
        out.options.rename.push_back(rest);
        break;
      case 'k':
        if (CheckKey(rest, SmallLimits()).ok() && keys.size() < kKeysMax) keys.insert(rest);
        break;
      default:
        CheckReference(line);
    }
  }
  out.keys.assign(keys.begin(), keys.end());
  return out;
}

void CheckDecisions(const KeyRules& rules, const std::vector<std::string>& keys,
                    const std::vector<KeyDecision>& decisions) {
  Require(decisions.size() == keys.size(), "there is a decision for each key");
  std::set<std::string> kept;
  for (size_t i = 0; i < keys.size(); ++i) {
    const KeyDecision alone = rules.Apply(keys[i]);
    Require(alone.keep == decisions[i].keep && alone.key == decisions[i].key,
            "a key alone is decided alike", keys[i]);
    if (!alone.keep) continue;
    Require(CheckKey(alone.key, Limits()).ok(), "a new key passes CheckKey", alone.key);
    Require(kept.insert(alone.key).second, "new keys are unique", alone.key);
    if (rules.empty()) Require(alone.key == keys[i], "no rules change nothing", keys[i]);
  }
}

}  // namespace

void FuzzNames(absl::string_view input) {
  const Lines lines = LinesOf(input);
  const auto rules = KeyRules::Compile(lines.options, SmallLimits());
  if (!rules.ok()) return CheckNameRefusal(rules.status());
  const auto decisions = (*rules)->ApplyAll(lines.keys);
  if (decisions.ok()) return CheckDecisions(**rules, lines.keys, *decisions);
  const absl::Status& status = decisions.status();
  if (status.code() != absl::StatusCode::kNotFound) return CheckRefusal(status);
  const KeyRuleOptions& options = lines.options;
  Require(!options.select.empty() || !options.include.empty() || !options.exclude.empty(),
          "only what was asked for is not found", status.ToString());
  Require(Printable(status.message()) == status.message(), "a message is one printable line");
}

}  // namespace ballast::fuzz

#include "storage/schema/key_rules.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"
#include "storage/model/tensor_spec.h"
#include "storage/schema/suggest.h"

namespace ballast {
namespace {

// Compiling stops here; matching falls back from DFA to NFA, never to backtracking.
constexpr int64_t kRegexMemoryBytes = 8 << 20;
constexpr int kGroupsMax = 10;  // \0 to \9

struct RenameRule {
  std::unique_ptr<RE2> regex;
  std::string text;
  int groups = 1;
};

size_t CharLength(absl::string_view text) { return std::max<size_t>(Utf8SequenceLength(text), 1); }

// Two positions and the last `*` seen: no recursion, at most pattern × key steps.
bool GlobMatches(absl::string_view pattern, absl::string_view key) {
  size_t p = 0;
  size_t k = 0;
  size_t star = absl::string_view::npos;  // position behind the last `*`
  size_t star_key = 0;                    // where its match ends so far
  while (k < key.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      star_key = k;
    } else if (p < pattern.size() && pattern[p] == '?') {
      ++p;
      k += CharLength(key.substr(k));
    } else if (p < pattern.size() && pattern[p] == key[k]) {
      ++p;
      ++k;
    } else if (star != absl::string_view::npos) {
      p = star;
      star_key += CharLength(key.substr(star_key));
      k = star_key;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool AnyGlobMatches(const std::vector<std::string>& globs, absl::string_view key) {
  return std::any_of(globs.begin(), globs.end(),
                     [&](const std::string& glob) { return GlobMatches(glob, key); });
}

// The first `=` that is not escaped; npos if there is none.
size_t FindSeparator(absl::string_view rule) {
  for (size_t i = 0; i < rule.size(); ++i) {
    if (rule[i] == '\\') {
      ++i;
    } else if (rule[i] == '=') {
      return i;
    }
  }
  return absl::string_view::npos;
}

absl::StatusOr<RenameRule> CompileRename(absl::string_view rule, const Limits& limits) {
  RETURN_IF_ERROR(CheckUtf8("rename rule", rule));
  const std::string where = absl::StrCat("rename rule ", QuotedKey(rule));
  if (rule.size() > 2 * limits.key_bytes_max) {
    return LimitError(where, ": is ", rule.size(), " bytes long, want at most ",
                      2 * limits.key_bytes_max, " (twice key_bytes_max)");
  }
  const size_t separator = FindSeparator(rule);
  if (separator == absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": has no =, want REGEX=TEXT"));
  }
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kRegexMemoryBytes);
  RenameRule out;
  out.regex = std::make_unique<RE2>(re2::StringPiece(rule.data(), separator), options);
  out.text = std::string(rule.substr(separator + 1));
  if (out.regex->error_code() == RE2::ErrorPatternTooLarge) {
    return LimitError(where, ": is too large, want at most ", limits.rename_program_max,
                      " instructions (rename_program_max)");
  }
  if (!out.regex->ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": is no RE2 expression: ", Printable(out.regex->error())));
  }
  if (static_cast<uint64_t>(out.regex->ProgramSize()) > limits.rename_program_max) {
    return LimitError(where, ": compiles to ", out.regex->ProgramSize(),
                      " instructions, want at most ", limits.rename_program_max,
                      " (rename_program_max)");
  }
  std::string error;
  if (!out.regex->CheckRewriteString(out.text, &error)) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", Printable(error)));
  }
  out.groups = 1 + RE2::MaxSubmatch(out.text);
  return out;
}

// "the top-level prefixes are a, b and 3 more"
std::string TopLevel(absl::Span<const std::string> keys) {
  constexpr size_t kNamed = 10;
  absl::flat_hash_set<absl::string_view> seen;
  std::vector<std::string> named;
  for (const std::string& key : keys) {
    const absl::string_view prefix = absl::string_view(key).substr(0, key.find('.'));
    if (seen.insert(prefix).second && named.size() < kNamed) named.push_back(QuotedKey(prefix));
  }
  if (seen.empty()) return "there are no keys";
  return absl::StrCat(
      "there are ", absl::StrJoin(named, ", "),
      seen.size() > kNamed ? absl::StrCat(" and ", seen.size() - kNamed, " more") : "");
}

// "\"a\", \"b\" and 3 more"
std::string Listed(absl::Span<const std::string> texts) {
  constexpr size_t kNamed = 3;
  std::vector<std::string> named;
  for (const std::string& text : texts.subspan(0, std::min(texts.size(), kNamed))) {
    named.push_back(QuotedKey(text));
  }
  return absl::StrCat(
      absl::StrJoin(named, ", "),
      texts.size() > kNamed ? absl::StrCat(" and ", texts.size() - kNamed, " more") : "");
}

// The keys that take the fewest edits to become the pattern, of the first ones.
std::vector<std::string> Nearest(absl::string_view pattern, absl::Span<const std::string> keys) {
  constexpr size_t kKeysCompared = 1000;
  constexpr size_t kBytesCompared = 200;
  constexpr size_t kNamed = 3;
  std::vector<std::pair<size_t, size_t>> ranked;  // distance, index
  for (size_t i = 0; i < std::min(keys.size(), kKeysCompared); ++i) {
    const absl::string_view key = absl::string_view(keys[i]).substr(0, kBytesCompared);
    ranked.emplace_back(EditDistance(pattern.substr(0, kBytesCompared), key, kBytesCompared), i);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> nearest;
  for (size_t i = 0; i < std::min(ranked.size(), kNamed); ++i) {
    nearest.push_back(keys[ranked[i].second]);
  }
  return nearest;
}

absl::Status CheckGlobs(const std::vector<std::string>& globs, const Limits& limits) {
  for (const std::string& glob : globs) {
    RETURN_IF_ERROR(CheckUtf8("pattern", glob));
    if (glob.size() > limits.key_bytes_max) {
      return LimitError("pattern ", QuotedKey(glob), " is ", glob.size(),
                        " bytes long, want at most ", limits.key_bytes_max, " (key_bytes_max)");
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string NearestKeysText(absl::string_view wanted, absl::Span<const std::string> keys) {
  const std::vector<std::string> nearest = Nearest(wanted, keys);
  return nearest.empty() ? "there are no keys" : absl::StrCat("the nearest are ", Listed(nearest));
}

struct KeyRules::Impl {
  std::string select;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  std::vector<RenameRule> rename;
  Limits limits;

  // False if `key` is not under `select`; else takes the prefix off.
  bool Select(absl::string_view* key) const {
    if (select.empty()) return true;
    if (!absl::ConsumePrefix(key, select)) return false;
    return key->empty() || absl::ConsumePrefix(key, ".");
  }

  // Why no key is left of these.
  absl::Status NothingLeft(absl::Span<const std::string> keys) const {
    std::vector<std::string> selected;
    bool included = include.empty();
    for (const std::string& whole : keys) {
      absl::string_view key = whole;
      if (!Select(&key)) continue;
      included |= AnyGlobMatches(include, key);
      selected.emplace_back(key);
    }
    if (included) {
      return absl::NotFoundError(
          absl::StrCat("no key is left, want one that the excluded patterns (", Listed(exclude),
                       ") do not match; there are ", Listed(selected)));
    }
    return absl::NotFoundError(absl::StrCat("no key matches ", Listed(include), "; ",
                                            NearestKeysText(include.front(), selected)));
  }

  std::string Rename(absl::string_view key) const {
    const re2::StringPiece text(key.data(), key.size());
    for (const RenameRule& rule : rename) {
      std::array<re2::StringPiece, kGroupsMax> groups;
      if (!rule.regex->Match(text, 0, text.size(), RE2::ANCHOR_BOTH, groups.data(), rule.groups)) {
        continue;
      }
      std::string out;
      if (rule.regex->Rewrite(&out, rule.text, groups.data(), rule.groups)) return out;
    }
    return std::string(key);
  }
};

KeyRules::KeyRules(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyRules::~KeyRules() = default;

absl::StatusOr<std::unique_ptr<KeyRules>> KeyRules::Compile(const KeyRuleOptions& options,
                                                            const Limits& limits) {
  if (options.rename.size() > limits.rename_rules_max) {
    return LimitError("number of rename rules is ", options.rename.size(), ", want at most ",
                      limits.rename_rules_max, " (rename_rules_max)");
  }
  const size_t globs = options.include.size() + options.exclude.size();
  if (globs > limits.globs_max) {
    return LimitError("number of include and exclude patterns is ", globs, ", want at most ",
                      limits.globs_max, " (globs_max)");
  }
  RETURN_IF_ERROR(CheckUtf8("select", options.select));
  RETURN_IF_ERROR(CheckGlobs(options.include, limits));
  RETURN_IF_ERROR(CheckGlobs(options.exclude, limits));
  auto impl = std::make_unique<Impl>();
  impl->select = std::string(absl::StripSuffix(options.select, "."));
  impl->include = options.include;
  impl->exclude = options.exclude;
  impl->limits = limits;
  for (const std::string& rule : options.rename) {
    ASSIGN_OR_RETURN(RenameRule compiled, CompileRename(rule, limits));
    impl->rename.push_back(std::move(compiled));
  }
  return std::unique_ptr<KeyRules>(new KeyRules(std::move(impl)));
}

const std::string& KeyRules::select() const { return impl_->select; }

bool KeyRules::empty() const {
  return impl_->select.empty() && impl_->include.empty() && impl_->exclude.empty() &&
         impl_->rename.empty();
}

KeyDecision KeyRules::Apply(absl::string_view key) const {
  if (!impl_->Select(&key)) return {};
  if (!impl_->include.empty() && !AnyGlobMatches(impl_->include, key)) return {};
  if (AnyGlobMatches(impl_->exclude, key)) return {};
  return {true, impl_->Rename(key)};
}

absl::StatusOr<std::vector<KeyDecision>> KeyRules::ApplyAll(
    absl::Span<const std::string> keys) const {
  std::vector<KeyDecision> out;
  out.reserve(keys.size());
  absl::flat_hash_map<std::string, size_t> first;
  bool selected = impl_->select.empty();
  bool kept = keys.empty() && impl_->include.empty();
  for (size_t i = 0; i < keys.size(); ++i) {
    absl::string_view key = keys[i];
    selected |= impl_->Select(&key);
    out.push_back(Apply(keys[i]));
    if (!out.back().keep) continue;
    kept = true;
    RETURN_IF_ERROR(CheckKey(out.back().key, impl_->limits),
                    absl::StrCat("key ", QuotedKey(keys[i]), ", renamed"));
    const auto [it, fresh] = first.try_emplace(out.back().key, i);
    if (!fresh) {
      return MalformedError("keys ", QuotedKey(keys[it->second]), " and ", QuotedKey(keys[i]),
                            " are both renamed to ", QuotedKey(out.back().key));
    }
  }
  if (!selected) {
    return absl::NotFoundError(
        absl::StrCat("nothing is under ", QuotedKey(impl_->select), "; ", TopLevel(keys)));
  }
  if (!kept) return impl_->NothingLeft(keys);
  return out;
}

}  // namespace ballast

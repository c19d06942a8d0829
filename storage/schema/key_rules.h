// Which entries, and under which keys: select → include/exclude → rename, always
// in this order, before the schema and the digest.
#ifndef BALLAST_STORAGE_SCHEMA_KEY_RULES_H_
#define BALLAST_STORAGE_SCHEMA_KEY_RULES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/base/limits.h"

namespace ballast {

// As the user gives them. All empty: everything, unchanged.
struct KeyRuleOptions {
  std::string select;                // subtree; "a.b" keeps "a.b.c" as "c" (and "a.b" as "")
  std::vector<std::string> include;  // globs: `*` any characters, `?` one; none = all
  std::vector<std::string> exclude;
  std::vector<std::string> rename;  // "REGEX=TEXT", RE2, full match, \1 in TEXT; first match wins
};

struct KeyDecision {
  bool keep = false;
  std::string key;  // the new key, if kept
};

// For messages: "the nearest are \"fc.weight\", …", or that there are no keys.
std::string NearestKeysText(absl::string_view wanted, absl::Span<const std::string> keys);

// Compiled rules. Immutable, thread-safe.
class KeyRules {
 public:
  // Errors: InvalidArgument  a bad regular expression or rule (names it), text that is
  //         not UTF-8.
  //         ResourceExhausted  limits.rename_rules_max, rename_program_max, globs_max.
  static absl::StatusOr<std::unique_ptr<KeyRules>> Compile(const KeyRuleOptions& options,
                                                           const Limits& limits);
  ~KeyRules();
  bool empty() const;
  // The subtree that is kept; "" for all.
  const std::string& select() const;

  KeyDecision Apply(absl::string_view key) const;

  // Applies the rules to all keys.
  // Errors: InvalidArgument  two keys renamed to one (names all three), a new key
  //         that breaks CheckKey. NotFound  `select` matches nothing (lists the
  //         top-level prefixes there are), or the patterns leave nothing (names them
  //         and the nearest keys).
  absl::StatusOr<std::vector<KeyDecision>> ApplyAll(absl::Span<const std::string> keys) const;

 private:
  struct Impl;
  explicit KeyRules(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_SCHEMA_KEY_RULES_H_

#include "storage/store/retention_rules.h"

#include <algorithm>

#include "storage/store/limit_time.h"

namespace ballast {
namespace {

bool HasLabel(const VersionInfo& version, const LabelRule& rule) {
  const auto it = version.labels.find(rule.name);
  return it != version.labels.end() && (!rule.value.has_value() || *rule.value == it->second);
}

}  // namespace

bool RetentionKeeps(const Retention& rules, const VersionInfo& version, uint64_t newer,
                    absl::Time now) {
  if (newer == 0 || newer < rules.keep_last) return true;
  if (rules.keep_newer_than_ms > 0 &&
      now - version.created < LimitMilliseconds(rules.keep_newer_than_ms)) {
    return true;
  }
  return std::any_of(rules.keep_labelled.begin(), rules.keep_labelled.end(),
                     [&](const LabelRule& rule) { return HasLabel(version, rule); });
}

}  // namespace ballast

#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"

namespace ballast {
namespace {

absl::Status CheckRules(absl::string_view model, const Retention& rules, const Limits& limits) {
  if (rules == Retention{}) {
    return MalformedError(model, ": retention has no rule, want at least one");
  }
  if (rules.keep_labelled.size() > limits.retention_labels_max) {
    return LimitError(model, ": retention has ", rules.keep_labelled.size(),
                      " label rules, want at most ", limits.retention_labels_max,
                      " (retention_labels_max)");
  }
  uint64_t bytes = 0;
  for (const LabelRule& label : rules.keep_labelled) {
    if (label.name.empty()) return MalformedError(model, ": retention: a label has no name");
    bytes += label.name.size() + label.value.value_or("").size();
  }
  if (bytes <= limits.label_bytes_max) return absl::OkStatus();
  return LimitError(model, ": retention: labels have ", bytes, " bytes, want at most ",
                    limits.label_bytes_max, " (label_bytes_max)");
}

}  // namespace

absl::Status CatalogImpl::SetRetention(absl::string_view model,
                                       const std::optional<Retention>& rules, const Requester& by) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(by.request_id));
  if (rules.has_value()) RETURN_IF_ERROR(CheckRules(model, *rules, limits_));
  const std::string key(kRetentionKey);
  return Change(model, by.request_id, Operation::kSetRetention,
                [&](const std::string& token, bool) -> absl::StatusOr<Plan> {
                  RETURN_IF_ERROR(GetModel(model).status());
                  ASSIGN_OR_RETURN(const auto now, ReadOne(ModelRecord(model), key));
                  if (!rules.has_value()) {
                    return Plan{!now.has_value(), 0, {{key, now}}, {{key, std::nullopt}}};
                  }
                  const RetentionValue value{*rules, token, by.principal, Now()};
                  return Plan{false, 0, {{key, now}}, {{key, EncodeRetention(value)}}};
                })
      .status();
}

absl::StatusOr<std::optional<Retention>> CatalogImpl::GetRetention(absl::string_view model) {
  RETURN_IF_ERROR(GetModel(model).status());
  ASSIGN_OR_RETURN(const auto value, ReadOne(ModelRecord(model), std::string(kRetentionKey)));
  if (!value.has_value()) return std::nullopt;
  ASSIGN_OR_RETURN(RetentionValue retention, DecodeRetention(*value), model);
  return std::move(retention.rules);
}

}  // namespace ballast

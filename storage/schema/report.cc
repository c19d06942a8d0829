#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "storage/base/status.h"
#include "storage/schema/validate.h"

namespace ballast {
namespace {

std::string JsonString(absl::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string ListJson(const std::vector<ReportItem>& items) {
  std::string out = "[";
  for (const ReportItem& item : items) {
    absl::StrAppend(&out, out.size() > 1 ? "," : "", "{\"key\":", JsonString(item.key),
                    ",\"expected\":", JsonString(item.expected),
                    ",\"found\":", JsonString(item.found),
                    ",\"suggestion\":", JsonString(item.suggestion), "}");
  }
  return out + "]";
}

// "2 missing", "1 shape mismatch", "3 dtype mismatches"; the plural only where there
// is one.
void Count(size_t n, absl::string_view what, absl::string_view plural, std::string* out) {
  if (n == 0) return;
  absl::StrAppend(out, out->empty() ? "" : ", ", n, " ", what, n == 1 ? "" : plural);
}

std::string FirstText(const Report& report) {
  const ReportItem* item = nullptr;
  for (const auto* list :
       {&report.shape_mismatches, &report.dtype_mismatches, &report.missing, &report.unexpected}) {
    if (item == nullptr && !list->empty()) item = &list->front();
  }
  if (item == nullptr) return "";
  std::string out = absl::StrCat("; first: key ", QuotedKey(item->key), " is ",
                                 item->found.empty() ? "missing" : item->found, ", want ",
                                 item->expected.empty() ? "no such key" : item->expected);
  if (!item->suggestion.empty()) absl::StrAppend(&out, " (", item->suggestion, ")");
  return out;
}

}  // namespace

std::string ReportToJson(const Report& report) {
  std::string out = absl::StrCat(
      "{\"ok\":", report.ok ? "true" : "false", ",\"strict\":", report.strict ? "true" : "false",
      ",\"missing\":", ListJson(report.missing), ",\"unexpected\":", ListJson(report.unexpected),
      ",\"shape_mismatches\":", ListJson(report.shape_mismatches),
      ",\"dtype_mismatches\":", ListJson(report.dtype_mismatches));
  if (report.items_omitted > 0) absl::StrAppend(&out, ",\"items_omitted\":", report.items_omitted);
  return out + "}";
}

absl::Status ReportToStatus(const Report& report) {
  if (report.ok) return absl::OkStatus();
  std::string counts;
  Count(report.missing.size(), "missing", "", &counts);
  Count(report.unexpected.size(), "unexpected", "", &counts);
  Count(report.shape_mismatches.size(), "shape mismatch", "es", &counts);
  Count(report.dtype_mismatches.size(), "dtype mismatch", "es", &counts);
  Count(report.items_omitted, "more not listed", "", &counts);
  return SchemaMismatchError("schema: ", counts, FirstText(report));
}

}  // namespace ballast

#include "client/cli/text.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

// Columns on the screen: characters, not bytes.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

void AppendItems(absl::string_view title, const std::vector<ReportItem>& items, std::string* out) {
  for (const ReportItem& item : items) {
    absl::StrAppend(out, title, ": ", QuotedKey(item.key));
    if (!item.found.empty()) absl::StrAppend(out, " is ", Printable(item.found));
    if (!item.expected.empty()) absl::StrAppend(out, ", want ", Printable(item.expected));
    if (!item.suggestion.empty()) absl::StrAppend(out, " (", Printable(item.suggestion), ")");
    *out += '\n';
  }
}

}  // namespace

std::string JsonLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string BytesText(uint64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string Count(uint64_t n, absl::string_view noun) {
  if (n == 1) return absl::StrCat("1 ", noun);
  if (noun == "entry") return absl::StrCat(n, " entries");
  return absl::StrCat(n, " ", noun, "s");
}

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  std::vector<std::vector<std::string>> cells;
  for (const std::vector<std::string>& row : rows) {
    std::vector<std::string>& out = cells.emplace_back();
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      out.push_back(Printable(row[i]));
      widths[i] = std::max(widths[i], Width(out.back()));
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : cells) {
    size_t owed = 0;  // blanks before the next cell that has text
    for (size_t i = 0; i < row.size(); ++i) {
      if (!row[i].empty()) {
        text.append(owed, ' ').append(row[i]);
        owed = 0;
      }
      owed += widths[i] - Width(row[i]) + 2;
    }
    text += '\n';
  }
  return text;
}

std::string TimeJson(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::LocalTimeZone());
}

Json VersionJson(const VersionDescription& version) {
  Json json = {{"reference", absl::StrCat(version.model, ":", version.version)},
               {"model", version.model},
               {"version", version.version},
               {"digest", "sha256:" + version.digest.Hex()},
               {"format", std::string(FormatName(version.format))},
               {"entries", version.entries},
               {"bytes", version.payload_bytes},
               {"bytes_new", version.bytes_new},
               {"parent", version.parent == 0 ? Json(nullptr) : Json(version.parent)},
               {"message", version.message},
               {"labels", version.labels},
               {"creator", version.creator},
               {"created", TimeJson(version.created)},
               {"aliases", version.aliases}};
  if (version.deletion.has_value()) {
    json["deleted"] = {{"by", version.deletion->principal},
                       {"time", TimeJson(version.deletion->time)},
                       {"until", TimeJson(version.deletion->until)}};
  }
  return json;
}

Json ModelJson(const ModelDescription& model) {
  return {{"model", model.model},
          {"latest", model.latest == 0 ? Json(nullptr) : Json(model.latest)},
          {"aliases", model.aliases},
          {"schema", model.has_schema}};
}

std::string ReportText(const Report& report) {
  std::string out;
  AppendItems("missing", report.missing, &out);
  AppendItems("unexpected", report.unexpected, &out);
  AppendItems("shape", report.shape_mismatches, &out);
  AppendItems("dtype", report.dtype_mismatches, &out);
  if (report.items_omitted > 0) absl::StrAppend(&out, "and ", report.items_omitted, " more\n");
  return out;
}

}  // namespace ballast::cli

// How results look: sizes, tables, versions, reports; as text and as JSON.
#ifndef BALLAST_CLIENT_CLI_TEXT_H_
#define BALLAST_CLIENT_CLI_TEXT_H_

#include <ballast/client.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ballast::cli {

using Json = nlohmann::ordered_json;

// One line, ended; text that is not UTF-8 is replaced, never thrown about.
std::string JsonLine(const Json& json);

// "0 B", "999 B", "1.0 KiB", "2.5 GiB".
std::string BytesText(uint64_t bytes);
// "1 tensor", "2 tensors", "2 entries".
std::string Count(uint64_t n, absl::string_view noun);

// Rows of cells in columns; the first row is the head. Cells are made printable.
std::string Table(const std::vector<std::vector<std::string>>& rows);

// "2026-11-25T20:00:00.000Z", for JSON.
std::string TimeJson(absl::Time time);
// "2026-11-25 20:00:00" in the local time zone, for people.
std::string TimeText(absl::Time time);

Json VersionJson(const VersionDescription& version);
Json ModelJson(const ModelDescription& model);
// A report for people: one line per difference.
std::string ReportText(const Report& report);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_TEXT_H_

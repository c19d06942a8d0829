#include "client/cli/description.h"

#include <ballast/client.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"

namespace ballast::cli {
namespace {

constexpr size_t kValueBytesShown = 100;

std::string ShapeOf(const Json& entry) {
  std::vector<std::string> dims;
  for (const Json& dim : MemberItems(entry, "shape")) dims.push_back(dim.dump());
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

// "-0.5 to 0.5, mean 0.01, 3 zeros"; what is not finite comes first.
std::string HealthText(const Json& entry) {
  const auto health = entry.find("health");
  if (health == entry.end()) return "";
  std::string out;
  for (const char* bad : {"nan", "inf"}) {
    const uint64_t count = MemberNumber(*health, bad);
    if (count > 0) absl::StrAppend(&out, count, bad[0] == 'n' ? " NaN, " : " Inf, ");
  }
  uint64_t finite = 1;
  for (const Json& dim : MemberItems(entry, "shape")) {
    if (dim.is_number_unsigned()) finite *= dim.get<uint64_t>();
  }
  finite -= std::min(finite, MemberNumber(*health, "nan") + MemberNumber(*health, "inf"));
  if (finite == 0) return std::string(absl::StripSuffix(out, ", "));
  absl::StrAppendFormat(&out, "%.3g to %.3g, mean %.3g", health->value("min", 0.0),
                        health->value("max", 0.0), health->value("mean", 0.0));
  const uint64_t zeros = MemberNumber(*health, "zeros");
  return zeros == 0 ? out : absl::StrCat(out, ", ", Count(zeros, "zero"));
}

std::string EntryTable(const std::vector<Json>& entries) {
  const bool digests = std::any_of(entries.begin(), entries.end(),
                                   [](const Json& entry) { return entry.contains("sha256"); });
  const bool health = std::any_of(entries.begin(), entries.end(),
                                  [](const Json& entry) { return entry.contains("health"); });
  std::vector<std::vector<std::string>> rows = {{"KEY", "DTYPE", "SHAPE", "KIND", "ROLE"}};
  if (health) rows[0].push_back("VALUES");
  if (digests) rows[0].push_back("SHA256");
  for (const Json& entry : entries) {
    const std::string kind = MemberText(entry, "kind");
    rows.push_back({MemberText(entry, "key"), MemberText(entry, "dtype"), ShapeOf(entry),
                    kind == "unknown" ? "" : kind, MemberText(entry, "role")});
    if (health) rows.back().push_back(HealthText(entry));
    if (digests) rows.back().push_back(MemberText(entry, "sha256"));
  }
  return Table(rows);
}

// A titled list, one line per item; nothing if there are none.
template <typename F>
std::string Section(const Json& document, const char* list, const char* title, F line) {
  std::string out;
  for (const Json& item : MemberItems(document, list)) {
    absl::StrAppend(&out, out.empty() ? absl::StrCat("\n", title, "\n") : "", "  ",
                    Printable(line(item)), "\n");
  }
  return out;
}

std::string ViewLine(const Json& view) {
  const std::string name = MemberText(view, "storage");
  return absl::StrCat(MemberText(view, "key"), ": ", BytesText(MemberNumber(view, "used_bytes")),
                      " at offset ", MemberNumber(view, "offset_bytes"), " of ",
                      BytesText(MemberNumber(view, "storage_bytes")),
                      name.empty() ? "" : absl::StrCat(" in ", name),
                      view.contains("strides") ? ", strides " + view["strides"].dump() : "");
}

// "  container: file_bytes 2345, …" and "  storages: …"; nothing for a version.
std::string ContainerLines(const Json& document) {
  std::vector<std::string> facts;
  const auto container = document.find("container");
  if (container != document.end() && container->is_object()) {
    for (const auto& [name, value] : container->items()) {
      const std::string words = absl::StrReplaceAll(name, {{"_", " "}});
      facts.push_back(absl::StrCat(words, " ", MemberText(*container, name.c_str())));
    }
  }
  std::string out;
  if (!facts.empty()) {
    absl::StrAppend(&out, "  container: ", Printable(absl::StrJoin(facts, ", ")), "\n");
  }
  const auto storages = document.find("storages");
  if (storages == document.end() || !storages->is_object()) return out;
  const uint64_t stored = MemberNumber(*storages, "stored_bytes");
  const uint64_t used = MemberNumber(*storages, "used_bytes");
  absl::StrAppend(&out, "  ", Count(MemberNumber(*storages, "count"), "storage"), ": ",
                  BytesText(stored), " stored, ",
                  used == stored ? "all of it" : BytesText(used) + " of it", " used by tensors\n");
  return out;
}

}  // namespace

std::string MemberText(const Json& json, const char* member) {
  const auto it = json.find(member);
  if (it == json.end()) return "";
  return it->is_string() ? it->get<std::string>()
                         : it->dump(-1, ' ', false, Json::error_handler_t::replace);
}

uint64_t MemberNumber(const Json& json, const char* member) {
  const auto it = json.find(member);
  return it != json.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
}

std::vector<Json> MemberItems(const Json& document, const char* list) {
  const auto it = document.find(list);
  if (it == document.end() || !it->is_array()) return {};
  return {it->begin(), it->end()};
}

std::string TieLine(const Json& tie) {
  std::vector<std::string> keys;
  for (const Json& key : tie) {
    if (key.is_string()) keys.push_back(key.get<std::string>());
  }
  return absl::StrJoin(keys, " = ");
}

std::string LeafLine(const Json& leaf) {
  std::string value = MemberText(leaf, leaf.contains("value") ? "value" : "text");
  if (value.size() > kValueBytesShown) {
    value = absl::StrCat(Utf8Prefix(value, kValueBytesShown), "…");
  }
  return absl::StrCat(MemberText(leaf, "path"), ": ", MemberText(leaf, "type"),
                      value.empty() ? "" : " ", value);
}

std::string DescriptionText(const std::string& subject, const Json& document) {
  const std::vector<Json> entries = MemberItems(document, "entries");
  const std::string writer = MemberText(document, "writer");
  return absl::StrCat(Printable(subject), ": ", MemberText(document, "format"),
                      writer.empty() ? "" : absl::StrCat(", written by ", Printable(writer)), ", ",
                      Count(entries.size(), "tensor"), ", ",
                      BytesText(MemberNumber(document, "bytes")), "\n", ContainerLines(document),
                      "\n", EntryTable(entries),
                      Section(document, "ties", "Ties (same storage)", TieLine),
                      Section(document, "views", "Views (part of a storage)", ViewLine),
                      Section(document, "leaves", "Not tensors", LeafLine),
                      Section(document, "globals", "Globals named by the pickle",
                              [](const Json& global) {
                                return absl::StrCat(MemberText(global, "name"), ": ",
                                                    MemberText(global, "verdict"));
                              }),
                      Section(document, "warnings", "Warnings", [](const Json& warning) {
                        return warning.is_string() ? warning.get<std::string>() : warning.dump();
                      }));
}

}  // namespace ballast::cli

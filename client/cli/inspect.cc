#include <ballast/local.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/flags.h"
#include "client/cli/input.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

struct InspectFlags {
  std::string target, format;
  InspectOptions options;
};

std::string Text(const Json& json, const char* member) {
  const auto it = json.find(member);
  if (it == json.end()) return "";
  return it->is_string() ? it->get<std::string>()
                         : it->dump(-1, ' ', false, Json::error_handler_t::replace);
}

uint64_t Number(const Json& json, const char* member) {
  const auto it = json.find(member);
  return it != json.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
}

// The members of `document[list]`, or none.
std::vector<Json> Items(const Json& document, const char* list) {
  const auto it = document.find(list);
  if (it == document.end() || !it->is_array()) return {};
  return {it->begin(), it->end()};
}

std::string ShapeOf(const Json& entry) {
  std::vector<std::string> dims;
  for (const Json& dim : Items(entry, "shape")) dims.push_back(dim.dump());
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

std::string EntryTable(const std::vector<Json>& entries, bool digests) {
  std::vector<std::vector<std::string>> rows = {{"KEY", "DTYPE", "SHAPE", "KIND", "ROLE"}};
  if (digests) rows[0].push_back("SHA256");
  for (const Json& entry : entries) {
    const std::string kind = Text(entry, "kind");
    rows.push_back({Text(entry, "key"), Text(entry, "dtype"), ShapeOf(entry),
                    kind == "unknown" ? "" : kind, Text(entry, "role")});
    if (digests) rows.back().push_back(Text(entry, "sha256"));
  }
  return Table(rows);
}

// A titled list, one line per item; nothing if there are none.
template <typename F>
std::string Section(const Json& document, const char* list, const char* title, F line) {
  std::string out;
  for (const Json& item : Items(document, list)) {
    absl::StrAppend(&out, out.empty() ? absl::StrCat("\n", title, "\n") : "", "  ",
                    Printable(line(item)), "\n");
  }
  return out;
}

std::string TieLine(const Json& tie) {
  std::vector<std::string> keys;
  for (const Json& key : tie) {
    if (key.is_string()) keys.push_back(key.get<std::string>());
  }
  return absl::StrJoin(keys, " = ");
}

std::string ViewLine(const Json& view) {
  const std::string name = Text(view, "storage");
  return absl::StrCat(Text(view, "key"), ": ", BytesText(Number(view, "used_bytes")), " at offset ",
                      Number(view, "offset_bytes"), " of ",
                      BytesText(Number(view, "storage_bytes")),
                      name.empty() ? "" : absl::StrCat(" in ", name),
                      view.contains("strides") ? ", strides " + view["strides"].dump() : "");
}

std::string LeafLine(const Json& leaf) {
  const std::string value = Text(leaf, "value");
  return absl::StrCat(Text(leaf, "path"), ": ", Text(leaf, "type"),
                      value.empty() ? "" : absl::StrCat(" ", value.substr(0, 100)));
}

// The document of storage/formats/inspect.h for people.
std::string Describe(const std::string& subject, const Json& document, bool digests) {
  const std::vector<Json> entries = Items(document, "entries");
  const std::string writer = Text(document, "writer");
  return absl::StrCat(
      Printable(subject), ": ", Text(document, "format"),
      writer.empty() ? "" : absl::StrCat(", written by ", Printable(writer)), ", ",
      Count(entries.size(), "tensor"), ", ", BytesText(Number(document, "bytes")), "\n\n",
      EntryTable(entries, digests), Section(document, "ties", "Ties (same storage)", TieLine),
      Section(document, "views", "Views (part of a storage)", ViewLine),
      Section(document, "leaves", "Not tensors (left out)", LeafLine),
      Section(
          document, "globals", "Globals named by the pickle",
          [](const Json& g) { return absl::StrCat(Text(g, "name"), ": ", Text(g, "verdict")); }),
      Section(document, "warnings", "Warnings",
              [](const Json& w) { return w.is_string() ? w.get<std::string>() : w.dump(); }));
}

absl::StatusOr<std::string> InspectThe(Session* session, const Target& target,
                                       const InspectFlags& flags) {
  if (!target.is_file()) {
    ASSIGN_OR_RETURN(const std::string reference, session->Resolve(target));
    ASSIGN_OR_RETURN(Client* const client, session->GetClient());
    return client->Inspect(reference, flags.options);
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file,
                   OpenInput(target.text, session->cancel(), session->limits()));
  absl::StatusOr<std::string> json = InspectSource(*file, flags.options, session->limits());
  if (!json.ok()) return WithContext(json.status(), Printable(target.text));
  return json;
}

absl::Status RunInspect(Session* session, InspectFlags* flags) {
  ASSIGN_OR_RETURN(flags->options.format, ReadableFormat("--format", flags->format));
  ASSIGN_OR_RETURN(const Target target, ResolveTarget(flags->target));
  flags->options.control = session->Control();
  const absl::StatusOr<std::string> json = InspectThe(session, target, *flags);
  session->EndProgress();
  RETURN_IF_ERROR(json.status());
  if (session->json()) return session->Print(*json);
  const Json document = Json::parse(*json, nullptr, false);
  if (document.is_discarded()) return absl::InternalError("the description is not JSON");
  return session->Print(Describe(target.text, document, flags->options.digests));
}

}  // namespace

void AddInspect(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* inspect = app->add_subcommand("inspect", "what is in a file or version");
  inspect->add_option("FILE|REF", flags->target, "a file (- for stdin) or a version")->required();
  inspect->add_flag("--digests", flags->options.digests, "SHA-256 of every tensor: a full read");
  inspect->add_option("--format", flags->format, "what FILE is (default auto: by content)");
  inspect->callback([=] { *chosen = [=] { return RunInspect(session, flags.get()); }; });
}

}  // namespace ballast::cli

#include "client/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/session.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

constexpr const char* kFooter =
    "A REF is model, model:12, model@alias or model@sha256:HEX. Where FILE|REF stands, what\n"
    "exists or begins with / ./ or ../ is a file; ref:NAME is a reference in any case.\n"
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 schema mismatch, 5 integrity,\n"
    "6 not allowed, 7 unavailable or interrupted (try again).";

// The commands on the way to the one that was chosen: "alias set".
std::string ChosenName(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    names.push_back(at->get_name());
  }
  return absl::StrJoin(names, " ");
}

void Add(CLI::App* app, Session* session, Command* chosen) {
  for (const auto add : {AddPush,     AddPull,      AddConvert, AddInspect, AddValidate, AddSchema,
                         AddLs,       AddVersions,  AddShow,    AddDiff,    AddAlias,    AddRm,
                         AddUndelete, AddRetention, AddGc,      AddVerify,  AddBackup,   AddRestore,
                         AddExport,   AddImport,    AddStats,   AddWatch,   AddVersion}) {
    add(app, session, chosen);
  }
}

// Null if there is none.
CLI::App* Find(CLI::App* app, const std::string& name) {
  const auto named = [&](const CLI::App* command) { return command->get_name() == name; };
  const std::vector<CLI::App*> found = app->get_subcommands(named);
  return found.empty() ? nullptr : found.front();
}

// `ballast help [COMMAND …]`.
void AddHelp(CLI::App* app, Session* session, Command* chosen) {
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* help = app->add_subcommand("help", "this text, or that of a command");
  help->add_option("COMMAND", *words, "the command");
  help->callback([=] {
    *chosen = [=]() -> absl::Status {
      CLI::App* at = app;
      for (const std::string& word : *words) {
        at = Find(at, word);
        if (at == nullptr) {
          return UsageError(absl::StrCat("\"", Printable(word), "\" is no command"));
        }
      }
      // App::help would describe the subcommand that was parsed: this one.
      return session->Print(
          at->get_formatter()->make_help(at, at->get_name(), CLI::AppFormatMode::Normal));
    };
  });
}

// A value that is empty where one was given: a variable of a script that was not set.
absl::Status CheckNoneEmpty(const CLI::App& app) {
  for (const CLI::App* at = &app; at != nullptr;) {
    for (const CLI::Option* option : at->get_options()) {
      if (option->get_name() == "--message") continue;
      for (const std::string& value : option->results()) {
        if (value.empty()) {
          return UsageError(absl::StrCat(option->get_name(), " is \"\", want a value"));
        }
      }
    }
    const std::vector<CLI::App*> chosen = at->get_subcommands();
    at = chosen.empty() ? nullptr : chosen.front();
  }
  return absl::OkStatus();
}

// CLI11's words, or better ones for a command that is none.
absl::Status ParseFailure(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> left = app.remaining();
  if (!app.get_subcommands().empty() || left.empty()) {
    return UsageError(absl::StrCat(error.what(), " (--help lists what there is)"));
  }
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return UsageError(absl::StrCat("the command is \"", Printable(left.front()), "\", want one of ",
                                 absl::StrJoin(names, ", ")));
}

// `go_on`: what to do about a failure that can be tried again; "" where nothing is known.
int Fail(const std::string& command, const absl::Status& status, const std::string& go_on = "") {
  // Whoever closed the pipe (`| head`) has what it wanted.
  if (IsBrokenPipe(status)) return kUnavailable;
  const ExitCode code = ExitCodeOf(status);
  const bool hint = code == kUnavailable && !go_on.empty();
  const absl::Status told =
      hint ? absl::Status(status.code(), absl::StrCat(status.message(), "; ", go_on)) : status;
  std::fputs(ErrorLine(command, told).c_str(), stderr);
  return code;
}

}  // namespace

std::string ErrorLine(absl::string_view command, const absl::Status& status) {
  // Messages of the server begin with the command already.
  const bool said =
      command.empty() || absl::StartsWith(status.message(), absl::StrCat(command, ": "));
  return absl::StrCat("ballast: ", said ? "" : absl::StrCat(command, ": "),
                      Printable(status.message()), "\n");
}

int RunCommandLine(int argc, const char* const* argv, const CancelToken& cancel) {
  CLI::App app("Ballast: a registry for model weights", "ballast");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(kFooter);
  app.set_help_flag("-h,--help", "this text");
  app.set_version_flag("--version", "ballast " BALLAST_VERSION, "the version of this program");
  Session session(cancel);
  session.SetCommandLine({argv, argv + argc});
  Command command;
  session.AddFlags(&app);
  Add(&app, &session, &command);
  AddHelp(&app, &session, &command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const CLI::App* at = &app;
    while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
    const absl::Status printed = session.Print(at->help());
    return printed.ok() ? kOk : Fail("help", printed);
  } catch (const CLI::CallForVersion&) {
    const absl::Status printed = session.Print(app.version() + "\n");
    return printed.ok() ? kOk : Fail("version", printed);
  } catch (const CLI::ParseError& error) {
    return Fail(ChosenName(app), ParseFailure(app, error));
  }
  const std::string name = ChosenName(app);
  const absl::Status given = CheckNoneEmpty(app);
  if (!given.ok()) return Fail(name, given);
  const absl::Status status = command();
  session.EndProgress();
  return status.ok() ? kOk : Fail(name, status, session.go_on());
}

}  // namespace ballast::cli

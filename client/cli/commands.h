// The commands, one file each.
#ifndef BALLAST_CLIENT_CLI_COMMANDS_H_
#define BALLAST_CLIENT_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>

#include "absl/status/status.h"
#include "client/cli/session.h"

namespace ballast::cli {

// A command's work, chosen by the parser.
using Command = std::function<absl::Status()>;

// Each adds its command to `app`; parsing it sets `*chosen`. Session and `chosen` must
// outlive the app.
void AddPush(CLI::App* app, Session* session, Command* chosen);
void AddPull(CLI::App* app, Session* session, Command* chosen);
void AddConvert(CLI::App* app, Session* session, Command* chosen);
void AddInspect(CLI::App* app, Session* session, Command* chosen);
void AddValidate(CLI::App* app, Session* session, Command* chosen);
void AddSchema(CLI::App* app, Session* session, Command* chosen);
void AddLs(CLI::App* app, Session* session, Command* chosen);
void AddVersions(CLI::App* app, Session* session, Command* chosen);
void AddShow(CLI::App* app, Session* session, Command* chosen);
void AddDiff(CLI::App* app, Session* session, Command* chosen);
void AddAlias(CLI::App* app, Session* session, Command* chosen);
void AddRm(CLI::App* app, Session* session, Command* chosen);
void AddUndelete(CLI::App* app, Session* session, Command* chosen);
void AddRetention(CLI::App* app, Session* session, Command* chosen);
void AddGc(CLI::App* app, Session* session, Command* chosen);
void AddVerify(CLI::App* app, Session* session, Command* chosen);
void AddBackup(CLI::App* app, Session* session, Command* chosen);
void AddRestore(CLI::App* app, Session* session, Command* chosen);
void AddExport(CLI::App* app, Session* session, Command* chosen);
void AddImport(CLI::App* app, Session* session, Command* chosen);
void AddStats(CLI::App* app, Session* session, Command* chosen);
void AddWatch(CLI::App* app, Session* session, Command* chosen);
void AddVersion(CLI::App* app, Session* session, Command* chosen);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_COMMANDS_H_

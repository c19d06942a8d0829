// What every command shares: the global flags, the connection, and where results,
// warnings and progress go.
#ifndef BALLAST_CLIENT_CLI_SESSION_H_
#define BALLAST_CLIENT_CLI_SESSION_H_

#include <ballast/client.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/progress_bar.h"
#include "client/cli/target.h"

namespace ballast::cli {

// Not thread-safe.
class Session {
 public:
  explicit Session(const CancelToken& cancel);

  // Adds the global flags.
  void AddFlags(CLI::App* app);

  // The client, connected on first use. Errors: usage  an address or TLS file.
  absl::StatusOr<Client*> GetClient();
  // The reference of the very version that `target` names. For one that was taken as a
  // reference because there is no such file, a failure says so.
  absl::StatusOr<std::string> Resolve(const Target& target);
  const Limits& limits() const { return options_.limits; }
  const CancelToken& cancel() const { return options_.cancel; }
  bool json() const { return json_; }

  // The words of the command line, for GoOn.
  void SetCommandLine(std::vector<std::string> words) { command_line_ = std::move(words); }
  // From here on a failure that can be tried again (exit code 7), or a signal, says how:
  // "<how>: <this command line> <more>".
  void GoOn(absl::string_view how, const std::vector<std::string>& more = {});
  const std::string& go_on() const { return go_on_; }
  const std::vector<std::string>& command_line() const { return command_line_; }

  // Progress and cancellation for one operation; the session must outlive it.
  CallControl Control();
  // Takes the bar off the screen.
  void EndProgress();

  // To stdout. Errors: Unavailable  nobody reads it any more; ResourceExhausted.
  absl::Status Print(absl::string_view text);
  // What a person wants to know and a script does not: nothing under --quiet or --json.
  absl::Status Tell(absl::string_view line);
  // To stderr, for a person; nothing under --quiet or --json.
  void Note(absl::string_view line);
  // To stderr, unless they stand in the JSON.
  void Warn(const std::vector<std::string>& warnings);
  // For warnings that come one by one: tells each, and keeps it. `kept` must outlive it.
  std::function<void(const std::string& line)> Warner(std::vector<std::string>* kept);
  // The report behind a refusal that the caller returns.
  absl::Status PrintReport(const Report& report);

 private:
  ClientOptions options_;
  std::string token_file_;
  std::vector<std::string> command_line_;
  std::string go_on_;
  bool json_ = false;
  bool quiet_ = false;
  bool no_progress_ = false;
  std::unique_ptr<Client> client_;
  std::unique_ptr<ProgressBar> bar_;
};

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_SESSION_H_

#include "client/cli/session.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/go_on.h"
#include "client/cli/signals.h"
#include "client/cli/text.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

constexpr uint64_t kTokenBytesMax = 16u << 10;

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, OpenFile(path), "--token-file");
  if (file->size_bytes() > kTokenBytesMax) {
    return UsageError(absl::StrCat("--token-file: is ", file->size_bytes(), " bytes, want at most ",
                                   kTokenBytesMax));
  }
  std::string token(file->size_bytes(), '\0');
  RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(token.data(), token.size())), "--token-file");
  return std::string(absl::StripAsciiWhitespace(token));
}

}  // namespace

Session::Session(const CancelToken& cancel) { options_.cancel = cancel; }

void Session::AddFlags(CLI::App* app) {
  app->add_option("--server", options_.server, "host:port or unix:/path of the server")
      ->envname("BALLAST_SERVER")
      ->capture_default_str()
      ->type_name("ADDR");
  app->add_option("--token", options_.token, "sent to the server as a bearer token")
      ->envname("BALLAST_TOKEN")
      ->type_name("TEXT");
  app->add_option("--token-file", token_file_, "a file that holds the token")->type_name("FILE");
  app->add_option("--ca", options_.ca_file, "certificates that sign the server's; turns TLS on")
      ->type_name("FILE");
  app->add_option("--cert", options_.cert_file, "own certificate (mTLS)")->type_name("FILE");
  app->add_option("--key", options_.key_file, "key of --cert")->type_name("FILE");
  app->add_flag("--json", json_, "results as JSON on stdout");
  app->add_flag("--quiet,-q", quiet_, "no progress, warnings or summaries");
  app->add_flag("--no-progress", no_progress_, "no progress bar");
}

absl::StatusOr<Client*> Session::GetClient() {
  if (client_ != nullptr) return client_.get();
  if (!token_file_.empty()) {
    ASSIGN_OR_RETURN(options_.token, ReadToken(token_file_));
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(options_);
  if (client.status().code() == absl::StatusCode::kInvalidArgument) {
    return UsageError(client.status());
  }
  RETURN_IF_ERROR(client.status());
  client_ = *std::move(client);
  return client_.get();
}

absl::StatusOr<std::string> Session::Resolve(const Target& target) {
  ASSIGN_OR_RETURN(Client* const client, GetClient());
  const absl::StatusOr<VersionDescription> version = client->GetVersion(target.text);
  if (!version.ok()) return ExplainTarget(target, version.status());
  return absl::StrCat(version->model, ":", version->version);
}

void Session::GoOn(absl::string_view how, const std::vector<std::string>& more) {
  go_on_ = absl::StrCat(how, ": ", CommandText(WithFlags(command_line_, more)));
  SetInterruptedHint(go_on_);
}

CallControl Session::Control() {
  bar_ = std::make_unique<ProgressBar>(!quiet_ && !no_progress_);
  CallControl control;
  control.cancel = options_.cancel;
  control.progress = [this](const Progress& progress) {
    if (bar_ != nullptr) bar_->Show(progress);
    return true;
  };
  return control;
}

void Session::EndProgress() { bar_.reset(); }

absl::Status Session::Print(absl::string_view text) {
  EndProgress();
  return SinkToFd(STDOUT_FILENO)->Write(text);
}

absl::Status Session::Tell(absl::string_view line) {
  return quiet_ || json_ ? absl::OkStatus() : Print(absl::StrCat(line, "\n"));
}

void Session::Note(absl::string_view line) {
  EndProgress();
  if (!quiet_ && !json_) std::fprintf(stderr, "ballast: %s\n", Printable(line).c_str());
}

void Session::Warn(const std::vector<std::string>& warnings) {
  EndProgress();
  if (quiet_ || json_) return;
  for (const std::string& warning : warnings) {
    std::fprintf(stderr, "ballast: warning: %s\n", Printable(warning).c_str());
  }
}

std::function<void(const std::string&)> Session::Warner(std::vector<std::string>* kept) {
  return [this, kept](const std::string& line) {
    Warn({line});
    kept->push_back(line);
  };
}

absl::Status Session::PrintReport(const Report& report) {
  if (json_) return Print(absl::StrCat(absl::StripAsciiWhitespace(ReportToJson(report)), "\n"));
  return quiet_ ? absl::OkStatus() : Print(ReportText(report));
}

}  // namespace ballast::cli

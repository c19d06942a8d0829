#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/flags.h"
#include "client/cli/go_on.h"
#include "client/cli/signals.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast::cli {
namespace {

struct WatchFlags {
  std::string subject;  // MODEL or MODEL@ALIAS
  std::string since;
  uint64_t count = 0;  // 0: no end
};

// Errors: usage  not a model, nor an alias of one.
absl::StatusOr<Reference> SubjectOf(const std::string& text) {
  const absl::StatusOr<Reference> subject = ParseReference(text);
  if (!subject.ok()) return UsageError(subject.status());
  if (subject->selector == Reference::Selector::kAlias ||
      subject->selector == Reference::Selector::kLatest) {
    return subject;
  }
  return UsageError(
      absl::StrCat("\"", Printable(text), "\" is one version, want MODEL or ", "MODEL@ALIAS"));
}

Json NumberJson(uint64_t version) { return version == 0 ? Json(nullptr) : Json(version); }

Json EventJson(const std::string& model, const WatchEvent& event) {
  Json json;
  if (event.published.has_value()) {
    json = {{"event", "published"}};
    json.update(VersionJson(*event.published));
    json.erase("aliases");
  } else if (event.moved.has_value()) {
    json = {{"event", "moved"},
            {"model", model},
            {"alias", event.moved->alias},
            {"from", NumberJson(event.moved->from)},
            {"to", NumberJson(event.moved->to)},
            {"by", event.moved->principal},
            {"time", TimeJson(event.moved->time)}};
  } else {
    json = {{"event", "watching"}, {"model", model}};
  }
  json["token"] = event.resume_token;
  return json;
}

std::string PublishedText(const VersionDescription& version) {
  return absl::StrCat(TimeText(version.created), "  ", version.model, ":", version.version,
                      "  published by ", version.creator, ", ", Count(version.entries, "entry"),
                      ", ", BytesText(version.payload_bytes),
                      version.message.empty() ? "" : absl::StrCat("  ", version.message));
}

std::string MovedText(const std::string& model, const AliasMoveDescription& move) {
  const std::string what = move.to == 0 ? absl::StrCat("removed, was version ", move.from)
                           : move.from == 0
                               ? absl::StrCat("set to version ", move.to)
                               : absl::StrCat("moved from version ", move.from, " to ", move.to);
  return absl::StrCat(TimeText(move.time), "  ", model, "@", move.alias, "  ", what, " by ",
                      move.principal);
}

std::string EventLine(const std::string& model, const WatchEvent& event) {
  return absl::StrCat(Printable(event.published.has_value() ? PublishedText(*event.published)
                                                            : MovedText(model, *event.moved)),
                      "\n");
}

// Prints events, and remembers how to go on.
class EventPrinter {
 public:
  EventPrinter(Session* session, std::string model, uint64_t count)
      : session_(session), model_(std::move(model)), left_(count) {}

  // False once there is nothing more to do.
  bool Take(const WatchEvent& event) {
    const bool happened = event.published.has_value() || event.moved.has_value();
    const bool first = token_.empty();
    token_ = event.resume_token;
    if (session_->json()) {
      if (happened || first) status_ = session_->Print(JsonLine(EventJson(model_, event)));
    } else if (happened) {
      status_ = session_->Print(EventLine(model_, event));
    }
    if (!status_.ok()) return false;
    return !happened || left_ == 0 || --left_ > 0;
  }
  const absl::Status& status() const { return status_; }
  const std::string& token() const { return token_; }

 private:
  Session* const session_;  // Must outlive this.
  const std::string model_;
  uint64_t left_;
  std::string token_;
  absl::Status status_;
};

absl::Status RunWatch(Session* session, const WatchFlags& flags) {
  ASSIGN_OR_RETURN(const Reference subject, SubjectOf(flags.subject));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  WatchOptions options;
  options.alias = subject.alias;
  options.resume_token = flags.since;
  // A signal is how a watch is ended: it must not look like a failure.
  const CleanupScope signals_cancel;
  EventPrinter printer(session, subject.model, flags.count);
  const absl::Status watched = client->Watch(
      subject.model, options, [&](const WatchEvent& event) { return printer.Take(event); });
  RETURN_IF_ERROR(printer.status());
  if (absl::IsInvalidArgument(watched) && printer.token().empty() && !flags.since.empty()) {
    return UsageError(absl::StrCat("--since: ", watched.message()));
  }
  if (!printer.token().empty()) {
    const auto again = WithFlags(session->command_line(), {"--since", printer.token()});
    session->Note(absl::StrCat("to go on: ", CommandText(again)));
  }
  return session->cancel().cancelled() ? absl::OkStatus() : watched;
}

}  // namespace

void AddWatch(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<WatchFlags>();
  CLI::App* watch = app->add_subcommand(
      "watch", "new versions of a model and moves of its aliases, as they happen");
  watch->add_option("MODEL", flags->subject, "a model, or model@alias for that alias alone")
      ->required();
  watch->add_option("--since", flags->since, "go on where an earlier watch has ended")
      ->type_name("TOKEN");
  watch->add_option("--count", flags->count, "end after so many events")
      ->type_name("N")
      ->check(IsCount);
  watch->callback([=] { *chosen = [=] { return RunWatch(session, *flags); }; });
}

}  // namespace ballast::cli

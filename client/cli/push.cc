#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/flags.h"
#include "client/cli/input.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"
#include "storage/model/reference.h"
#include "storage/model/request_id.h"

namespace ballast::cli {
namespace {

struct PushFlags {
  std::string file, model, format, schema;
  std::vector<std::string> labels;
  bool no_strict = false;
  double retry_for = -1;
  PushOptions options;
};

absl::Status ParseLabels(const std::vector<std::string>& labels,
                         std::map<std::string, std::string>* out) {
  for (const std::string& label : labels) {
    RETURN_IF_ERROR(UsageError(CheckUtf8("--label", label)));
    const size_t equals = label.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return UsageError(absl::StrCat("--label: is \"", Printable(label), "\", want KEY=VALUE"));
    }
    if (!out->emplace(label.substr(0, equals), label.substr(equals + 1)).second) {
      return UsageError(
          absl::StrCat("--label: \"", Printable(label.substr(0, equals)), "\" is there twice"));
    }
  }
  return absl::OkStatus();
}

// What can be told from the command line alone.
absl::Status CheckFlags(Session* session, PushFlags* flags) {
  PushOptions& options = flags->options;
  RETURN_IF_ERROR(CheckModel(flags->model));
  RETURN_IF_ERROR(CheckRules(options.rules, session->limits()));
  RETURN_IF_ERROR(ParseLabels(flags->labels, &options.labels));
  RETURN_IF_ERROR(UsageError(CheckUtf8("--message", options.message)));
  if (!options.request_id.empty()) {
    RETURN_IF_ERROR(UsageError(RequireRequestId(options.request_id)), "--request-id");
  }
  if (!options.alias.empty()) RETURN_IF_ERROR(UsageError(CheckAliasName(options.alias)), "--alias");
  if (!options.parent.empty()) RETURN_IF_ERROR(CheckReference(options.parent), "--parent");
  options.strict = !flags->no_strict;
  ASSIGN_OR_RETURN(options.format, ReadableFormat("--format", flags->format));
  ASSIGN_OR_RETURN(options.schema, LoadSchema(flags->schema, session));
  return absl::OkStatus();
}

Json ResultJson(const PushResult& result) {
  return {{"reference", result.reference},   {"model", result.model},
          {"version", result.version},       {"digest", "sha256:" + result.digest.Hex()},
          {"entries", result.entries},       {"bytes", result.bytes},
          {"bytes_sent", result.bytes_sent}, {"bytes_new", result.bytes_new},
          {"repeated", result.repeated},     {"retries", result.retries},
          {"warnings", result.warnings}};
}

absl::StatusOr<PushResult> Push(Session* session, Client* client, const PushFlags& flags) {
  if (flags.file != "-") return client->PushFile(flags.file, flags.model, flags.options);
  StdinStream stream(session->cancel());
  return client->PushStream(&stream, flags.model, flags.options);
}

// The same push again, in a process of its own: the request id makes it the same.
void SayHowToGoOn(Session* session, PushFlags* flags) {
  std::vector<std::string> more;
  if (flags->options.request_id.empty()) {
    flags->options.request_id = NewRequestId();
    more = {"--request-id", flags->options.request_id};
  }
  const bool whole = flags->file == "-" || flags->options.raw;
  session->GoOn(whole ? "to start again" : "to go on", more);
}

absl::Status RunPush(Session* session, PushFlags* flags) {
  RETURN_IF_ERROR(CheckFlags(session, flags));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  Report report;
  flags->options.refusal = &report;
  flags->options.control = session->Control();
  SetRetryFor(flags->retry_for, &flags->options.control);
  SayHowToGoOn(session, flags);
  const absl::StatusOr<PushResult> result = Push(session, client, *flags);
  session->EndProgress();
  if (GetReason(result.status()) == Reason::kSchemaMismatch && !report.ok) {
    RETURN_IF_ERROR(session->PrintReport(report));
  }
  RETURN_IF_ERROR(result.status());
  session->Warn(result->warnings);
  if (session->json()) return session->Print(JsonLine(ResultJson(*result)));
  return session->Tell(absl::StrCat(
      result->reference, "  sha256:", result->digest.Hex(), "  ", Count(result->entries, "entry"),
      ", ", BytesText(result->bytes), " (", BytesText(result->bytes_sent), " sent, ",
      BytesText(result->bytes_new), " new)", result->repeated ? ", from an earlier push" : ""));
}

}  // namespace

void AddPush(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<PushFlags>();
  CLI::App* push = app->add_subcommand("push", "store a file as a new version of a model");
  push->add_option("FILE", flags->file,
                   "file of any format that can be read, the index of\n"
                   "a sharded checkpoint or its folder, or - for stdin")
      ->required();
  push->add_option("MODEL", flags->model, "name of the model")->required();
  push->add_option("--format", flags->format, "what FILE is (default auto: by content)");
  push->add_option("--schema", flags->schema, "must be met: a schema file, or a version")
      ->type_name("FILE|REF");
  push->add_flag("--no-strict", flags->no_strict,
                 "allow entries that --schema has or lacks; a bound schema stays strict");
  push->add_flag("--no-nan", flags->options.no_nan,
                 "refuse tensors that hold NaN or Inf, before anything is sent");
  AddRuleFlags(push, &flags->options.rules);
  push->add_option("--message", flags->options.message, "what a person should know of it");
  AddList(push, "--label", &flags->labels, "KEY=VALUE")->type_name("LABEL");
  push->add_option("--parent", flags->options.parent, "version that it came from")
      ->type_name("REF");
  push->add_option("--alias", flags->options.alias, "moved to the new version")->type_name("NAME");
  push->add_option("--request-id", flags->options.request_id,
                   "the same again goes on with that push, or gives its answer again");
  AddRetryFor(push, &flags->retry_for);
  push->add_flag("--raw", flags->options.raw, "send FILE as it is; the server parses it");
  push->callback([=] { *chosen = [=] { return RunPush(session, flags.get()); }; });
}

}  // namespace ballast::cli

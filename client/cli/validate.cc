#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/flags.h"
#include "client/cli/input.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "client/local_weights.h"
#include "storage/base/status.h"
#include "storage/schema/schema.h"

namespace ballast::cli {
namespace {

struct ValidateFlags {
  std::string target, schema, format;
  bool no_strict = false;
  ValidateOptions options;
};

// A file against a schema file needs no server.
absl::StatusOr<Report> ValidateFile(Session* session, const Target& target,
                                    const ValidateFlags& flags) {
  const ValidateOptions& options = flags.options;
  if (options.schema.empty()) return UsageError("--schema is missing, a file needs one");
  ASSIGN_OR_RETURN(const Format format, ReadableFormat("--format", flags.format));
  ASSIGN_OR_RETURN(WeightsFile weights,
                   OpenInputWeights(target.text, format, session->cancel(), session->limits()));
  ASSIGN_OR_RETURN(
      const std::vector<TensorSpec> specs,
      WeightsSpecs(std::move(weights), options.rules, options.with_optimizer, session->limits()),
      Printable(target.text));
  if (!options.schema.json.empty()) {
    ASSIGN_OR_RETURN(const Schema schema, ParseSchema(options.schema.json, session->limits()));
    return Validate(schema, specs, options.strict, session->limits());
  }
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  return client->ValidateSpecs(specs, options);
}

absl::StatusOr<Report> ValidateReference(Session* session, const Target& target,
                                         const ValidateFlags& flags) {
  ASSIGN_OR_RETURN(const std::string reference, session->Resolve(target));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  return client->Validate(reference, flags.options);
}

absl::Status RunValidate(Session* session, ValidateFlags* flags) {
  RETURN_IF_ERROR(CheckRules(flags->options.rules, session->limits()));
  flags->options.strict = !flags->no_strict;
  ASSIGN_OR_RETURN(flags->options.schema, LoadSchema(flags->schema, session));
  ASSIGN_OR_RETURN(const Target target, ResolveTarget(flags->target));
  ASSIGN_OR_RETURN(const Report report, target.is_file()
                                            ? ValidateFile(session, target, *flags)
                                            : ValidateReference(session, target, *flags));
  RETURN_IF_ERROR(session->PrintReport(report));
  RETURN_IF_ERROR(ReportToStatus(report), Printable(target.text));
  return session->Tell(absl::StrCat(Printable(target.text), ": fits"));
}

}  // namespace

void AddValidate(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<ValidateFlags>();
  CLI::App* validate = app->add_subcommand("validate", "compare a file or version with a schema");
  validate
      ->add_option("FILE|REF", flags->target,
                   "a file, a folder of shards, - for stdin, or a version")
      ->required();
  validate
      ->add_option("--schema", flags->schema,
                   "a schema file, or a version (default for REF: the bound one)")
      ->type_name("FILE|REF");
  validate->add_flag("--no-strict", flags->no_strict, "allow missing and unexpected entries");
  validate->add_option("--format", flags->format, "what FILE is (default auto: by content)");
  validate->add_flag("--with-optimizer", flags->options.with_optimizer, "also what is not weights");
  AddRuleFlags(validate, &flags->options.rules);
  validate->callback([=] { *chosen = [=] { return RunValidate(session, flags.get()); }; });
}

}  // namespace ballast::cli

#include "storage/schema/schema.h"

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
#include "storage/base/folder.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

struct SchemaFlags {
  std::string target, format, bind, unbind;
  bool bound = false;
  bool with_optimizer = false;
  KeyRuleOptions rules;
};

absl::StatusOr<std::string> CheckedSchema(const ByteSource& file, const std::string& name,
                                          const Limits& limits) {
  ASSIGN_OR_RETURN(const std::string text, ReadSchemaText(file, limits), name);
  const absl::StatusOr<Schema> schema = ParseSchema(text, limits);
  if (!schema.ok()) return UsageError(WithContext(schema.status(), name));
  return SchemaToJson(*schema);
}

// The schema that a file of weights fulfils, or that a schema file is.
absl::StatusOr<std::string> SchemaOfFile(Session* session, const Target& target,
                                         const SchemaFlags& flags) {
  const Limits& limits = session->limits();
  const std::string name = Printable(target.text);
  ASSIGN_OR_RETURN(const Format format, ReadableFormat("--format", flags.format));
  std::unique_ptr<ByteSource> file;
  if (!IsFolder(target.text)) {
    ASSIGN_OR_RETURN(file, OpenInput(target.text, session->cancel(), limits));
    ASSIGN_OR_RETURN(const bool is_schema, LooksLikeSchema(*file, limits), name);
    if (is_schema) return CheckedSchema(*file, name, limits);
  }
  ASSIGN_OR_RETURN(WeightsFile weights, target.text == "-"
                                            ? ReadWeights(std::move(file), format, limits)
                                            : OpenWeights(target.text, format, limits));
  ASSIGN_OR_RETURN(const std::vector<TensorSpec> specs,
                   WeightsSpecs(std::move(weights), flags.rules, flags.with_optimizer, limits),
                   name);
  return SchemaToJson(SchemaOf(specs));
}

absl::StatusOr<std::string> SchemaOfReference(Session* session, const Target& target,
                                              const SchemaFlags& flags) {
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  if (flags.bound) return client->GetBoundSchema(target.text);
  ASSIGN_OR_RETURN(const std::string reference, session->Resolve(target));
  return client->GetSchema(reference);
}

absl::StatusOr<Target> ResolveSubject(const SchemaFlags& flags) {
  if (!flags.bound) return ResolveTarget(flags.target);
  RETURN_IF_ERROR(CheckModel(flags.target));
  return Target{Target::Kind::kReference, flags.target, false};
}

absl::Status Unbind(Session* session, const SchemaFlags& flags) {
  if (!flags.target.empty() || !flags.bind.empty() || flags.bound) {
    return UsageError("--unbind: stands alone, with the name of a model");
  }
  RETURN_IF_ERROR(CheckModel(flags.unbind));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  RETURN_IF_ERROR(client->UnbindSchema(flags.unbind));
  if (session->json()) return session->Print(JsonLine({{"model", flags.unbind}}));
  return session->Tell(absl::StrCat(flags.unbind, ": no schema is bound any more"));
}

absl::Status RunSchema(Session* session, const SchemaFlags& flags) {
  if (!flags.unbind.empty()) return Unbind(session, flags);
  if (flags.target.empty()) return UsageError("FILE|REF is missing");
  if (!flags.bind.empty()) RETURN_IF_ERROR(CheckModel(flags.bind), "--bind");
  RETURN_IF_ERROR(CheckRules(flags.rules, session->limits()));
  ASSIGN_OR_RETURN(const Target target, ResolveSubject(flags));
  ASSIGN_OR_RETURN(const std::string json, target.is_file()
                                               ? SchemaOfFile(session, target, flags)
                                               : SchemaOfReference(session, target, flags));
  if (flags.bind.empty()) return session->Print(json);
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const uint64_t entries, client->BindSchema(flags.bind, json));
  if (session->json()) {
    return session->Print(JsonLine({{"model", flags.bind}, {"entries", entries}}));
  }
  return session->Tell(
      absl::StrCat(flags.bind, ": a schema of ", Count(entries, "entry"), " is bound"));
}

}  // namespace

void AddSchema(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<SchemaFlags>();
  CLI::App* schema = app->add_subcommand("schema", "what a file or version fulfils, as JSON");
  schema->add_option("FILE|REF", flags->target, "weights, a schema file, or a version");
  schema->add_option("--bind", flags->bind, "make it the gate of MODEL")->type_name("MODEL");
  schema->add_option("--unbind", flags->unbind, "lift the gate of MODEL")->type_name("MODEL");
  schema->add_flag("--bound", flags->bound, "the schema that is bound to the model named");
  schema->add_option("--format", flags->format, "what FILE is (default auto: by content)");
  schema->add_flag("--with-optimizer", flags->with_optimizer, "also what is not weights (FILE)");
  AddRuleFlags(schema, &flags->rules);
  schema->callback([=] { *chosen = [=] { return RunSchema(session, *flags); }; });
}

}  // namespace ballast::cli

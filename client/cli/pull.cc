#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/flags.h"
#include "client/cli/rows.h"
#include "client/cli/signals.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/formats/layout.h"
#include "storage/formats/shard_plan.h"

namespace ballast::cli {
namespace {

struct PullFlags {
  std::string reference, out, format, schema, verify, shard_size;
  std::optional<std::string> rows;
  bool no_strict = false;
  uint64_t shard_bytes = 0;  // 0: one file
  double retry_for = -1;
  PullOptions options;
};

absl::Status CheckShards(PullFlags* flags) {
  if (flags->shard_size.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(flags->shard_bytes, ShardBytes(flags->shard_size));
  if (flags->out == "-") return UsageError("--max-shard-size: makes a folder, want -o FOLDER");
  if (flags->options.format == Format::kUnknown || CanShard(flags->options.format)) {
    return absl::OkStatus();
  }
  return UsageError("--max-shard-size: --format is " + flags->format +
                    ", want safetensors or pytorch");
}

absl::Status CheckHaveFile(const PullFlags& flags) {
  if (flags.options.have_file.empty()) return absl::OkStatus();
  if (flags.out == "-") return UsageError("--have: stdout is written in order, want -o FILE");
  if (flags.shard_bytes > 0) return UsageError("--have: writes one file, want no --max-shard-size");
  return absl::OkStatus();
}

absl::Status CheckFlags(Session* session, PullFlags* flags) {
  PullOptions& options = flags->options;
  RETURN_IF_ERROR(CheckReference(flags->reference));
  RETURN_IF_ERROR(CheckRules(options.rules, session->limits()));
  options.strict = !flags->no_strict;
  options.verify_sha256 = !flags->verify.empty();
  if (options.verify_sha256 && flags->verify != "sha256") {
    return UsageError(absl::StrCat("--verify: is \"", Printable(flags->verify), "\", want sha256"));
  }
  if (flags->out == "-" && (options.verify_sha256 || session->json())) {
    return UsageError(absl::StrCat(options.verify_sha256 ? "--verify" : "--json",
                                   ": stdout is the file, want -o FILE"));
  }
  ASSIGN_OR_RETURN(options.format, WritableFormat("--format", flags->format));
  RETURN_IF_ERROR(CheckPlainDict(options.plain_dict, options.format));
  RETURN_IF_ERROR(CheckShards(flags));
  RETURN_IF_ERROR(CheckHaveFile(*flags));
  ASSIGN_OR_RETURN(options.schema, LoadSchema(flags->schema, session));
  return absl::OkStatus();
}

// "resnet.pth" for vision/resnet, or "resnet" for a folder; fixes version and format, which the
// name depends on.
absl::Status ChooseName(Client* client, PullFlags* flags) {
  ASSIGN_OR_RETURN(const VersionDescription version, client->GetVersion(flags->reference));
  flags->reference = absl::StrCat(version.model, ":", version.version);
  flags->out = version.model.substr(version.model.rfind('/') + 1);
  if (flags->shard_bytes > 0) return absl::OkStatus();
  Format& format = flags->options.format;
  if (format == Format::kUnknown) {
    const bool plain = flags->options.plain_dict;
    const bool fits = CanWrite(version.format) && version.format != Format::kTensors &&
                      (!plain || HasPlainDict(version.format));
    format = fits ? version.format : plain ? Format::kPyTorch : Format::kSafetensors;
  }
  absl::StrAppend(&flags->out, ".", FormatExtension(format));
  return absl::OkStatus();
}

// One file is a result without names.
absl::StatusOr<PullShardsResult> Pull(Client* client, const PullFlags& flags) {
  absl::StatusOr<PullResult> pulled;
  if (flags.out == "-") {
    const std::unique_ptr<ByteSink> sink = SinkToFd(STDOUT_FILENO);
    pulled = client->PullToSink(flags.reference, sink.get(), flags.options);
  } else {
    const CleanupScope cleanup;
    if (flags.shard_bytes > 0) {
      return client->PullShards(flags.reference, flags.out, flags.shard_bytes, flags.options);
    }
    pulled = client->PullFile(flags.reference, flags.out, flags.options);
  }
  RETURN_IF_ERROR(pulled.status());
  return PullShardsResult{*std::move(pulled), {}};
}

Json ResultJson(const PullShardsResult& pulled, const std::string& path) {
  const PullResult& result = pulled.pulled;
  Json json = {{"reference", result.reference},
               {"model", result.model},
               {"version", result.version},
               {"digest", "sha256:" + result.digest.Hex()},
               {"path", path},
               {"format", std::string(FormatName(result.format))},
               {"entries", result.entries},
               {"bytes", result.bytes},
               {"bytes_received", result.bytes_received},
               {"bytes_reused", result.bytes_reused},
               {"retries", result.retries},
               {"warnings", result.warnings}};
  if (!pulled.files.empty()) json["files"] = pulled.files;
  return json;
}

// " (3 MiB received, 1 GiB reused)", or where the files are.
std::string MoreText(const PullShardsResult& pulled, bool have) {
  if (!pulled.files.empty()) return absl::StrCat(" in ", Count(pulled.files.size(), "file"));
  if (!have) return "";
  return absl::StrCat(" (", BytesText(pulled.pulled.bytes_received), " received, ",
                      BytesText(pulled.pulled.bytes_reused), " reused, each block once)");
}

absl::Status RunRows(Session* session, const PullFlags& flags) {
  ASSIGN_OR_RETURN(const KeyRows rows, ParseRows(*flags.rows, session->limits()));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  session->GoOn("to pull it again");
  const PullOptions& given = flags.options;
  PullRowsOptions options{given.format, given.plain_dict, given.overwrite, session->Control()};
  SetRetryFor(flags.retry_for, &options.control);
  return PullRows(session, client, flags.reference, rows, flags.out, options);
}

absl::Status RunPull(Session* session, PullFlags* flags) {
  RETURN_IF_ERROR(CheckFlags(session, flags));
  if (flags->rows) return RunRows(session, *flags);
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  session->GoOn("to pull it again");
  if (flags->out.empty()) RETURN_IF_ERROR(ChooseName(client, flags));
  Report report;
  flags->options.refusal = &report;
  flags->options.control = session->Control();
  SetRetryFor(flags->retry_for, &flags->options.control);
  const absl::StatusOr<PullShardsResult> pulled = Pull(client, *flags);
  session->EndProgress();
  const bool to_stdout = flags->out == "-";
  if (!report.ok && !to_stdout) RETURN_IF_ERROR(session->PrintReport(report));
  RETURN_IF_ERROR(pulled.status());
  const PullResult& result = pulled->pulled;
  session->Warn(result.warnings);
  if (to_stdout) return absl::OkStatus();
  if (session->json()) return session->Print(JsonLine(ResultJson(*pulled, flags->out)));
  return session->Tell(absl::StrCat(Printable(flags->out), "  ", result.reference, " as ",
                                    FormatName(result.format), ", ", Count(result.entries, "entry"),
                                    ", ", BytesText(result.bytes),
                                    MoreText(*pulled, !flags->options.have_file.empty())));
}

// Behind all other options: it names those that it has no use for.
void AddRows(CLI::App* pull, std::optional<std::string>* text) {
  CLI::Option* const rows =
      pull->add_option("--rows", *text,
                       "KEY=FIRST:LAST: of one tensor only the rows from FIRST to before LAST;\n"
                       "either may be left out; a row that it does not have is an error")
          ->type_name("ROWS")
          ->needs(pull->get_option("--output"));
  for (const char* other : {"--select", "--include", "--exclude", "--rename", "--with-optimizer",
                            "--schema", "--no-strict", "--verify", "--max-shard-size", "--have"}) {
    rows->excludes(pull->get_option(other));
  }
}

}  // namespace

void AddPull(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* pull = app->add_subcommand("pull", "write a version to a file, in any format");
  pull->add_option("REF", flags->reference, "model, model:12, model@alias, model@sha256:…")
      ->required();
  pull->add_option("-o,--output", flags->out,
                   "the file or folder, or - for stdout (default: last part of the name)")
      ->type_name("FILE");
  pull->add_option("--format", flags->format,
                   "torchsharp, pytorch, pytorch-legacy or safetensors (default: as pushed, else "
                   "safetensors)");
  AddPlainDictFlag(pull, &flags->options.plain_dict);
  pull->add_flag("--force", flags->options.overwrite,
                 "overwrite an existing file, or a folder of shards");
  pull->add_option("--have", flags->options.have_file,
                   "weights that are here, in any format, perhaps the file itself (with --force):\n"
                   "what they have of the version does not travel; all of them are read")
      ->type_name("FILE");
  AddShardSize(pull, &flags->shard_size);
  pull->add_flag("--with-optimizer", flags->options.with_optimizer,
                 "also what is not weights: optimizer state and the like");
  AddRuleFlags(pull, &flags->options.rules);
  pull->add_option("--schema", flags->schema, "must be met: a schema file, or a version")
      ->type_name("FILE|REF");
  pull->add_flag("--no-strict", flags->no_strict, "allow missing and unexpected entries");
  pull->add_option("--verify", flags->verify, "sha256: read the file back and compare")
      ->type_name("HOW");
  AddRetryFor(pull, &flags->retry_for);
  AddRows(pull, &flags->rows);
  pull->callback([=] { *chosen = [=] { return RunPull(session, flags.get()); }; });
}

}  // namespace ballast::cli

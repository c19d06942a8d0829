#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/flags.h"
#include "client/cli/input.h"
#include "client/cli/signals.h"
#include "client/cli/text.h"
#include "client/file_sink.h"
#include "client/local_weights.h"
#include "storage/base/file.h"
#include "storage/base/folder.h"
#include "storage/base/status.h"
#include "storage/formats/shard_plan.h"

namespace ballast::cli {
namespace {

struct ConvertFlags {
  std::string in, out, from, to, shard_size;
  bool local = false;
  uint64_t shard_bytes = 0;  // 0: one file
  ConvertOptions options;
};

absl::Status CheckFlags(const Session& session, ConvertFlags* flags) {
  RETURN_IF_ERROR(CheckRules(flags->options.rules, session.limits()));
  if (flags->out == "-" && session.json()) {
    return UsageError("--json: stdout is the file, want another OUT than -");
  }
  ASSIGN_OR_RETURN(flags->options.from, ReadableFormat("--from", flags->from));
  ASSIGN_OR_RETURN(flags->options.to, WritableFormat("--to", flags->to));
  RETURN_IF_ERROR(CheckPlainDict(flags->options.plain_dict, flags->options.to));
  if (flags->shard_size.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(flags->shard_bytes, ShardBytes(flags->shard_size));
  if (!flags->local || flags->out == "-") {
    return UsageError("--max-shard-size: makes a folder, want --local and a folder's name as OUT");
  }
  if (CanShard(flags->options.to)) return absl::OkStatus();
  return UsageError("--max-shard-size: --to is " + flags->to + ", want safetensors or pytorch");
}

absl::StatusOr<ConvertResult> ConvertHere(Session* session, const ConvertFlags& flags,
                                          ByteSink* out) {
  ASSIGN_OR_RETURN(WeightsFile weights, OpenInputWeights(flags.in, flags.options.from,
                                                         session->cancel(), session->limits()));
  absl::StatusOr<ConvertResult> result =
      ConvertWeights(std::move(weights), out, flags.options, session->limits());
  if (!result.ok()) return WithContext(result.status(), Printable(flags.in));
  return result;
}

absl::StatusOr<ConvertResult> ConvertThere(Session* session, const ConvertFlags& flags,
                                           ByteSink* out) {
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  absl::StatusOr<ConvertResult> result = [&]() -> absl::StatusOr<ConvertResult> {
    if (flags.in == "-") {
      StdinStream in(session->cancel());
      return client->ConvertStream(&in, out, flags.options);
    }
    if (IsFolder(flags.in)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Printable(flags.in), ": is a folder, which is converted with --local only"));
    }
    ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, OpenFile(flags.in));
    SourceStream in(file.get());
    return client->ConvertStream(&in, out, flags.options);
  }();
  if (result.status().code() != absl::StatusCode::kUnavailable) return result;
  return absl::UnavailableError(
      absl::StrCat(result.status().message(), " (--local converts without a server)"));
}

absl::StatusOr<ConvertResult> ConvertTo(Session* session, const ConvertFlags& flags,
                                        ByteSink* out) {
  return flags.local ? ConvertHere(session, flags, out) : ConvertThere(session, flags, out);
}

absl::StatusOr<ConvertResult> ConvertToFile(Session* session, const ConvertFlags& flags) {
  if (flags.out == "-") return ConvertTo(session, flags, SinkToFd(STDOUT_FILENO).get());
  const CleanupScope cleanup;
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                   AtomicFile::Create(flags.out, flags.options.overwrite));
  WritebackSink sink(file.get());
  ASSIGN_OR_RETURN(ConvertResult result, ConvertTo(session, flags, &sink));
  RETURN_IF_ERROR(file->Commit());
  return result;
}

// One file is a result without names.
absl::StatusOr<ConvertShardsResult> Convert(Session* session, const ConvertFlags& flags) {
  if (flags.shard_bytes == 0) {
    ASSIGN_OR_RETURN(ConvertResult converted, ConvertToFile(session, flags));
    return ConvertShardsResult{std::move(converted), {}};
  }
  ASSIGN_OR_RETURN(WeightsFile weights, OpenInputWeights(flags.in, flags.options.from,
                                                         session->cancel(), session->limits()));
  const CleanupScope cleanup;
  return ConvertToShards(std::move(weights), flags.out, flags.shard_bytes, flags.options,
                         session->limits());
}

Json ResultJson(const ConvertShardsResult& all, const std::string& path) {
  const ConvertResult& result = all.converted;
  Json json = {{"path", path},
               {"from", std::string(FormatName(result.from))},
               {"to", std::string(FormatName(result.to))},
               {"entries", result.entries},
               {"bytes", result.bytes},
               {"warnings", result.warnings}};
  if (!all.files.empty()) json["files"] = all.files;
  return json;
}

absl::Status RunConvert(Session* session, ConvertFlags* flags) {
  RETURN_IF_ERROR(CheckFlags(*session, flags));
  flags->options.control = session->Control();
  const absl::StatusOr<ConvertShardsResult> all = Convert(session, *flags);
  session->EndProgress();
  RETURN_IF_ERROR(all.status());
  const ConvertResult& result = all->converted;
  session->Warn(result.warnings);
  if (flags->out == "-") return absl::OkStatus();
  if (session->json()) return session->Print(JsonLine(ResultJson(*all, flags->out)));
  return session->Tell(absl::StrCat(
      Printable(flags->out), "  ", FormatName(result.from), " to ", FormatName(result.to), ", ",
      Count(result.entries, "entry"), ", ", BytesText(result.bytes),
      all->files.empty() ? "" : absl::StrCat(" in ", Count(all->files.size(), "file"))));
}

}  // namespace

void AddConvert(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<ConvertFlags>();
  CLI::App* convert = app->add_subcommand("convert", "write a file in another format");
  convert->add_option("IN", flags->in, "the file, - for stdin, or shards (--local)")->required();
  convert->add_option("OUT", flags->out, "the new file, or - for stdout")->required();
  convert->add_option("--to", flags->to, "torchsharp, pytorch, pytorch-legacy or safetensors")
      ->required()
      ->type_name("FORMAT");
  convert->add_option("--from", flags->from, "what IN is (default auto: by content)")
      ->type_name("FORMAT");
  AddPlainDictFlag(convert, &flags->options.plain_dict);
  convert->add_flag("--local", flags->local, "in this process; no server is needed");
  convert->add_flag("--force", flags->options.overwrite,
                    "overwrite an existing file, or a folder of shards");
  AddShardSize(convert, &flags->shard_size);
  AddRuleFlags(convert, &flags->options.rules);
  convert->callback([=] { *chosen = [=] { return RunConvert(session, flags.get()); }; });
}

}  // namespace ballast::cli

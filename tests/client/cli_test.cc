#include <filesystem>

#include "client/cli/command_line.h"
#include "client/cli/exit_code.h"
#include "client/cli/go_on.h"
#include "client/cli/progress_bar.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/status.h"
#include "tests/client/registry.h"

namespace ballast::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Outcome {
  int code = 0;
  std::string out, err;
};

Outcome Ballast(std::vector<const char*> words) {
  words.insert(words.begin(), "ballast");
  // Nothing listens there; a command that gets so far fails with 7.
  words.insert(words.begin() + 1, {"--server", "unix:/nonexistent/ballast.sock"});
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = RunCommandLine(static_cast<int>(words.size()), words.data(), CancelToken());
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(TargetTest, SaysWhatIsAFileAndWhatIsAReference) {
  const TestFolder folder;
  const std::string present = folder.Write("present", "x");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.Path(""));
  struct Row {
    std::string argument;
    Target::Kind kind;
    std::string text;
    bool guessed;
  };
  constexpr auto kFile = Target::Kind::kFile;
  constexpr auto kReference = Target::Kind::kReference;
  const Row rows[] = {{"-", kFile, "-", false},
                      {"/absent", kFile, "/absent", false},
                      {"./m", kFile, "./m", false},
                      {"../m", kFile, "../m", false},
                      {"present", kFile, "present", false},
                      {present, kFile, present, false},
                      {"ref:present", kReference, "present", false},
                      {"ref:m@prod", kReference, "m@prod", false},
                      {"team/m:3", kReference, "team/m:3", true},
                      {"model.pth", kReference, "model.pth", true}};
  for (const Row& row : rows) {
    const auto target = ResolveTarget(row.argument);
    ASSERT_TRUE(target.ok()) << row.argument << ": " << target.status();
    EXPECT_EQ(target->kind, row.kind) << row.argument;
    EXPECT_EQ(target->text, row.text);
    EXPECT_EQ(target->guessed, row.guessed) << row.argument;
  }
  std::filesystem::current_path(before);
}

TEST(TargetTest, WhatIsNeitherSaysThatBothWereTried) {
  const auto target = ResolveTarget("Absent.PTH");
  EXPECT_EQ(ExitCodeOf(target.status()), kNotFound);
  EXPECT_THAT(std::string(target.status().message()), HasSubstr("neither a file here nor"));
  EXPECT_EQ(ExitCodeOf(ResolveTarget("ref:Bad").status()), kUsage);
  EXPECT_EQ(ExitCodeOf(ResolveTarget("").status()), kUsage);
  const absl::Status explained =
      ExplainTarget(*ResolveTarget("absent"), absl::NotFoundError("no such model"));
  EXPECT_EQ(ExitCodeOf(explained), kNotFound);
  EXPECT_THAT(std::string(explained.message()), HasSubstr("no file \"absent\" here"));
}

TEST(ExitCodeTest, FollowsCodeAndReason) {
  struct Row {
    absl::Status status;
    ExitCode code;
  } rows[] = {{absl::OkStatus(), kOk},
              {absl::InvalidArgumentError("x"), kFailure},
              {absl::FailedPreconditionError("x"), kFailure},
              {absl::AbortedError("x"), kFailure},
              {absl::AlreadyExistsError("x"), kFailure},
              {absl::ResourceExhaustedError("x"), kFailure},
              {absl::UnimplementedError("x"), kFailure},
              {absl::InternalError("x"), kFailure},
              {UsageError("x"), kUsage},
              {UsageError(absl::NotFoundError("x")), kUsage},
              {UsageError(absl::OkStatus()), kOk},
              {absl::NotFoundError("x"), kNotFound},
              {SchemaMismatchError("x"), kSchemaMismatch},
              {absl::DataLossError("x"), kIntegrity},
              {ChecksumError("x"), kFailure},
              {absl::PermissionDeniedError("x"), kNotAllowed},
              {absl::UnauthenticatedError("x"), kNotAllowed},
              {absl::UnavailableError("x"), kUnavailable},
              {absl::DeadlineExceededError("x"), kUnavailable},
              {absl::CancelledError("x"), kUnavailable}};
  for (const Row& row : rows) {
    EXPECT_EQ(ExitCodeOf(row.status), row.code) << row.status;
    EXPECT_EQ(ExitCodeOf(WithContext(row.status, "more")), row.code) << row.status;
  }
}

TEST(GoOnTest, WordsAreReadByAShellAsTheyWere) {
  struct Row {
    std::vector<std::string> words;
    const char* text;
  } rows[] = {
      {{"ballast", "push", "a.pth", "team/net:1@x"}, "ballast push a.pth team/net:1@x"},
      {{"a b", "", "it's", "$HOME", "x;y"}, R"('a b' '' 'it'\''s' '$HOME' 'x;y')"},
      {{"--rename", "(.*)=\\1"}, R"(--rename '(.*)=\1')"},
      {{"line 1\nit's\t\\\xff"}, R"($'line 1\x0ait\'s\x09\\\xff')"},
      {{"caf\xc3\xa9 \\"}, "'caf\xc3\xa9 \\'"},
      {{"--token", "secret", "push"}, "--token TOKEN push"},
      {{"--token=secret", "push"}, "--token=TOKEN push"},
      {{"--token-file", "f"}, "--token-file f"},
  };
  for (const Row& row : rows) EXPECT_EQ(CommandText(row.words), row.text);
}

TEST(GoOnTest, FlagsTakeThePlaceOfWhatTheySaidAndStandBeforeTheEndOfFlags) {
  const std::vector<std::string> flags = {"--since", "t"};
  struct Row {
    std::vector<std::string> words, want;
  } rows[] = {
      {{"watch", "m"}, {"watch", "m", "--since", "t"}},
      {{"watch", "--since", "old", "m"}, {"watch", "m", "--since", "t"}},
      {{"watch", "--since=old", "m"}, {"watch", "m", "--since", "t"}},
      {{"push", "--", "-a", "--since"}, {"push", "--since", "t", "--", "-a", "--since"}},
  };
  for (const Row& row : rows) EXPECT_EQ(WithFlags(row.words, flags), row.want);
}

TEST(CommandLineTest, WhatIsUnavailableEndsWithTheWayToGoOn) {
  const TestFolder folder;
  const std::string file = folder.Write("in", SafetensorsFile({NoiseTensor("a", 4, 1)}));
  const std::string command = "ballast --server unix:/nonexistent/ballast.sock ";
  struct Row {
    std::vector<const char*> words;
    std::string end;
  } rows[] = {
      {{"push", file.c_str(), "m", "--retry-for", "0", "--request-id", "r"},
       "; to go on: " + command + "push " + file + " m --retry-for 0 --request-id r\n"},
      {{"push", file.c_str(), "m", "--retry-for", "0", "--request-id", "r", "--raw"},
       "; to start again: " + command + "push " + file + " m --retry-for 0 --request-id r --raw\n"},
      {{"pull", "m", "-o", "x y", "--retry-for", "0.01"},
       "; to pull it again: " + command + "pull m -o 'x y' --retry-for 0.01\n"},
      {{"gc"}, "unix:/nonexistent/ballast.sock: "},
  };
  for (const Row& row : rows) {
    const Outcome outcome = Ballast(row.words);
    EXPECT_EQ(outcome.code, kUnavailable) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(row.end));
  }
  const Outcome fresh = Ballast({"push", file.c_str(), "m", "--retry-for", "0"});
  EXPECT_THAT(fresh.err, HasSubstr("push " + file + " m --retry-for 0 --request-id "));
}

TEST(CommandLineTest, UsageErrorsAreOneLineAndExitCode2) {
  const TestFolder folder;
  const std::string file = folder.Write("in", SafetensorsFile({NoiseTensor("a", 4, 1)}));
  const std::string no_schema = folder.Write("schema", "{}");
  const char* in = file.c_str();
  const std::vector<std::vector<const char*>> rows = {
      {},
      {"nonsense"},
      {"push"},
      {"push", in},
      {"push", in, "m", "extra"},
      {"push", in, "m", "--nonsense"},
      {"push", in, "Bad"},
      {"push", in, "m:1"},
      {"push", in, "m", "--format", "nope"},
      {"push", in, "m", "--format", "tensors"},
      {"push", in, "m", "--retry-for", "-1"},
      {"push", in, "m", "--retry-for", "soon"},
      {"push", in, "m", "--label", "x"},
      {"push", in, "m", "--label", "=x"},
      {"push", in, "m", "--label", "a=1", "--label", "a=2"},
      {"push", in, "m", "--rename", "("},
      {"push", in, "m", "--rename", "(=x"},
      {"push", in, "m", "--alias", "latest"},
      {"push", in, "m", "--alias", ""},
      {"push", in, "m", "--schema", ""},
      {"push", in, "m", "--schema="},
      {"push", "", "m"},
      {"push", in, "m", "--retry-for", "nan"},
      {"alias", "set", "m", "prod", "1", "--expect", ""},
      {"watch", "m", "--since", ""},
      {"export", "", "dir"},
      {"backup", ""},
      {"import", in, ""},
      {"push", in, "m", "--message", "caf\xe9"},
      {"push", in, "m", "--label", "a=caf\xe9"},
      {"push", in, "m", "--include", "caf\xe9"},
      {"push", in, "m", "--select", "caf\xe9"},
      {"push", in, "m", "--rename", "caf\xe9=a"},
      {"push", in, "m", "--request-id", "caf\xe9"},
      {"push", in, "caf\xe9"},
      {"ls", "caf\xe9"},
      {"versions", "caf\xe9"},
      {"pull", "caf\xe9"},
      {"alias", "rm", "m", "caf\xe9"},
      {"push", in, "m", "--parent", "a//b"},
      {"push", in, "m", "--schema", no_schema.c_str()},
      {"pull", "m:0"},
      {"pull", "host:7420/m"},
      {"pull", "m", "--format", "pickle"},
      {"pull", "m", "--verify", "md5"},
      {"pull", "m", "-o", "-", "--json"},
      {"pull", "m", "--rows", "w=0:1"},
      {"pull", "m", "-o", "out", "--rows", ""},
      {"pull", "m", "-o", "out", "--rows", "w"},
      {"pull", "m", "-o", "out", "--rows", "w=1"},
      {"pull", "m", "-o", "out", "--rows", "0:1"},
      {"pull", "m", "-o", "out", "--rows", "w=-1:2"},
      {"pull", "m", "-o", "out", "--rows", "w=2:1"},
      {"pull", "m", "-o", "out", "--rows", "w=0:1:2"},
      {"pull", "m", "-o", "out", "--rows", "w=0: 1"},
      {"pull", "m", "-o", "out", "--rows", "w=0:99999999999999999999"},
      {"pull", "m", "-o", "out", "--rows", "caf\xe9=0:1"},
      {"pull", "m", "-o", "out", "--rows", "w=0:1", "--include", "w"},
      {"pull", "m", "-o", "out", "--rows", "w=0:1", "--verify", "sha256"},
      {"pull", "m", "-o", "out", "--rows", "w=0:1", "--max-shard-size", "1GB"},
      {"pull", "m", "-o", "-", "--rows", "w=0:1", "--json"},
      {"convert", in, "out"},
      {"convert", in, "out", "--to", "nope"},
      {"convert", in, "out", "--to", "safetensors", "--plain-dict"},
      {"pull", "m", "--format", "torchsharp", "--plain-dict"},
      {"validate", in},
      {"schema"},
      {"schema", "--unbind", "m", "--bind", "n"},
      {"schema", no_schema.c_str()},
      {"alias"},
      {"alias", "set", "m", "latest", "m:1"},
      {"alias", "set", "m", "prod", "M:1"},
      {"alias", "set", "m", "prod", "other:1"},
      {"ls", "BAD"},
      {"rm"},
      {"rm", "m"},
      {"rm", "m@prod"},
      {"rm", "m:0"},
      {"rm", "m:1", "--all-versions"},
      {"undelete", "m"},
      {"undelete", "BAD:1"},
      {"alias", "log", "m", "BAD"},
      {"retention", "BAD"},
      {"retention", "m", "--keep-last", "-1"},
      {"retention", "m", "--keep-newer-than", "30"},
      {"retention", "m", "--keep-newer-than", "0d"},
      {"retention", "m", "--keep-newer-than", "99999999999999999999d"},
      {"retention", "m", "--keep-newer-than", "999999w"},
      {"retention", "m", "--keep-label", "=x"},
      {"retention", "m", "--keep-all", "--keep-last", "3"},
      {"gc", "m"},
      {"verify", "m", "--all"},
      {"verify", "BAD"},
      {"verify", "--rate", "fast"},
      {"backup"},
      {"restore"},
      {"export", "m"},
      {"export", "BAD", "dir"},
      {"import", "dir", "BAD"},
      {"help", "nonsense"},
      {"--server", "a b", "ls"},
  };
  for (const std::vector<const char*>& row : rows) {
    const Outcome outcome = Ballast(row);
    const std::string line = row.empty() ? "" : row[0];
    EXPECT_EQ(outcome.code, kUsage) << line << ": " << outcome.err;
    EXPECT_EQ(outcome.out, "") << line;
    EXPECT_THAT(outcome.err, StartsWith("ballast: ")) << line;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
}

TEST(CommandLineTest, TextThatIsNotUtf8IsNamedAsSuch) {
  const TestFolder folder;
  const std::string file = folder.Write("in", SafetensorsFile({NoiseTensor("a", 4, 1)}));
  const struct {
    std::vector<const char*> words;
    std::string says;
  } rows[] = {
      {{"push", file.c_str(), "m", "--message", "caf\xe9"},
       "ballast: push: --message is \"caf\\xe9\", want UTF-8\n"},
      {{"push", file.c_str(), "m", "--label", "a=\xe9"},
       "ballast: push: --label is \"a=\\xe9\", want UTF-8\n"},
      {{"pull", "m", "--include", "\xe9*"}, "ballast: pull: pattern is \"\\xe9*\", want UTF-8\n"},
      {{"schema", file.c_str(), "--select", "\xe9"},
       "ballast: schema: select is \"\\xe9\", want UTF-8\n"},
  };
  for (const auto& row : rows) EXPECT_EQ(Ballast(row.words).err, row.says);
}

TEST(CommandLineTest, RulesThatLeaveNothingAreNotFound) {
  const TestFolder folder;
  const std::string file = folder.Write("in", SafetensorsFile({NoiseTensor("fc.weight", 4, 1)}));
  const std::string out = folder.Path("out");
  for (const auto& row :
       std::vector<std::vector<const char*>>{{"push", file.c_str(), "m", "--include", "fc.wieght"},
                                             {"schema", file.c_str(), "--include", "fc.wieght"},
                                             {"convert", "--local", file.c_str(), out.c_str(),
                                              "--to", "pytorch", "--include", "fc.wieght"}}) {
    const Outcome outcome = Ballast(row);
    EXPECT_EQ(outcome.code, kNotFound) << outcome.err;
    EXPECT_THAT(outcome.err,
                HasSubstr("no key matches \"fc.wieght\"; the nearest are \"fc.weight\""));
  }
}

TEST(CommandLineTest, EveryCommandHasHelp) {
  for (const char* command :
       {"push",     "pull",   "convert", "inspect", "validate", "schema",    "ls",
        "versions", "show",   "alias",   "rm",      "undelete", "retention", "gc",
        "verify",   "backup", "restore", "export",  "import",   "version"}) {
    const Outcome flag = Ballast({command, "--help"});
    EXPECT_EQ(flag.code, kOk);
    EXPECT_THAT(flag.out, HasSubstr(command));
    EXPECT_EQ(Ballast({"help", command}).code, kOk);
  }
  EXPECT_THAT(Ballast({"help"}).out, HasSubstr("Exit codes"));
}

TEST(CommandLineTest, FilesNeedNoServer) {
  const TestFolder folder;
  const std::string in = folder.Write("in", SafetensorsFile({NoiseTensor("a", 4, 1)}));
  const std::string out = folder.Path("out.dat");
  EXPECT_THAT(Ballast({"inspect", in.c_str()}).out, HasSubstr("uint8  [4]"));
  EXPECT_EQ(Ballast({"convert", "--local", in.c_str(), out.c_str(), "--to", "torchsharp"}).code,
            kOk);
  const Outcome schema = Ballast({"schema", in.c_str()});
  EXPECT_EQ(schema.code, kOk) << schema.err;
  const std::string path = folder.Write("schema.json", schema.out);
  EXPECT_EQ(Ballast({"validate", out.c_str(), "--schema", path.c_str()}).code, kOk);
}

TEST(CommandLineTest, AMismatchPrintsTheReport) {
  const TestFolder folder;
  const std::string in = folder.Write("in", SafetensorsFile({NoiseTensor("a", 4, 1)}));
  const std::string schema = folder.Write(
      "s", R"({"ballast_schema":1,"entries":[{"key":"b","shape":[4],"dtype":"uint8"}]})");
  const Outcome text = Ballast({"validate", in.c_str(), "--schema", schema.c_str()});
  EXPECT_EQ(text.code, kSchemaMismatch);
  EXPECT_THAT(text.out, HasSubstr("missing: \"b\", want uint8 [4]"));
  const Outcome json = Ballast({"validate", in.c_str(), "--schema", schema.c_str(), "--json"});
  EXPECT_EQ(json.code, kSchemaMismatch);
  EXPECT_FALSE(Json::parse(json.out)["ok"].get<bool>());
}

TEST(CommandLineTest, AServerThatIsNotThereIsExitCode7) {
  for (const auto& row : std::vector<std::vector<const char*>>{{"ls"}, {"show", "m"}}) {
    const Outcome outcome = Ballast(row);
    EXPECT_EQ(outcome.code, kUnavailable) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("unix:/nonexistent/ballast.sock"));
  }
}

TEST(CommandLineTest, ErrorsAreOnePrintableLine) {
  const absl::Status status = absl::NotFoundError("a\nb\x1b[0m");
  EXPECT_EQ(ErrorLine("pull", status), "ballast: pull: a\\x0ab\\x1b[0m\n");
  EXPECT_EQ(ErrorLine("pull", absl::NotFoundError("pull: gone")), "ballast: pull: gone\n");
  EXPECT_EQ(ErrorLine("", absl::NotFoundError("x")), "ballast: x\n");
}

TEST(TextTest, SizesAreRounded) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(1024), "1.0 KiB");
  EXPECT_EQ(BytesText((1u << 20) - 1), "1.0 MiB");
  EXPECT_EQ(BytesText(uint64_t{5} << 30), "5.0 GiB");
  EXPECT_EQ(BytesText(UINT64_MAX), "16384.0 PiB");
}

TEST(TextTest, TablesAlignAndHideControlCharacters) {
  EXPECT_EQ(Table({{"KEY", "N"}, {"schlüssel", "1"}, {"a\x1b", ""}, {"", "2"}}),
            "KEY        N\nschlüssel  1\na\\x1b\n           2\n");
}

TEST(TextTest, ProgressFitsTheLine) {
  const Progress progress{Progress::Phase::kSend, 50 << 20, 100 << 20};
  EXPECT_EQ(ProgressLine(progress, 2, 200),
            "send    [============>           ]  50 %  50.0 MiB of 100.0 MiB  25.0 MiB/s");
  EXPECT_EQ(ProgressLine(progress, 2, 20).size(), 19u);
  EXPECT_EQ(ProgressLine({Progress::Phase::kSend, 1024, 0}, 0, 80), "send    1.0 KiB");
}

}  // namespace
}  // namespace ballast::cli

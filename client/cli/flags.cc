#include "client/cli/flags.h"

#include <array>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/exit_code.h"
#include "client/cli/input.h"
#include "client/cli/target.h"
#include "storage/base/status.h"
#include "storage/formats/layout.h"
#include "storage/schema/schema.h"

namespace ballast::cli {
namespace {

constexpr std::array kWritable = {Format::kTorchSharp, Format::kPyTorch, Format::kPyTorchLegacy,
                                  Format::kSafetensors};

absl::Status FormatError(const std::string& flag, const std::string& name,
                         absl::Span<const Format> formats) {
  std::vector<absl::string_view> names;
  for (const Format format : formats) names.push_back(FormatName(format));
  return UsageError(absl::StrCat(flag, ": is \"", Printable(name), "\", want one of ",
                                 absl::StrJoin(names, ", ")));
}

}  // namespace

CLI::Option* AddList(CLI::App* command, const std::string& name, std::vector<std::string>* values,
                     const std::string& help) {
  return command->add_option(name, *values, help)->type_size(1)->allow_extra_args(false);
}

std::string IsCount(const std::string& text) {
  uint64_t count = 0;
  if (absl::SimpleAtoi(text, &count) && count > 0) return "";
  return absl::StrCat("\"", Printable(text), "\" is not a whole number above 0");
}

void AddRuleFlags(CLI::App* command, KeyRuleOptions* rules) {
  command->add_option("--select", rules->select, "only the subtree PATH; its prefix is stripped")
      ->type_name("PATH");
  AddList(command, "--include", &rules->include, "only keys that match (* any characters, ? one)")
      ->type_name("GLOB");
  AddList(command, "--exclude", &rules->exclude, "no keys that match")->type_name("GLOB");
  AddList(command, "--rename", &rules->rename,
          "REGEX=TEXT: a key that matches as a whole becomes TEXT (\\1 …)")
      ->type_name("RULE");
}

absl::Status CheckRules(const KeyRuleOptions& rules, const Limits& limits) {
  return UsageError(KeyRules::Compile(rules, limits).status());
}

absl::StatusOr<Format> ReadableFormat(const std::string& flag, const std::string& name) {
  if (name.empty() || name == FormatName(Format::kUnknown)) return Format::kUnknown;
  const std::optional<Format> format = FormatFromName(name);
  if (format && *format != Format::kTensors) return *format;
  std::vector<Format> all = {Format::kUnknown};
  for (const Format known : AllFormats()) {
    if (known != Format::kTensors && known != Format::kUnknown) all.push_back(known);
  }
  return FormatError(flag, name, all);
}

absl::StatusOr<Format> WritableFormat(const std::string& flag, const std::string& name) {
  if (name.empty()) return Format::kUnknown;
  for (const Format format : kWritable) {
    if (name == FormatName(format)) return format;
  }
  return FormatError(flag, name, kWritable);
}

void AddPlainDictFlag(CLI::App* command, bool* plain_dict) {
  command->add_flag("--plain-dict", *plain_dict,
                    "a .pth for LibTorch's pickle_load, which reads no OrderedDict");
}

absl::Status CheckPlainDict(bool plain_dict, Format format) {
  if (!plain_dict || format == Format::kUnknown || HasPlainDict(format)) return absl::OkStatus();
  return UsageError(absl::StrCat("--plain-dict: the format is ", FormatName(format),
                                 ", want pytorch or pytorch-legacy"));
}

CLI::Option* AddShardSize(CLI::App* command, std::string* text) {
  return command
      ->add_option("--max-shard-size", *text,
                   "a folder of shards with an index, each of at most SIZE (5GB, 500MiB,\n"
                   "bytes), as Hugging Face's libraries have them: safetensors or pytorch")
      ->type_name("SIZE");
}

void AddRetryFor(CLI::App* command, double* seconds) {
  command
      ->add_option("--retry-for", *seconds,
                   "keep trying for so long while nothing moves (default: 30, or about\n"
                   "one second if the server does not answer at all; 0: not at all)")
      ->type_name("SECONDS")
      ->check(CLI::Validator(
          [](std::string& text) {
            double value = 0;
            const bool good = absl::SimpleAtod(text, &value) && value >= 0 && value <= 1e9;
            return good ? "" : absl::StrCat("is \"", text, "\", want 0 to 1e9 seconds");
          },
          ""));
}

void SetRetryFor(double seconds, CallControl* control) {
  if (seconds >= 0) control->retry_for = absl::Seconds(seconds);
}

absl::StatusOr<uint64_t> BytesOf(absl::string_view flag, const std::string& text) {
  struct Unit {
    absl::string_view name;
    uint64_t bytes;
  };
  constexpr Unit kUnits[] = {{"kb", 1000},
                             {"mb", 1000'000},
                             {"gb", 1000'000'000},
                             {"tb", 1000'000'000'000},
                             {"kib", 1u << 10},
                             {"mib", 1u << 20},
                             {"gib", 1u << 30},
                             {"tib", uint64_t{1} << 40},
                             {"", 1}};
  const std::string lower = absl::AsciiStrToLower(text);
  for (const Unit& unit : kUnits) {
    absl::string_view number = lower;
    if (!absl::ConsumeSuffix(&number, unit.name)) continue;
    double value = 0;
    const bool good = number.find_first_not_of("0123456789. ") == absl::string_view::npos &&
                      absl::SimpleAtod(number, &value);
    const double bytes = value * static_cast<double>(unit.bytes);
    if (good && bytes >= 1 && bytes <= 1e18) return static_cast<uint64_t>(bytes);
    break;
  }
  return UsageError(absl::StrCat(flag, ": is \"", Printable(text),
                                 "\", want a size such as 5GB, 500MiB or bytes"));
}

absl::StatusOr<uint64_t> ShardBytes(const std::string& text) {
  return BytesOf("--max-shard-size", text);
}

absl::StatusOr<SchemaChoice> LoadSchema(const std::string& argument, Session* session) {
  SchemaChoice choice;
  if (argument.empty()) return choice;
  ASSIGN_OR_RETURN(const Target target, ResolveTarget(argument), "--schema");
  if (!target.is_file()) {
    ASSIGN_OR_RETURN(choice.reference, session->Resolve(target), "--schema");
    return choice;
  }
  ASSIGN_OR_RETURN(const auto file, OpenInput(target.text, session->cancel(), session->limits()),
                   "--schema");
  ASSIGN_OR_RETURN(choice.json, ReadSchemaText(*file, session->limits()), "--schema");
  RETURN_IF_ERROR(UsageError(ParseSchema(choice.json, session->limits()).status()),
                  absl::StrCat("--schema ", Printable(target.text)));
  return choice;
}

}  // namespace ballast::cli

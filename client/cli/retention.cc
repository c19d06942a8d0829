#include <cstdint>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/flags.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

struct RetentionFlags {
  std::string model, newer_than;
  uint64_t last = 0;
  std::vector<std::string> labels;
  bool all = false;
  bool any_rule() const { return last > 0 || !newer_than.empty() || !labels.empty(); }
};

struct Unit {
  char letter;
  int64_t seconds;
};
constexpr Unit kUnits[] = {{'w', 604'800}, {'d', 86'400}, {'h', 3600}, {'m', 60}, {'s', 1}};
constexpr int64_t kSecondsMax = int64_t{100} * 366 * 86'400;

// "30d", "12h".
absl::StatusOr<absl::Duration> ParseAge(const std::string& text) {
  int64_t count = 0;
  for (const Unit& unit : kUnits) {
    if (text.empty() || text.back() != unit.letter) continue;
    const bool whole = absl::SimpleAtoi(text.substr(0, text.size() - 1), &count);
    if (!whole || count <= 0 || count > kSecondsMax / unit.seconds) break;
    return absl::Seconds(count * unit.seconds);
  }
  return UsageError(absl::StrCat("--keep-newer-than: is \"", Printable(text),
                                 "\", want a number and one of w, d, h, m, s, at most 100 years"));
}

// The largest unit that it is whole in.
std::string AgeText(absl::Duration age) {
  const int64_t seconds = absl::ToInt64Seconds(age);
  for (const Unit& unit : kUnits) {
    if (age == absl::Seconds(seconds) && seconds % unit.seconds == 0) {
      return absl::StrCat(seconds / unit.seconds, std::string(1, unit.letter));
    }
  }
  return absl::FormatDuration(age);
}

std::string LabelText(const RetentionRules::Label& label) {
  return label.value.has_value() ? absl::StrCat(label.name, "=", *label.value) : label.name;
}

absl::StatusOr<RetentionRules> RulesOf(const RetentionFlags& flags) {
  RetentionRules rules;
  rules.keep_last = flags.last;
  if (!flags.newer_than.empty()) {
    ASSIGN_OR_RETURN(rules.keep_newer_than, ParseAge(flags.newer_than));
  }
  for (const std::string& text : flags.labels) {
    RetentionRules::Label& label = rules.keep_labelled.emplace_back();
    const size_t equals = text.find('=');
    label.name = text.substr(0, equals);
    if (equals != std::string::npos) label.value = text.substr(equals + 1);
    if (label.name.empty()) {
      return UsageError(
          absl::StrCat("--keep-label: is \"", Printable(text), "\", want KEY or KEY=VALUE"));
    }
  }
  return rules;
}

absl::Status Show(Session* session, const std::string& model,
                  const std::optional<RetentionRules>& rules) {
  std::vector<std::string> labels;
  if (rules.has_value()) {
    for (const auto& label : rules->keep_labelled) labels.push_back(LabelText(label));
  }
  if (session->json()) {
    Json json = {{"model", model}, {"retention", nullptr}};
    if (rules.has_value()) {
      json["retention"] = {
          {"keep_last", rules->keep_last == 0 ? Json(nullptr) : Json(rules->keep_last)},
          {"keep_newer_than_ms", rules->keep_newer_than == absl::ZeroDuration()
                                     ? Json(nullptr)
                                     : Json(absl::ToInt64Milliseconds(rules->keep_newer_than))},
          {"keep_labelled", labels}};
    }
    return session->Print(JsonLine(json));
  }
  if (!rules.has_value()) return session->Print(absl::StrCat(model, " keeps every version\n"));
  std::vector<std::string> kept;
  if (rules->keep_last > 0) kept.push_back(absl::StrCat("the last ", rules->keep_last));
  if (rules->keep_newer_than > absl::ZeroDuration()) {
    kept.push_back(absl::StrCat("those newer than ", AgeText(rules->keep_newer_than)));
  }
  if (!labels.empty()) kept.push_back(absl::StrCat("those labelled ", absl::StrJoin(labels, ", ")));
  return session->Print(
      absl::StrCat(model, " keeps ", Printable(absl::StrJoin(kept, ", ")),
                   ", those with an alias, and the latest; gc deletes the others\n"));
}

absl::Status RunRetention(Session* session, const RetentionFlags& flags) {
  RETURN_IF_ERROR(CheckModel(flags.model));
  if (flags.all && flags.any_rule()) {
    return UsageError("--keep-all and other rules exclude each other");
  }
  std::optional<RetentionRules> rules;
  if (flags.any_rule()) {
    ASSIGN_OR_RETURN(rules, RulesOf(flags));
  }
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  if (flags.all || flags.any_rule()) {
    RETURN_IF_ERROR(client->SetRetention(flags.model, rules));
  } else {
    ASSIGN_OR_RETURN(rules, client->GetRetention(flags.model));
  }
  return Show(session, flags.model, rules);
}

}  // namespace

void AddRetention(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<RetentionFlags>();
  CLI::App* retention = app->add_subcommand(
      "retention", "which versions of a model gc keeps; without rules here: those in force");
  retention->add_option("MODEL", flags->model, "name of the model")->required();
  retention->add_option("--keep-last", flags->last, "the newest N versions")
      ->type_name("N")
      ->check(IsCount);
  retention
      ->add_option("--keep-newer-than", flags->newer_than, "those pushed within a time: 30d, 12h")
      ->type_name("AGE");
  AddList(retention, "--keep-label", &flags->labels, "those with this label, repeatable")
      ->type_name("KEY[=VALUE]");
  retention->add_flag("--keep-all", flags->all, "lift the rules");
  retention->footer(
      "The rules given replace those before; a version is kept if one of them keeps it. The\n"
      "latest and those with an alias are always kept. What gc deletes can be brought back.");
  retention->callback([=] { *chosen = [=] { return RunRetention(session, *flags); }; });
}

}  // namespace ballast::cli

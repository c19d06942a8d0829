#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/target.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

struct DiffFlags {
  std::string from, to;
  DiffOptions options;
  bool exit_code = false;
};

// In the order in which they are counted.
constexpr const char* kKinds[] = {"added", "removed", "renamed", "reshaped", "recast", "changed"};

uint64_t CountOf(const VersionDiff& diff, absl::string_view kind) {
  uint64_t count = 0;
  for (const TensorDifference& change : diff.changes) count += change.kind == kind ? 1 : 0;
  return count;
}

std::string ReferenceOf(const VersionDescription& version) {
  return absl::StrCat(version.model, ":", version.version);
}

Json SpecJson(const std::optional<TensorSpec>& spec) {
  if (!spec.has_value()) return nullptr;
  Json shape = Json::array();
  for (const uint64_t dim : spec->shape) shape.push_back(dim);
  return {{"key", spec->key}, {"dtype", std::string(DTypeName(spec->dtype))}, {"shape", shape}};
}

Json ValuesJson(const ValueDifference& values) {
  return {{"elements", values.elements}, {"changed", values.changed},
          {"max_abs", values.max_abs},   {"l2", values.l2},
          {"l2_from", values.l2_from},   {"not_finite", values.not_finite}};
}

Json DiffJson(const VersionDiff& diff) {
  Json summary;
  for (const char* kind : kKinds) summary[kind] = CountOf(diff, kind);
  summary["unchanged"] = diff.unchanged;
  summary["shared_bytes"] = diff.shared_bytes;
  Json changes = Json::array();
  for (const TensorDifference& change : diff.changes) {
    Json out = {{"change", change.kind},
                {"key", change.to ? change.to->key : change.from->key},
                {"from", SpecJson(change.from)},
                {"to", SpecJson(change.to)}};
    if (change.values.has_value()) out["values"] = ValuesJson(*change.values);
    changes.push_back(std::move(out));
  }
  return {{"from", VersionJson(diff.from)},
          {"to", VersionJson(diff.to)},
          {"identical", diff.changes.empty()},
          {"summary", summary},
          {"changes", changes}};
}

std::string TypeText(const TensorSpec& spec) {
  return absl::StrCat(DTypeName(spec.dtype), " ", ShapeText(spec.shape));
}

// "renamed from old.key", "float32 [2] to bfloat16 [2]".
std::string WhatText(const TensorDifference& change) {
  if (change.kind == "renamed") return absl::StrCat("was ", change.from->key);
  if (!change.from || !change.to) return TypeText(change.to ? *change.to : *change.from);
  if (change.kind == "changed") return TypeText(*change.to);
  return absl::StrCat(TypeText(*change.from), " to ", TypeText(*change.to));
}

std::string ValuesText(const ValueDifference& values) {
  const double share = values.elements == 0 ? 0
                                            : 100 * static_cast<double>(values.changed) /
                                                  static_cast<double>(values.elements);
  std::string text = absl::StrFormat("%.3g %% of %d, max %.3g, L2 %.3g", share, values.elements,
                                     values.max_abs, values.l2);
  if (values.l2_from > 0) absl::StrAppendFormat(&text, " of %.3g", values.l2_from);
  if (values.not_finite > 0) absl::StrAppend(&text, ", ", values.not_finite, " NaN or Inf");
  return text;
}

std::string SummaryText(const VersionDiff& diff) {
  std::vector<std::string> counts;
  for (const char* kind : kKinds) {
    const uint64_t count = CountOf(diff, kind);
    if (count > 0) counts.push_back(absl::StrCat(count, " ", kind));
  }
  counts.push_back(absl::StrCat(diff.unchanged, " unchanged"));
  return absl::StrCat(ReferenceOf(diff.from), " to ", ReferenceOf(diff.to), ": ",
                      absl::StrJoin(counts, ", "), "; ", BytesText(diff.shared_bytes), " shared\n");
}

std::string DiffText(const VersionDiff& diff) {
  std::vector<std::vector<std::string>> rows;
  for (const TensorDifference& change : diff.changes) {
    rows.push_back({change.kind, change.to ? change.to->key : change.from->key, WhatText(change),
                    change.values ? ValuesText(*change.values) : ""});
  }
  return absl::StrCat(Table(rows), SummaryText(diff));
}

absl::Status RunDiff(Session* session, DiffFlags* flags) {
  RETURN_IF_ERROR(CheckReference(flags->from));
  RETURN_IF_ERROR(CheckReference(flags->to));
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  ASSIGN_OR_RETURN(const VersionDiff diff, client->Diff(flags->from, flags->to, flags->options));
  RETURN_IF_ERROR(session->Print(session->json() ? JsonLine(DiffJson(diff)) : DiffText(diff)));
  if (!flags->exit_code || diff.changes.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      ReferenceOf(diff.from), " and ", ReferenceOf(diff.to), ": ",
      Count(diff.changes.size(), "tensor"), diff.changes.size() == 1 ? " differs" : " differ"));
}

}  // namespace

void AddDiff(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<DiffFlags>();
  CLI::App* diff =
      app->add_subcommand("diff", "what differs between two versions, tensor by tensor");
  diff->add_option("FROM", flags->from, "a version")->required()->type_name("REF");
  diff->add_option("TO", flags->to, "another one, perhaps of another model")
      ->required()
      ->type_name("REF");
  diff->add_flag("--values,!--no-values", flags->options.values,
                 "how far values changed: the server reads the changed\n"
                 "tensors; --no-values answers from the manifests alone");
  diff->add_flag("--with-optimizer", flags->options.with_optimizer,
                 "also entries that are not weights");
  diff->add_flag("--exit-code", flags->exit_code, "exit with 1 if there are differences");
  diff->callback([=] { *chosen = [=] { return RunDiff(session, flags.get()); }; });
}

}  // namespace ballast::cli

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/flags.h"
#include "client/cli/text.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

// Versions that a line for people names.
constexpr size_t kNamedMax = 10;

struct VerifyFlags {
  std::string reference;
  bool all = false;
  std::string rate;
};

Json DamageJson(const DamageDescription& damage) {
  Json json = {{"kind", damage.kind}};
  json["digest"] =
      damage.digest ? Json(absl::StrCat("sha256:", damage.digest->Hex())) : Json(nullptr);
  json["problem"] = damage.problem;
  json["versions"] = damage.versions;
  json["versions_omitted"] = damage.versions_omitted;
  return json;
}

std::string DamageText(const DamageDescription& damage) {
  std::string text = absl::StrCat("damaged (", damage.kind, "): ", Printable(damage.problem), "\n");
  for (size_t i = 0; i < damage.versions.size() && i < kNamedMax; ++i) {
    absl::StrAppend(&text, "    hits ", Printable(damage.versions[i]), "\n");
  }
  const uint64_t more = damage.versions_omitted +
                        (damage.versions.size() - std::min(damage.versions.size(), kNamedMax));
  if (more > 0) absl::StrAppend(&text, "    and ", more, " more\n");
  return text;
}

std::string Summary(const VerifyReport& report) {
  const std::string read =
      absl::StrCat(Count(report.versions, "version"), ", ", Count(report.blocks, "block"), ", ",
                   BytesText(report.bytes));
  if (report.sound) return absl::StrCat(read, ": all sound\n");
  return absl::StrCat(read, ": ", Count(report.damaged_blocks, "damaged block"), ", ",
                      Count(report.damaged_versions, "damaged version"), "\n");
}

absl::Status RunVerify(Session* session, const VerifyFlags& flags) {
  if (!flags.reference.empty() && flags.all) {
    return UsageError("want one of a reference and --all");
  }
  VerifyStoreOptions options;
  if (!flags.reference.empty()) RETURN_IF_ERROR(CheckReference(flags.reference));
  if (!flags.rate.empty()) {
    ASSIGN_OR_RETURN(options.bytes_per_second, BytesOf("--rate", flags.rate));
  }
  ASSIGN_OR_RETURN(Client* const client, session->GetClient());
  options.control = session->Control();
  Json list = Json::array();
  bool blocks_only = true;
  absl::Status printed;
  options.damage = [&](const DamageDescription& damage) {
    blocks_only = blocks_only && damage.kind != "record";
    if (session->json()) {
      list.push_back(DamageJson(damage));
      return;
    }
    session->EndProgress();
    printed.Update(session->Print(DamageText(damage)));
  };
  ASSIGN_OR_RETURN(const VerifyReport report, client->Verify(flags.reference, options));
  session->EndProgress();
  RETURN_IF_ERROR(printed);
  if (session->json()) {
    RETURN_IF_ERROR(session->Print(JsonLine({{"ok", report.sound},
                                             {"versions", report.versions},
                                             {"blocks", report.blocks},
                                             {"bytes", report.bytes},
                                             {"damaged_blocks", report.damaged_blocks},
                                             {"damaged_versions", report.damaged_versions},
                                             {"damage", list}})));
  } else {
    RETURN_IF_ERROR(session->Print(Summary(report)));
  }
  if (report.sound) return absl::OkStatus();
  return absl::DataLossError(
      blocks_only ? "the store is damaged; push the file again, or import an export of the model "
                    "under another name"
                  : "the store's records are damaged; back up what can be read, and restore a "
                    "backup into a new data folder");
}

}  // namespace

void AddVerify(CLI::App* app, Session* session, Command* chosen) {
  auto flags = std::make_shared<VerifyFlags>();
  CLI::App* verify = app->add_subcommand(
      "verify",
      "read what is stored and compare it with its SHA-256, beside everything else; a "
      "damaged block is replaced when its content is pushed again");
  verify->add_option("REF", flags->reference, "a version");
  verify->add_flag("--all", flags->all,
                   "all versions, deleted ones too, and all records (as without REF)");
  verify->add_option("--rate", flags->rate,
                     "bytes a second at most, such as 50MB (default: the server's "
                     "verify_bytes_per_second)");
  verify->callback([=] { *chosen = [=] { return RunVerify(session, *flags); }; });
}

}  // namespace ballast::cli

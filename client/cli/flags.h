// Flags that several commands have.
#ifndef BALLAST_CLIENT_CLI_FLAGS_H_
#define BALLAST_CLIENT_CLI_FLAGS_H_

#include <ballast/client.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/session.h"

namespace ballast::cli {

// A repeatable option that takes one value each time.
CLI::Option* AddList(CLI::App* command, const std::string& name, std::vector<std::string>* values,
                     const std::string& help);

// For Option::check: "" if it is a whole number above 0, else what is wrong. CLI11 alone would
// take -1 for 2^64-1.
std::string IsCount(const std::string& text);

// --select, --include, --exclude, --rename.
void AddRuleFlags(CLI::App* command, KeyRuleOptions* rules);
// Errors: usage  a rule that does not compile.
absl::Status CheckRules(const KeyRuleOptions& rules, const Limits& limits);

// Errors: usage  names what there is. "auto" and "" are kUnknown.
absl::StatusOr<Format> ReadableFormat(const std::string& flag, const std::string& name);
// One of those that files can be written in; "" is kUnknown. Errors: usage.
absl::StatusOr<Format> WritableFormat(const std::string& flag, const std::string& name);

// --plain-dict.
void AddPlainDictFlag(CLI::App* command, bool* plain_dict);
// Errors: usage  a format that has no plain dict; kUnknown passes.
absl::Status CheckPlainDict(bool plain_dict, Format format);

// Plain bytes, or a number with KB, MB, GB, TB (thousands, as Hugging Face has them) or KiB,
// MiB, GiB, TiB. Errors: usage  names the flag.
absl::StatusOr<uint64_t> BytesOf(absl::string_view flag, const std::string& text);
// --max-shard-size.
absl::StatusOr<uint64_t> ShardBytes(const std::string& text);
CLI::Option* AddShardSize(CLI::App* command, std::string* text);

// --retry-for: a number of seconds, or negative if it is not given.
void AddRetryFor(CLI::App* command, double* seconds);
void SetRetryFor(double seconds, CallControl* control);

// What --schema FILE|REF names; "" is no schema.
// Errors: usage  not a schema, not a reference. NotFound.
absl::StatusOr<SchemaChoice> LoadSchema(const std::string& argument, Session* session);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_FLAGS_H_

// What a portable folder says of a model and of its versions: JSON with a checksum.
//
// model.json   {"ballast_model":1,"model":"team/net","numbers_used":7,"versions":[1,2,7],
//               "aliases":{"prod":7},"retention":{"keep_last":…,"keep_newer_than_ms":…,
//               "keep_labelled":[{"name":…,"value":…}]},"schema":"…"}
// N.version    {"ballast_version":1,"model":…,"version":7,"digest":"<64 hex>","created":"…",
//               "creator":…,"message":…,"labels":{…},"parent":6,"manifest_bytes":…,
//               "manifest_sha256":"<64 hex>"}, then the manifest in the encoding of manifest.h
//
// Layout:  JSON without a line break | "\n" | "sha256:<64 hex of the JSON>\n" | the rest
// Unknown fields are ignored; a higher number in the first one is refused.
#ifndef BALLAST_CLIENT_BACKUP_FACTS_H_
#define BALLAST_CLIENT_BACKUP_FACTS_H_

#include <ballast/client.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"
#include "storage/model/manifest.h"

namespace ballast {

struct ModelFacts {
  std::string model;
  uint64_t numbers_used = 0;       // the next version's number is larger
  std::vector<uint64_t> versions;  // live when it was written; ascending
  std::map<std::string, uint64_t> aliases;
  std::optional<RetentionRules> retention;
  std::string schema;  // that is bound; "": none
};

// Of a version: as the registry described it, and its manifest.
struct VersionFacts {
  std::string model;
  uint64_t version = 0;
  Digest digest;
  absl::Time created;
  std::string creator;
  std::string message;
  std::map<std::string, std::string> labels;
  uint64_t parent = 0;  // 0: none
  Manifest manifest;
};

std::string EncodeModelFacts(const ModelFacts& facts);
std::string EncodeVersionFacts(const VersionFacts& facts);

// Errors: DataLoss  a checksum fails, or a digest is not that of the manifest.
//         InvalidArgument  not such a text. FailedPrecondition  a newer one.
absl::StatusOr<ModelFacts> DecodeModelFacts(absl::string_view text);
absl::StatusOr<VersionFacts> DecodeVersionFacts(absl::string_view text, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_CLIENT_BACKUP_FACTS_H_

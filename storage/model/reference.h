// Names of models, versions and aliases. One parser for CLI, library and server.
//
//   model            = segment ("/" segment){0,7}, at most 255 bytes
//   segment          = [a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?
//   reference        = model | model ":" number | model ":latest" | model "@latest" |
//                      model "@" alias | model "@sha256:" 64 hex digits
//   alias            = segment, except "latest" and "sha256"
#ifndef BALLAST_STORAGE_MODEL_REFERENCE_H_
#define BALLAST_STORAGE_MODEL_REFERENCE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/digest.h"
#include "storage/base/equality.h"

namespace ballast {

struct Reference {
  enum class Selector { kLatest, kVersion, kAlias, kDigest };
  std::string model;
  Selector selector = Selector::kLatest;
  uint64_t version = 0;  // kVersion: 1, 2, 3 …
  std::string alias;     // kAlias
  Digest digest;         // kDigest

  // "m", "m:3", "m@prod", "m@sha256:…".
  std::string ToString() const;
  BALLAST_DEFAULT_EQUALITY(Reference);
};

// Errors: InvalidArgument; the message says which rule is broken, and for an
// upper-case name suggests the lower-case spelling.
absl::StatusOr<Reference> ParseReference(absl::string_view text);
absl::Status CheckModelName(absl::string_view name);
absl::Status CheckAliasName(absl::string_view name);

// A prefix for listings: "" or the beginning of a model name.
absl::Status CheckModelPrefix(absl::string_view prefix);

}  // namespace ballast

#endif  // BALLAST_STORAGE_MODEL_REFERENCE_H_

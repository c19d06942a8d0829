// The two JSON texts of a manifest, when they come from outside: what is kept must be
// something that every writer can put into a file.
#ifndef BALLAST_STORAGE_FORMATS_MANIFEST_JSON_H_
#define BALLAST_STORAGE_FORMATS_MANIFEST_JSON_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/model/manifest.h"

namespace ballast {

// Whether it is `_metadata` as Manifest::metadata_json has it: an object of objects, at
// most 8 deep, with integers of 64 bits.
bool IsModuleMetadata(absl::string_view json);

// Both texts are "" or what manifest.h says.
// Errors: InvalidArgument  names the text.
absl::Status CheckManifestJson(const Manifest& manifest);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_MANIFEST_JSON_H_

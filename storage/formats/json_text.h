// Small pieces of JSON text, for headers and facts.
#ifndef BALLAST_STORAGE_FORMATS_JSON_TEXT_H_
#define BALLAST_STORAGE_FORMATS_JSON_TEXT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast {

// `text` as a JSON string with its quotes: `"`, `\` and control characters are
// escaped, everything else stays as it is. `text` must be valid UTF-8.
std::string JsonString(absl::string_view text);

// Refuses what the JSON parser would let pass where an object is wanted: a byte order
// mark, and zero bytes, which it takes for the end of its input. `where` begins the message.
// Errors: InvalidArgument/MALFORMED.
absl::Status CheckJsonObjectText(absl::string_view json, absl::string_view where);

// Whether the first bytes of a file are the text of a JSON object: no container of
// weights begins like that.
bool BeginsLikeJsonObject(absl::string_view head);

// The readable part of a message of the JSON parser, on one line and bounded.
std::string JsonErrorText(absl::string_view what);

// A number as JSON has it, the shortest that reads back as the same value, with a "." or "e";
// "nan", "inf" or "-inf" for what JSON has not.
std::string FloatText(double value);
std::string FloatText(float value);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_JSON_TEXT_H_

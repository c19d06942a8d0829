// Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, at most U+10FFFF.
#ifndef BALLAST_STORAGE_BASE_UTF8_H_
#define BALLAST_STORAGE_BASE_UTF8_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast {

// Bytes of the sequence at the front of `text` (1–4), 0 if it is not valid or
// `text` is empty.
size_t Utf8SequenceLength(absl::string_view text);

bool IsUtf8(absl::string_view text);

// Errors: InvalidArgument  not UTF-8: "<what> is \"…\", want UTF-8".
absl::Status CheckUtf8(absl::string_view what, absl::string_view text);

// The longest beginning of `text` that is valid and has at most bytes_max bytes.
absl::string_view Utf8Prefix(absl::string_view text, size_t bytes_max);

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_UTF8_H_

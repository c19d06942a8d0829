// The text forms of protocol 0: numbers, quoted strings and raw unicode escapes.
//
// Source: CPython Lib/pickletools.py, "stringnl", "unicodestringnl", "decimalnl".
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_TEXT_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_TEXT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace ballast {

// 'it\'s \x41' in either quote, with Python's escapes; nullopt if malformed.
std::optional<std::string> ParsePythonString(absl::string_view line);

// Latin-1 text with \uXXXX and \UXXXXXXXX, as UTF-8; nullopt if malformed.
std::optional<std::string> ParseRawUnicode(absl::string_view line);

// True for an optionally signed run of digits.
bool IsDecimal(absl::string_view text);

// Appends the UTF-8 form; surrogates too, as Python's "surrogatepass" does.
void AppendUtf8(uint32_t code_point, std::string* out);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_TEXT_H_

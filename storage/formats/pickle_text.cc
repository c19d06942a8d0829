#include "storage/formats/pickle_text.h"

#include "absl/strings/ascii.h"

namespace ballast {
namespace {

// The value of `digits` in `base`; nullopt for anything else.
std::optional<uint32_t> Digits(absl::string_view digits, uint32_t base) {
  if (digits.empty()) return std::nullopt;
  uint32_t value = 0;
  for (const char c : digits) {
    if (!absl::ascii_isxdigit(c)) return std::nullopt;
    const uint32_t digit = absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10;
    if (digit >= base) return std::nullopt;
    value = value * base + digit;
  }
  return value;
}

char SimpleEscape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case '\\':
    case '\'':
    case '"':
      return c;
    default:
      return 0;
  }
}

// Octal digits at the front of `text`, at most three.
size_t OctalLength(absl::string_view text) {
  size_t n = 0;
  while (n < 3 && n < text.size() && text[n] >= '0' && text[n] <= '7') ++n;
  return n;
}

// Decodes what follows a backslash; returns how many bytes it took, 0 if malformed.
size_t Unescape(absl::string_view text, std::string* out) {
  if (text.empty()) return 0;
  if (const size_t n = OctalLength(text); n > 0) {
    *out += static_cast<char>(*Digits(text.substr(0, n), 8));
    return n;
  }
  if (text[0] == 'x') {
    const auto value = text.size() < 3 ? std::nullopt : Digits(text.substr(1, 2), 16);
    if (!value.has_value()) return 0;
    *out += static_cast<char>(*value);
    return 3;
  }
  const char c = SimpleEscape(text[0]);
  if (c == 0) *out += '\\';  // Python keeps an unknown escape as it is
  *out += c == 0 ? text[0] : c;
  return 1;
}

}  // namespace

void AppendUtf8(uint32_t c, std::string* out) {
  if (c < 0x80) {
    *out += static_cast<char>(c);
    return;
  }
  const int tail = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr unsigned char kLead[] = {0, 0xC0, 0xE0, 0xF0};
  *out += static_cast<char>(kLead[tail] | (c >> (6 * tail)));
  for (int i = tail - 1; i >= 0; --i) *out += static_cast<char>(0x80 | ((c >> (6 * i)) & 0x3F));
}

std::optional<std::string> ParsePythonString(absl::string_view line) {
  if (line.size() < 2 || line.front() != line.back()) return std::nullopt;
  if (line.front() != '\'' && line.front() != '"') return std::nullopt;
  const char quote = line.front();
  line = line.substr(1, line.size() - 2);
  std::string out;
  while (!line.empty()) {
    const char c = line.front();
    line.remove_prefix(1);
    if (c == quote) return std::nullopt;
    if (c != '\\') {
      out += c;
      continue;
    }
    const size_t used = Unescape(line, &out);
    if (used == 0) return std::nullopt;
    line.remove_prefix(used);
  }
  return out;
}

std::optional<std::string> ParseRawUnicode(absl::string_view line) {
  std::string out;
  while (!line.empty()) {
    const size_t digits = line.size() < 2 || line[0] != '\\' ? 0
                          : line[1] == 'u'                   ? 4
                          : line[1] == 'U'                   ? 8
                                                             : 0;
    if (digits == 0) {
      AppendUtf8(static_cast<unsigned char>(line[0]), &out);
      line.remove_prefix(1);
      continue;
    }
    if (line.size() < 2 + digits) return std::nullopt;
    const auto value = Digits(line.substr(2, digits), 16);
    if (!value.has_value() || *value > 0x10FFFF) return std::nullopt;
    AppendUtf8(*value, &out);
    line.remove_prefix(2 + digits);
  }
  return out;
}

bool IsDecimal(absl::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty()) return false;
  for (const char c : text) {
    if (!absl::ascii_isdigit(c)) return false;
  }
  return true;
}

}  // namespace ballast

#include "storage/formats/json_text.h"

#include <charconv>

#include "storage/base/status.h"

namespace ballast {
namespace {

template <typename T>
std::string Shortest(T value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

std::string FloatText(double value) { return Shortest(value); }
std::string FloatText(float value) { return Shortest(value); }

std::string JsonString(absl::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
    } else {
      out += c;
    }
  }
  out += '"';
  return out;
}

std::string JsonErrorText(absl::string_view what) {
  constexpr size_t kShown = 160;
  // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
  const size_t start = what.find("] ");
  if (start != absl::string_view::npos) what.remove_prefix(start + 2);
  if (what.size() > kShown) return absl::StrCat(Printable(what.substr(0, kShown)), "…");
  return Printable(what);
}

}  // namespace ballast

#include "storage/formats/json_text.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "storage/base/status.h"
#include "storage/model/tensor_spec.h"

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
  std::string out;
  out.reserve(text.size() + 2);
  out += '"';
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

absl::Status CheckJsonObjectText(absl::string_view json, absl::string_view where) {
  const size_t start = json.find_first_not_of(" \t\r\n");
  if (start == absl::string_view::npos) {
    return MalformedError(where, ": is empty, want a JSON object");
  }
  if (json[start] != '{') {
    return MalformedError(where, ": begins with ", QuotedKey(json.substr(start, 4)),
                          ", want a JSON object");
  }
  const size_t zero = json.find('\0');
  if (zero == absl::string_view::npos) return absl::OkStatus();
  const bool padding = json.find_first_not_of('\0', zero) == absl::string_view::npos;
  return MalformedError(where, ": byte ", zero, " is zero, want JSON",
                        padding ? " (padded with zero bytes instead of spaces by its writer)" : "");
}

bool BeginsLikeJsonObject(absl::string_view head) {
  const bool text = std::all_of(head.begin(), head.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' ||
           absl::ascii_isspace(static_cast<unsigned char>(c));
  });
  return text && absl::StartsWith(absl::StripLeadingAsciiWhitespace(head), "{");
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

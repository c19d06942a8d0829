#include "storage/base/utf8.h"

#include <cstdint>
#include <cstring>

#include "storage/base/status.h"

namespace ballast {
namespace {

// How many bytes at the beginning are ASCII for sure: most texts are, all of them.
size_t AsciiPrefix(absl::string_view text) {
  size_t n = 0;
  for (uint64_t eight = 0; n + sizeof(eight) <= text.size(); n += sizeof(eight)) {
    std::memcpy(&eight, text.data() + n, sizeof(eight));
    if ((eight & 0x8080808080808080) != 0) break;
  }
  return n;
}

}  // namespace

size_t Utf8SequenceLength(absl::string_view text) {
  if (text.empty()) return 0;
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  const size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < n) return 0;
  for (size_t i = 1; i < n; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  if (lead == 0xE0 && at(1) < 0xA0) return 0;  // overlong
  if (lead == 0xED && at(1) > 0x9F) return 0;  // surrogate
  if (lead == 0xF0 && at(1) < 0x90) return 0;  // overlong
  if (lead == 0xF4 && at(1) > 0x8F) return 0;  // above U+10FFFF
  return n;
}

absl::string_view Utf8Prefix(absl::string_view text, size_t bytes_max) {
  size_t end = 0;
  while (end < text.size()) {
    const size_t n = Utf8SequenceLength(text.substr(end));
    if (n == 0 || end + n > bytes_max) break;
    end += n;
  }
  return text.substr(0, end);
}

bool IsUtf8(absl::string_view text) {
  text.remove_prefix(AsciiPrefix(text));
  while (!text.empty()) {
    const size_t n = Utf8SequenceLength(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

absl::Status CheckUtf8(absl::string_view what, absl::string_view text) {
  if (IsUtf8(text)) return absl::OkStatus();
  return MalformedError(what, " is \"", Printable(text.substr(0, 100)), "\", want UTF-8");
}

}  // namespace ballast

#include "client/cli/go_on.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

constexpr absl::string_view kToken = "--token";

bool IsPlain(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("_@%+=:,./-").find(c) != absl::string_view::npos;
}

bool NeedsNumber(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte >= 0x7F;
}

}  // namespace

std::string ShellWord(absl::string_view word) {
  // What a line of text cannot show, by its number.
  if (Printable(word) != word && std::any_of(word.begin(), word.end(), NeedsNumber)) {
    std::string out = "$'";
    for (const char c : word) {
      if (NeedsNumber(c)) {
        absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(c));
      } else {
        absl::StrAppend(&out, c == '\'' || c == '\\' ? "\\" : "", std::string(1, c));
      }
    }
    return out + "'";
  }
  if (!word.empty() && std::all_of(word.begin(), word.end(), IsPlain)) return std::string(word);
  return absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

std::vector<std::string> WithFlags(const std::vector<std::string>& words,
                                   const std::vector<std::string>& flags) {
  const auto is_set = [&](absl::string_view word) {
    return absl::StartsWith(word, "--") &&
           std::find(flags.begin(), flags.end(), word) != flags.end();
  };
  const auto end = std::find(words.begin(), words.end(), "--");
  std::vector<std::string> out;
  for (auto word = words.begin(); word != end; ++word) {
    if (is_set(*word)) {
      if (word + 1 != end) ++word;
    } else if (!is_set(word->substr(0, word->find('=')))) {
      out.push_back(*word);
    }
  }
  out.insert(out.end(), flags.begin(), flags.end());
  out.insert(out.end(), end, words.end());
  return out;
}

std::string CommandText(const std::vector<std::string>& words) {
  std::vector<std::string> text;
  bool secret = false;
  for (const std::string& word : words) {
    if (secret) {
      text.emplace_back("TOKEN");
    } else if (absl::StartsWith(word, absl::StrCat(kToken, "="))) {
      text.push_back(absl::StrCat(kToken, "=TOKEN"));
    } else {
      text.push_back(ShellWord(word));
    }
    secret = !secret && word == kToken;
  }
  return absl::StrJoin(text, " ");
}

}  // namespace ballast::cli

#include "storage/model/reference.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr size_t kModelBytesMax = 255;
constexpr size_t kSegmentsMax = 8;
constexpr size_t kSegmentBytesMax = 63;
constexpr absl::string_view kSegmentRule =
    "want 1 to 63 of a-z 0-9 . _ - beginning and ending with a letter or digit";

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsNameByte(char c) { return IsLowerOrDigit(c) || c == '.' || c == '_' || c == '-'; }

bool IsSegment(absl::string_view s) {
  return !s.empty() && s.size() <= kSegmentBytesMax && IsLowerOrDigit(s.front()) &&
         IsLowerOrDigit(s.back()) && std::all_of(s.begin(), s.end(), IsNameByte);
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", Printable(text.substr(0, 300)), "\"");
}

bool HasUpper(absl::string_view s) {
  return std::any_of(s.begin(), s.end(), [](char c) { return absl::ascii_isupper(c); });
}

}  // namespace

std::string Reference::ToString() const {
  switch (selector) {
    case Selector::kVersion:
      return absl::StrCat(model, ":", version);
    case Selector::kAlias:
      return absl::StrCat(model, "@", alias);
    case Selector::kDigest:
      return absl::StrCat(model, "@sha256:", digest.Hex());
    case Selector::kLatest:
      break;
  }
  return model;
}

absl::Status CheckModelName(absl::string_view name) {
  if (name.empty()) return MalformedError("model name is empty, ", kSegmentRule);
  if (name.size() > kModelBytesMax) {
    return MalformedError("model name is ", name.size(), " bytes long, want at most ",
                          kModelBytesMax);
  }
  const std::vector<absl::string_view> segments = absl::StrSplit(name, '/');
  if (segments.size() > kSegmentsMax) {
    return MalformedError("model name ", Quoted(name), " has ", segments.size(),
                          " segments, want at most ", kSegmentsMax);
  }
  for (const absl::string_view segment : segments) {
    if (IsSegment(segment)) continue;
    const std::string lower = absl::AsciiStrToLower(name);
    if (HasUpper(name) && CheckModelName(lower).ok()) {
      return MalformedError("model name ", Quoted(name), " has upper-case letters, want ",
                            Quoted(lower));
    }
    return MalformedError("model name ", Quoted(name), ": segment ", Quoted(segment),
                          " is not a name, ", kSegmentRule);
  }
  return absl::OkStatus();
}

absl::Status CheckAliasName(absl::string_view name) {
  if (name == "latest" || name == "sha256") {
    return MalformedError("alias ", Quoted(name), " is reserved, want another name");
  }
  if (IsSegment(name)) return absl::OkStatus();
  const std::string lower = absl::AsciiStrToLower(name);
  if (HasUpper(name) && IsSegment(lower)) {
    return MalformedError("alias ", Quoted(name), " has upper-case letters, want ", Quoted(lower));
  }
  return MalformedError("alias ", Quoted(name), " is not a name, ", kSegmentRule);
}

absl::Status CheckModelPrefix(absl::string_view prefix) {
  const bool clean =
      std::all_of(prefix.begin(), prefix.end(), [](char c) { return IsNameByte(c) || c == '/'; });
  if (prefix.size() <= kModelBytesMax && clean) return absl::OkStatus();
  return MalformedError("model prefix ", Quoted(prefix),
                        " is not the beginning of a model name (a-z 0-9 . _ - /)");
}

absl::StatusOr<Reference> ParseReference(absl::string_view text) {
  Reference ref;
  const size_t at = text.find_first_of(":@");
  const absl::string_view name = text.substr(0, at);
  RETURN_IF_ERROR(CheckModelName(name), absl::StrCat("reference ", Quoted(text)));
  ref.model = std::string(name);
  if (at == absl::string_view::npos) return ref;
  const absl::string_view rest = text.substr(at + 1);
  if (rest == "latest") return ref;
  if (text[at] == ':') {
    const bool digits = !rest.empty() && rest.size() <= 19 && rest[0] != '0' &&
                        std::all_of(rest.begin(), rest.end(), absl::ascii_isdigit);
    if (!digits || !absl::SimpleAtoi(rest, &ref.version)) {
      return MalformedError("reference ", Quoted(text), ": version is ", Quoted(rest),
                            ", want a number from 1, or \"latest\"");
    }
    ref.selector = Reference::Selector::kVersion;
    return ref;
  }
  constexpr absl::string_view kSha = "sha256:";
  if (rest.substr(0, kSha.size()) == kSha) {
    ASSIGN_OR_RETURN(ref.digest, Digest::FromHex(rest.substr(kSha.size())),
                     absl::StrCat("reference ", Quoted(text)));
    ref.selector = Reference::Selector::kDigest;
    return ref;
  }
  RETURN_IF_ERROR(CheckAliasName(rest), absl::StrCat("reference ", Quoted(text)));
  ref.alias = std::string(rest);
  ref.selector = Reference::Selector::kAlias;
  return ref;
}

}  // namespace ballast

#include "storage/base/status.h"

#include <array>
#include <string>

#include "absl/strings/cord.h"
#include "storage/base/utf8.h"

namespace ballast {
namespace {

constexpr absl::string_view kReasonUrl = "ballast/reason";
constexpr std::array<absl::string_view, 11> kNames = {
    "",      "TRUNCATED", "MALFORMED",       "CHECKSUM", "UNSAFE", "WRONG_FORMAT", "UNSUPPORTED",
    "LIMIT", "AMBIGUOUS", "SCHEMA_MISMATCH", "CONFLICT"};

}  // namespace

absl::string_view ReasonName(Reason reason) { return kNames[static_cast<size_t>(reason)]; }

Reason ReasonFromName(absl::string_view name) {
  for (size_t i = 1; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Reason>(i);
  }
  return Reason::kNone;
}

Reason GetReason(const absl::Status& status) {
  auto payload = status.GetPayload(kReasonUrl);
  if (!payload.has_value()) return Reason::kNone;
  return ReasonFromName(std::string(*payload));
}

absl::Status MakeError(absl::StatusCode code, Reason reason, absl::string_view message) {
  absl::Status status(code, message);
  if (reason != Reason::kNone) status.SetPayload(kReasonUrl, absl::Cord(ReasonName(reason)));
  return status;
}

absl::Status WithContext(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status out(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&out](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

std::string Printable(absl::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    size_t n = Utf8SequenceLength(text);
    const auto c = static_cast<unsigned char>(text[0]);
    const bool c1_control = n == 2 && c == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
    if (n > 0 && c >= 0x20 && c != 0x7F && !c1_control) {
      out.append(text.data(), n);
    } else {
      n = n == 0 ? 1 : n;
      for (size_t i = 0; i < n; ++i) {
        const auto b = static_cast<unsigned char>(text[i]);
        out += {'\\', 'x', kHex[b >> 4], kHex[b & 15]};
      }
    }
    text.remove_prefix(n);
  }
  return out;
}

}  // namespace ballast

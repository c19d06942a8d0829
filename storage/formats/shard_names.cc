#include "storage/formats/shard_names.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "storage/base/status.h"
#include "storage/model/tensor_spec.h"

namespace ballast {
namespace {

constexpr size_t kDigitsMin = 5;
constexpr size_t kDigitsMax = 9;
constexpr size_t kNameBytesMax = 255;
constexpr size_t kNamed = 5;
constexpr absl::string_view kOf = "-of-";

// The digits at an end of `text`.
absl::string_view TrailingDigits(absl::string_view text) {
  size_t n = 0;
  while (n < text.size() && absl::ascii_isdigit(text[text.size() - 1 - n])) ++n;
  return text.substr(text.size() - n);
}
absl::string_view LeadingDigits(absl::string_view text) {
  size_t n = 0;
  while (n < text.size() && absl::ascii_isdigit(text[n])) ++n;
  return text.substr(0, n);
}

bool ParseNumber(absl::string_view digits, uint64_t* out) {
  return digits.size() >= kDigitsMin && digits.size() <= kDigitsMax &&
         absl::SimpleAtoi(digits, out);
}

std::string ZeroPadded(uint64_t number, size_t width) {
  const std::string digits = absl::StrCat(number);
  return std::string(std::max(width, digits.size()) - digits.size(), '0') + digits;
}

// The shards of one series by their number.
struct Series {
  ShardName first;
  std::set<uint64_t> numbers;
};

absl::Status AddToSeries(const std::string& name, const ShardName& shard, Series* series) {
  if (series->numbers.empty()) series->first = shard;
  if (shard.count != series->first.count) {
    return MalformedError(name, ": is one of ", shard.count, " shards, but ",
                          series->first.Sibling(series->first.number), " one of ",
                          series->first.count);
  }
  if (shard.number == 0 || shard.number > shard.count) {
    return MalformedError(name, ": number is ", shard.number, ", want 1 to ", shard.count);
  }
  if (!series->numbers.insert(shard.number).second) {
    return MalformedError(name, ": is shard ", shard.number, ", which is there twice");
  }
  return absl::OkStatus();
}

absl::Status CheckNoGap(const Series& series) {
  const uint64_t missing_count = series.first.count - series.numbers.size();
  if (missing_count == 0) return absl::OkStatus();
  std::vector<std::string> missing;
  for (uint64_t i = 1; missing.size() < std::min<uint64_t>(missing_count, kNamed); ++i) {
    if (series.numbers.count(i) == 0) missing.push_back(series.first.Sibling(i));
  }
  return MalformedError(missing_count, " of ", series.first.count, " shards ",
                        missing_count == 1 ? "is" : "are", " missing: ", NamesText(missing),
                        missing_count > kNamed ? " …" : "");
}

}  // namespace

std::string ShardName::Sibling(uint64_t other_number) const {
  return absl::StrCat(stem, "-", ZeroPadded(other_number, number_text.size()), kOf, count_text,
                      suffix);
}

std::optional<ShardName> ParseShardName(absl::string_view name) {
  const size_t of = name.rfind(kOf);
  if (of == absl::string_view::npos) return std::nullopt;
  absl::string_view stem = name.substr(0, of);
  const absl::string_view number = TrailingDigits(stem);
  const absl::string_view tail = name.substr(of + kOf.size());
  const absl::string_view count = LeadingDigits(tail);
  const absl::string_view suffix = tail.substr(count.size());
  ShardName out;
  if (!ParseNumber(number, &out.number) || !ParseNumber(count, &out.count)) return std::nullopt;
  stem.remove_suffix(number.size());
  if (!absl::ConsumeSuffix(&stem, "-") || stem.empty()) return std::nullopt;
  if (!absl::StartsWith(suffix, ".")) return std::nullopt;
  out.stem = std::string(stem);
  out.number_text = std::string(number);
  out.count_text = std::string(count);
  out.suffix = std::string(suffix);
  return out;
}

bool IndexName::IsFor(const ShardName& shard) const {
  if (shard.stem == absl::StrCat(stem, variant)) return shard.suffix == extension;
  return shard.stem == stem && shard.suffix == absl::StrCat(variant, extension);
}

std::optional<IndexName> ParseIndexName(absl::string_view name) {
  constexpr absl::string_view kIndex = ".index";
  if (!absl::ConsumeSuffix(&name, ".json")) return std::nullopt;
  const size_t index = name.rfind(kIndex);
  if (index == absl::string_view::npos) return std::nullopt;
  const absl::string_view variant = name.substr(index + kIndex.size());
  if (!variant.empty() && variant[0] != '.') return std::nullopt;
  absl::string_view stem = name.substr(0, index);
  for (const absl::string_view extension : {".safetensors", ".bin"}) {
    if (absl::ConsumeSuffix(&stem, extension) && !stem.empty()) {
      return IndexName{std::string(stem), std::string(extension), std::string(variant)};
    }
  }
  return std::nullopt;
}

bool IsRankSlice(absl::string_view name) {
  const std::optional<ShardName> shard = ParseShardName(name);
  if (!shard || shard->suffix != ".safetensors") return false;
  absl::string_view stem = shard->stem;
  if (!absl::ConsumePrefix(&stem, "shard-")) return false;
  const absl::string_view rank = LeadingDigits(stem);
  return rank.size() >= kDigitsMin && stem.substr(rank.size()) == "-model";
}

std::string ShardFileName(absl::string_view stem, uint64_t index, uint64_t count,
                          absl::string_view extension) {
  if (count == 1) return absl::StrCat(stem, extension);
  return absl::StrCat(stem, "-", ZeroPadded(index + 1, kDigitsMin), kOf,
                      ZeroPadded(count, kDigitsMin), extension);
}

absl::Status CheckShardFileName(absl::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
  if (plain && !name.empty() && name[0] != '.' && name.size() <= kNameBytesMax) {
    return absl::OkStatus();
  }
  return UnsafeError("a shard is called ", QuotedKey(name),
                     ", want a plain file name (letters, digits, . _ -), never a path");
}

absl::Status CheckSeries(const std::vector<std::string>& names) {
  std::map<std::pair<std::string, std::string>, Series> all;
  for (const std::string& name : names) {
    const std::optional<ShardName> shard = ParseShardName(name);
    if (!shard) continue;
    RETURN_IF_ERROR(AddToSeries(name, *shard, &all[{shard->stem, shard->suffix}]));
  }
  for (const auto& [name, series] : all) RETURN_IF_ERROR(CheckNoGap(series));
  return absl::OkStatus();
}

std::string NamesText(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < kNamed; ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ", ", Printable(names[i]));
  }
  if (names.size() > kNamed) absl::StrAppend(&out, " and ", names.size() - kNamed, " more");
  return out;
}

}  // namespace ballast

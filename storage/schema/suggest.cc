#include "storage/schema/suggest.h"

#include <re2/re2.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ballast {
namespace {

constexpr size_t kPrefixSegmentsMax = 4;
constexpr size_t kComparedKeyBytesMax = 256;
constexpr size_t kNeighbours = 8;           // looked at on each side, in key order
constexpr uint64_t kCellsMax = 20'000'000;  // of edit distance tables, altogether

using KeySet = absl::flat_hash_set<absl::string_view>;

// A prefix P that all of `longer` have, so that some key of `longer` without it is
// in `shorter`, and at least half of them are; "" if there is none.
std::string CommonPrefix(const std::vector<absl::string_view>& longer, const KeySet& shorter) {
  if (longer.empty() || shorter.empty()) return "";
  const absl::string_view first = longer[0];
  size_t end = 0;
  for (size_t segment = 0; segment < kPrefixSegmentsMax; ++segment) {
    end = first.find('.', end);
    if (end == absl::string_view::npos) return "";
    const absl::string_view prefix = first.substr(0, ++end);
    size_t found = 0;
    for (const absl::string_view key : longer) {
      if (!absl::StartsWith(key, prefix)) return "";
      found += shorter.contains(key.substr(prefix.size()));
    }
    if (found > 0 && 2 * found >= longer.size()) return std::string(prefix);
  }
  return "";
}

// Shell quotes for one argument.
std::string ShellQuoted(absl::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

void SuggestPrefix(const std::vector<absl::string_view>& missing,
                   const std::vector<absl::string_view>& unexpected, Report* report) {
  const KeySet missing_set(missing.begin(), missing.end());
  const KeySet unexpected_set(unexpected.begin(), unexpected.end());
  if (const std::string prefix = CommonPrefix(unexpected, missing_set); !prefix.empty()) {
    const std::string rule = ShellQuoted(absl::StrCat(RE2::QuoteMeta(prefix), "(.*)=\\1"));
    for (size_t i = 0; i < unexpected.size(); ++i) {
      report->unexpected[i].suggestion = absl::StrCat("every unexpected key has the prefix ",
                                                      QuotedKey(prefix), "; --rename ", rule);
    }
    for (size_t i = 0; i < missing.size(); ++i) {
      const std::string there = absl::StrCat(prefix, missing[i]);
      if (!unexpected_set.contains(there)) continue;
      report->missing[i].suggestion = absl::StrCat("found as ", QuotedKey(there));
    }
    return;
  }
  if (const std::string prefix = CommonPrefix(missing, unexpected_set); !prefix.empty()) {
    const std::string rule = ShellQuoted(absl::StrCat("(.*)=", prefix, "\\1"));
    for (size_t i = 0; i < missing.size(); ++i) {
      report->missing[i].suggestion =
          absl::StrCat("every missing key has the prefix ", QuotedKey(prefix), "; --rename ", rule);
    }
    for (size_t i = 0; i < unexpected.size(); ++i) {
      const std::string want = absl::StrCat(prefix, unexpected[i]);
      if (!missing_set.contains(want)) continue;
      report->unexpected[i].suggestion = absl::StrCat("expected as ", QuotedKey(want));
    }
  }
}

// dtype and shape, if the schema fixes them; "" otherwise.
std::string Signature(const SchemaEntry& entry) {
  if (!entry.dtype) return "";
  std::string out(DTypeName(*entry.dtype));
  for (const SchemaDim& dim : entry.shape) {
    if (dim.size < 0) return "";
    absl::StrAppend(&out, " ", dim.size);
  }
  return out;
}

std::string Signature(const TensorSpec& spec) {
  std::string out(DTypeName(spec.dtype));
  for (const uint64_t dim : spec.shape) absl::StrAppend(&out, " ", dim);
  return out;
}

// Unexpected tensors of one dtype and shape, sorted by key; looks for the name
// nearest to a missing one among its neighbours in that order.
class NameFinder {
 public:
  explicit NameFinder(const std::vector<TensorSpec>& unexpected) : unexpected_(unexpected) {
    for (uint32_t i = 0; i < unexpected.size(); ++i) {
      buckets_[Signature(unexpected[i])].push_back(i);
    }
    for (auto& [signature, bucket] : buckets_) {
      std::sort(bucket.begin(), bucket.end(),
                [&](uint32_t a, uint32_t b) { return unexpected[a].key < unexpected[b].key; });
    }
  }

  // The index of the tensor with the most similar key, or -1.
  int64_t Find(const SchemaEntry& missing) {
    const auto it = buckets_.find(Signature(missing));
    if (it == buckets_.end()) return -1;
    const std::vector<uint32_t>& bucket = it->second;
    const auto at = std::lower_bound(
        bucket.begin(), bucket.end(), missing.key,
        [&](uint32_t i, const std::string& key) { return unexpected_[i].key < key; });
    const size_t middle = at - bucket.begin();
    const size_t begin = middle - std::min(middle, kNeighbours);
    const size_t end = std::min(bucket.size(), middle + kNeighbours);
    int64_t best = -1;
    size_t best_distance = missing.key.size() / 2 + 1;
    for (size_t i = begin; i < end; ++i) {
      const std::string& key = unexpected_[bucket[i]].key;
      if (!Affordable(missing.key, key)) continue;
      const size_t distance = EditDistance(missing.key, key, best_distance);
      if (distance >= best_distance) continue;
      best_distance = distance;
      best = bucket[i];
    }
    return best;
  }

 private:
  bool Affordable(absl::string_view a, absl::string_view b) {
    if (a.size() > kComparedKeyBytesMax || b.size() > kComparedKeyBytesMax) return false;
    cells_ += (a.size() + 1) * (b.size() + 1);
    return cells_ <= kCellsMax;
  }

  const std::vector<TensorSpec>& unexpected_;
  absl::flat_hash_map<std::string, std::vector<uint32_t>> buckets_;
  uint64_t cells_ = 0;
};

}  // namespace

size_t EditDistance(absl::string_view a, absl::string_view b, size_t limit) {
  const size_t difference = std::max(a.size(), b.size()) - std::min(a.size(), b.size());
  if (difference >= limit) return limit;
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    size_t smallest = row[0];
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
      smallest = std::min(smallest, row[j + 1]);
    }
    if (smallest >= limit) return limit;
  }
  return std::min(row[b.size()], limit);
}

void SuggestNames(const std::vector<const SchemaEntry*>& missing,
                  const std::vector<TensorSpec>& unexpected, Report* report) {
  if (missing.empty() || unexpected.empty()) return;
  std::vector<absl::string_view> missing_keys;
  for (const SchemaEntry* entry : missing) missing_keys.push_back(entry->key);
  std::vector<absl::string_view> unexpected_keys;
  for (const TensorSpec& spec : unexpected) unexpected_keys.push_back(spec.key);
  SuggestPrefix(missing_keys, unexpected_keys, report);
  NameFinder finder(unexpected);
  for (size_t i = 0; i < missing.size(); ++i) {
    if (!report->missing[i].suggestion.empty()) continue;
    const int64_t found = finder.Find(*missing[i]);
    if (found < 0) continue;
    report->missing[i].suggestion =
        absl::StrCat("did you mean ", QuotedKey(unexpected[found].key), "?");
    std::string& back = report->unexpected[found].suggestion;
    if (back.empty()) back = absl::StrCat("did you mean ", QuotedKey(missing[i]->key), "?");
  }
}

std::string SuggestShape(const SchemaEntry& expected, const TensorSpec& found) {
  uint64_t want = 1;
  for (const SchemaDim& dim : expected.shape) {
    if (dim.size < 0 || __builtin_mul_overflow(want, static_cast<uint64_t>(dim.size), &want)) {
      return "";
    }
  }
  uint64_t have = 1;
  for (const uint64_t dim : found.shape) {
    if (__builtin_mul_overflow(have, dim, &have)) return "";
  }
  if (want != have || want == 0) return "";
  if (expected.shape.empty() || found.shape.empty()) {
    return absl::StrCat("one element in both; some releases save ",
                        absl::EndsWith(expected.key, "num_batches_tracked") ? "num_batches_tracked"
                                                                            : "such a scalar",
                        " as [1] for []");
  }
  if (expected.shape.size() == 2 && found.shape.size() == 2 &&
      static_cast<uint64_t>(expected.shape[0].size) == found.shape[1]) {
    return "looks transposed";
  }
  return "same number of elements, another shape";
}

}  // namespace ballast

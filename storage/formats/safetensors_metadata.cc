#include "storage/formats/safetensors_metadata.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "storage/base/status.h"
#include "storage/base/utf8.h"
#include "storage/formats/json_text.h"
#include "storage/formats/manifest_json.h"
#include "storage/formats/strict_json.h"

namespace ballast {
namespace {

constexpr absl::string_view kWhere = "safetensors header";
constexpr size_t kLeafJsonBytesMax = 64 << 10;
constexpr size_t kLeafTextBytesMax = 160;

// [["a", "b"], …]
class TiesHandler : public StrictJsonHandler {
 public:
  bool start_array(std::size_t) override {
    if (++depth_ == 2) groups_.emplace_back();
    return depth_ <= 2;
  }
  bool end_array() override { return depth_-- > 0; }
  bool string(string_t& key) override {
    if (depth_ == 2) groups_.back().push_back(std::move(key));
    return depth_ == 2;
  }
  const std::vector<std::vector<std::string>>& groups() const { return groups_; }

 private:
  int depth_ = 0;
  std::vector<std::vector<std::string>> groups_;
};

// {"<key>": {"saved_offsets": [0, 0]}, …}: stops at anything but a zero.
class ZeroOffsetsHandler : public ObjectOfObjectsHandler {
 public:
  bool number_integer(number_integer_t) override { return false; }
  bool number_unsigned(number_unsigned_t value) override { return value == 0; }
  bool number_float(number_float_t, const string_t&) override { return false; }
};

// The entries of one declared group, or empty with a reason in `why`.
std::vector<uint32_t> ResolveGroup(const std::vector<std::string>& keys,
                                   const absl::flat_hash_map<absl::string_view, uint32_t>& index,
                                   const SafetensorsHeader& header,
                                   const std::vector<uint32_t>& order, std::string* why) {
  std::vector<uint32_t> group;
  for (const std::string& key : keys) {
    const auto it = index.find(key);
    if (it == index.end()) {
      *why = absl::StrCat("there is no tensor ", QuotedKey(key));
      return {};
    }
    group.push_back(it->second);
    const TensorSpec& first = header.tensors[order[group[0]]].spec;
    const TensorSpec& spec = header.tensors[order[it->second]].spec;
    if (spec.dtype != first.dtype || spec.shape != first.shape) {
      *why =
          absl::StrCat(QuotedKey(first.key), " and ", QuotedKey(key), " differ in dtype or shape");
      return {};
    }
  }
  std::sort(group.begin(), group.end());
  if (group.size() < 2 || std::adjacent_find(group.begin(), group.end()) != group.end()) {
    *why = "a group needs two or more different keys";
    return {};
  }
  return group;
}

void ReadTies(absl::string_view text, const SafetensorsHeader& header,
              const std::vector<uint32_t>& order, SourceStateDict* dict) {
  TiesHandler handler;
  if (!ParseJson(text, &handler)) {
    dict->warnings.push_back(
        absl::StrCat(kWhere, ": ", kTiesMember, " is not an array of arrays of keys, and ignored"));
    return;
  }
  absl::flat_hash_map<absl::string_view, uint32_t> index;
  for (uint32_t i = 0; i < order.size(); ++i) index[header.tensors[order[i]].spec.key] = i;
  std::vector<bool> tied(order.size());
  std::string why;
  size_t dropped = 0;
  for (const std::vector<std::string>& keys : handler.groups()) {
    std::vector<uint32_t> group = ResolveGroup(keys, index, header, order, &why);
    const bool again = std::any_of(group.begin(), group.end(), [&](uint32_t i) { return tied[i]; });
    if (again) why = "a key is in two groups";
    if (group.empty() || again) {
      ++dropped;
      continue;
    }
    for (const uint32_t i : group) tied[i] = true;
    dict->ties.push_back(std::move(group));
  }
  std::sort(dict->ties.begin(), dict->ties.end());
  if (dropped > 0) {
    dict->warnings.push_back(absl::StrCat(kWhere, ": ", dropped, " of the groups in ", kTiesMember,
                                          " ignored, the last because ", why));
  }
}

absl::Status CheckSharding(absl::string_view text) {
  ZeroOffsetsHandler handler;
  if (ParseJson(text, &handler)) return absl::OkStatus();
  return UnsupportedError(kWhere,
                          ": DCP_SHARDING_INFO says that the tensors are slices of bigger "
                          "ones; merge the shards first (torch.distributed.checkpoint."
                          "consolidate_hf_safetensors)");
}

// Which library wrote it, by the customary "format" member.
std::string WriterOf(absl::string_view format) {
  if (format == "pt") return "safetensors.torch";
  if (format == "np") return "safetensors.numpy";
  if (format == "tf") return "safetensors.tensorflow";
  if (format == "flax") return "safetensors.flax";
  if (format == "mlx") return "mlx";
  return "";
}

void ReadModuleMetadata(const std::string& text, const Limits& limits, SourceStateDict* dict) {
  if (text.size() <= limits.metadata_bytes_max / 2 && IsModuleMetadata(text)) {
    dict->metadata_json = text;
    return;
  }
  dict->warnings.push_back(absl::StrCat(kWhere, ": ", kMetadataMember,
                                        " is not an object of objects, or too long, and ignored"));
}

// Leaves are kept up to half of metadata_bytes_max; the rest is only counted.
class LeafCollector {
 public:
  LeafCollector(const Limits& limits, SourceStateDict* dict)
      : left_(limits.metadata_bytes_max / 2), dict_(dict) {}
  ~LeafCollector() {
    if (omitted_ == 0) return;
    dict_->warnings.push_back(
        absl::StrCat(kWhere, ": ", omitted_, " members of __metadata__ are too many to keep"));
  }

  void Add(const std::string& name, const std::string& text) {
    constexpr uint64_t kOverheadBytes = 64;
    SourceLeaf leaf{absl::StrCat("__metadata__.", name), "str", "", ""};
    if (text.size() <= kLeafJsonBytesMax) {
      leaf.json = JsonString(text);
    } else {
      leaf.text = absl::StrCat(Printable(Utf8Prefix(text, kLeafTextBytesMax)), "… (", text.size(),
                               " bytes)");
    }
    const uint64_t cost = kOverheadBytes + leaf.path.size() + leaf.json.size() + leaf.text.size();
    if (cost > left_) {
      ++omitted_;
      return;
    }
    left_ -= cost;
    dict_->leaves.push_back(std::move(leaf));
  }

 private:
  uint64_t left_;
  SourceStateDict* dict_;
  uint64_t omitted_ = 0;
};

}  // namespace

absl::Status ReadSafetensorsMetadata(const SafetensorsHeader& header,
                                     const std::vector<uint32_t>& order, const Limits& limits,
                                     SourceStateDict* dict) {
  LeafCollector leaves(limits, dict);
  for (const auto& [name, text] : header.metadata) {
    if (name == kTiesMember) {
      ReadTies(text, header, order, dict);
    } else if (name == kMetadataMember) {
      ReadModuleMetadata(text, limits, dict);
    } else {
      if (name == "DCP_SHARDING_INFO") RETURN_IF_ERROR(CheckSharding(text));
      if (name == "format") dict->writer = WriterOf(text);
      // "pt" says who wrote it, and nothing else: that is kept as the writer.
      if (name != "format" || dict->writer.empty()) leaves.Add(name, text);
    }
  }
  return absl::OkStatus();
}

std::string TiesText(const Ties& ties, const std::vector<absl::string_view>& keys) {
  std::string out = "[";
  for (const std::vector<uint32_t>& group : ties) {
    if (out.size() > 1) out += ',';
    char before = '[';
    for (const uint32_t index : group) {
      out += before;
      out += JsonString(keys[index]);
      before = ',';
    }
    out += ']';
  }
  out += ']';
  return out;
}

}  // namespace ballast

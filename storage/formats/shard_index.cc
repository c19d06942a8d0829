#include "storage/formats/shard_index.h"

#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"
#include "storage/formats/shard_names.h"
#include "storage/model/tensor_spec.h"

namespace ballast {
namespace {

constexpr absl::string_view kWhere = "index of shards";
constexpr absl::string_view kWeightMap = "weight_map";
constexpr absl::string_view kMetadata = "metadata";
constexpr absl::string_view kTotalSize = "total_size";
constexpr int kDepthMax = 100;
constexpr size_t kLeafJsonBytesMax = 64 << 10;
constexpr uint64_t kLeafOverheadBytes = 64;

// Follows the events of the JSON parser; what the structure does not have stops it with
// a status, but for members that nobody knows.
class IndexHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  IndexHandler(absl::string_view extension, const Limits& limits, ShardIndex* out)
      : extension_(extension), limits_(limits), out_(out) {}

  const absl::Status& status() const { return status_; }
  bool has_weight_map() const { return has_weight_map_; }
  bool has_total_size() const { return members_.contains(kTotalSize); }

  bool null() override { return Scalar("NoneType", "null"); }
  bool boolean(bool value) override { return Scalar("bool", value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return Scalar("int", absl::StrCat(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kMember && member_ == kTotalSize) {
      out_->total_size_bytes = value;
      return Go(State::kMetadata);
    }
    return Scalar("int", absl::StrCat(value));
  }
  bool number_float(number_float_t, const string_t& text) override { return Scalar("float", text); }
  bool binary(binary_t&) override { return Scalar("bytes", ""); }
  bool string(string_t& text) override {
    if (state_ == State::kFile) return AddKey(text);
    return Scalar("str", text.size() > kLeafJsonBytesMax ? "" : JsonString(text));
  }
  bool start_object(std::size_t) override;
  bool end_object() override;
  bool start_array(std::size_t) override { return Nested("list"); }
  bool end_array() override { return EndNested(); }
  bool key(string_t& name) override;
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& error) override {
    return Fail(MalformedError(kWhere, ": is not JSON at byte ", position, ": ",
                               JsonErrorText(error.what())));
  }

 private:
  // What comes next.
  enum class State {
    kStart,          // the index object
    kTop,            // a member, or the end of the index
    kMetadataValue,  // the object behind "metadata"
    kMetadata,       // a member of it, or its end
    kMember,         // the value of one
    kMapValue,       // the object behind "weight_map"
    kMap,            // a key, or its end
    kFile,           // a file name
    kUnknown,        // anything: the value of a member that is not known
  };

  bool Go(State next) {
    state_ = next;
    return true;
  }
  bool Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
    return false;
  }
  bool Unexpected(absl::string_view type);
  bool Scalar(absl::string_view type, std::string json);
  bool Nested(absl::string_view type);
  bool EndNested();
  bool BeginMember(const std::string& name);
  bool AddLeaf(absl::string_view type, std::string json);
  bool AddKey(const std::string& file);
  absl::StatusOr<uint32_t> FileNumber(const std::string& file);

  std::string extension_;
  const Limits& limits_;
  ShardIndex* out_;
  absl::Status status_;
  State state_ = State::kStart;
  int depth_ = 0;  // inside of a value that is not known
  bool has_weight_map_ = false;
  uint64_t leaf_bytes_ = 0;
  std::string member_;
  absl::flat_hash_set<std::string> names_;    // top-level members
  absl::flat_hash_set<std::string> members_;  // of the metadata
  absl::flat_hash_set<std::string> keys_;
  absl::flat_hash_map<std::string, uint32_t> files_;
};

bool IndexHandler::Unexpected(absl::string_view type) {
  switch (state_) {
    case State::kMetadataValue:
      return Fail(MalformedError(kWhere, ": metadata is of type ", type, ", want an object"));
    case State::kMapValue:
      return Fail(MalformedError(kWhere, ": weight_map is of type ", type, ", want an object"));
    case State::kFile:
      return Fail(MalformedError(kWhere, ": ", QuotedKey(member_), " leads to a value of type ",
                                 type, ", want the name of a file"));
    default:
      return Fail(MalformedError(kWhere, ": is of type ", type, ", want an object"));
  }
}

bool IndexHandler::Scalar(absl::string_view type, std::string json) {
  if (state_ == State::kMember) {
    return AddLeaf(type, std::move(json)) && (depth_ > 0 || Go(State::kMetadata));
  }
  if (state_ != State::kUnknown) return Unexpected(type);
  return depth_ > 0 || Go(State::kTop);
}

// Leaves are kept up to half of metadata_bytes_max, as those of a safetensors header.
bool IndexHandler::AddLeaf(absl::string_view type, std::string json) {
  if (depth_ > 0) return true;
  if (member_ == kTotalSize) {
    out_->warnings.push_back(absl::StrCat(kWhere, ": total_size is of type ", type,
                                          ", want a number of bytes; it is not used"));
    return true;
  }
  SourceLeaf leaf{absl::StrCat("__metadata__.", member_), std::string(type), std::move(json)};
  leaf_bytes_ += kLeafOverheadBytes + leaf.path.size() + leaf.json.size();
  if (leaf_bytes_ > limits_.metadata_bytes_max / 2) {
    return Fail(LimitError(kWhere, ": metadata is longer than ", limits_.metadata_bytes_max / 2,
                           " bytes (half of metadata_bytes_max)"));
  }
  out_->leaves.push_back(std::move(leaf));
  return true;
}

bool IndexHandler::Nested(absl::string_view type) {
  if (state_ != State::kMember && state_ != State::kUnknown) return Unexpected(type);
  if (state_ == State::kMember && !AddLeaf(type, "")) return false;
  if (++depth_ <= kDepthMax) return true;
  return Fail(LimitError(kWhere, ": is nested more than ", kDepthMax, " levels deep"));
}

bool IndexHandler::EndNested() {
  if (--depth_ > 0) return true;
  return Go(state_ == State::kMember ? State::kMetadata : State::kTop);
}

bool IndexHandler::start_object(std::size_t) {
  switch (state_) {
    case State::kStart:
      return Go(State::kTop);
    case State::kMetadataValue:
      return Go(State::kMetadata);
    case State::kMapValue:
      return Go(State::kMap);
    default:
      return Nested("dict");
  }
}

bool IndexHandler::end_object() {
  if (depth_ > 0) return EndNested();
  return Go(State::kTop);  // the end of metadata, of weight_map, or of everything
}

bool IndexHandler::key(string_t& name) {
  if (depth_ > 0) return true;
  if (state_ == State::kTop) return BeginMember(name);
  member_ = name;
  if (state_ == State::kMetadata) {
    if (members_.insert(name).second) return Go(State::kMember);
    return Fail(MalformedError(kWhere, ": metadata has ", QuotedKey(name), " twice"));
  }
  if (absl::Status fit = CheckKey(name, limits_); !fit.ok()) return Fail(WithContext(fit, kWhere));
  if (!keys_.insert(name).second) {
    return Fail(MalformedError(kWhere, ": weight_map has key ", QuotedKey(name), " twice"));
  }
  if (keys_.size() > limits_.entries_max) {
    return Fail(LimitError(kWhere, ": has more than ", limits_.entries_max, " keys (entries_max)"));
  }
  return Go(State::kFile);
}

bool IndexHandler::BeginMember(const std::string& name) {
  if (!names_.insert(name).second) {
    return Fail(MalformedError(kWhere, ": has ", QuotedKey(name), " twice"));
  }
  if (name == kMetadata) return Go(State::kMetadataValue);
  if (name == kWeightMap) {
    has_weight_map_ = true;
    return Go(State::kMapValue);
  }
  if (names_.size() <= 3) {
    out_->warnings.push_back(
        absl::StrCat(kWhere, ": member ", QuotedKey(name), " is not known, and ignored"));
  }
  return Go(State::kUnknown);
}

absl::StatusOr<uint32_t> IndexHandler::FileNumber(const std::string& file) {
  if (const auto it = files_.find(file); it != files_.end()) return it->second;
  RETURN_IF_ERROR(CheckShardFileName(file));
  for (const absl::string_view known : {".safetensors", ".bin"}) {
    if (extension_.empty() && absl::EndsWith(file, known)) extension_ = std::string(known);
  }
  if (extension_.empty() || !absl::EndsWith(file, extension_)) {
    if (extension_ == ".safetensors") {
      return UnsafeError("a shard is called ", QuotedKey(file),
                         ", want .safetensors: an index of safetensors must not lead to pickles");
    }
    return MalformedError("a shard is called ", QuotedKey(file), ", want ",
                          extension_.empty() ? ".safetensors or .bin" : extension_);
  }
  if (files_.size() == limits_.shards_max) {
    return LimitError("has more than ", limits_.shards_max, " shards (shards_max)");
  }
  out_->files.push_back(file);
  const auto number = static_cast<uint32_t>(out_->files.size() - 1);
  files_.emplace(file, number);
  return number;
}

bool IndexHandler::AddKey(const std::string& file) {
  const absl::StatusOr<uint32_t> number = FileNumber(file);
  if (!number.ok()) {
    return Fail(WithContext(number.status(), absl::StrCat(kWhere, ": ", QuotedKey(member_))));
  }
  out_->keys.push_back({std::move(member_), *number});
  return Go(State::kMap);
}

void SortFiles(ShardIndex* index) {
  std::vector<uint32_t> order(index->files.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return index->files[a] < index->files[b]; });
  std::vector<uint32_t> position(order.size());
  std::vector<std::string> sorted;
  for (const uint32_t old : order) {
    position[old] = static_cast<uint32_t>(sorted.size());
    sorted.push_back(std::move(index->files[old]));
  }
  index->files = std::move(sorted);
  for (ShardIndex::Key& key : index->keys) key.file = position[key.file];
}

// Stops at a member "weight_map" of the outermost object.
class WeightMapFinder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool found() const { return found_; }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return ++depth_ > 0; }
  bool end_object() override { return depth_-- > 0; }
  bool start_array(std::size_t) override { return ++depth_ > 0; }
  bool end_array() override { return depth_-- > 0; }
  bool key(string_t& name) override {
    found_ = depth_ == 1 && name == kWeightMap;
    return !found_;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  int depth_ = 0;
  bool found_ = false;
};

}  // namespace

absl::StatusOr<ShardIndex> ParseShardIndex(absl::string_view json, absl::string_view extension,
                                           const Limits& limits) {
  if (json.size() > limits.shard_index_bytes_max) {
    return LimitError(kWhere, ": is ", json.size(), " bytes long, want at most ",
                      limits.shard_index_bytes_max, " (shard_index_bytes_max)");
  }
  RETURN_IF_ERROR(CheckJsonObjectText(json, kWhere));
  ShardIndex index;
  IndexHandler handler(extension, limits, &index);
  const bool done = nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &handler);
  RETURN_IF_ERROR(handler.status());
  if (!done) return MalformedError(kWhere, ": is not JSON");
  if (!handler.has_weight_map()) {
    return MalformedError(kWhere, ": has no weight_map, want {\"weight_map\": {key: file name}}");
  }
  if (index.files.empty()) return MalformedError(kWhere, ": weight_map is empty, want keys");
  if (!handler.has_total_size()) {
    index.warnings.push_back(absl::StrCat(kWhere, ": has no total_size"));
  }
  SortFiles(&index);
  return index;
}

bool HasWeightMap(absl::string_view json) {
  WeightMapFinder finder;
  nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &finder);
  return finder.found();
}

std::string ShardIndexText(uint64_t total_size_bytes,
                           std::vector<std::pair<std::string, std::string>> weight_map) {
  std::sort(weight_map.begin(), weight_map.end());
  std::string out = absl::StrCat("{\n  \"metadata\": {\n    \"total_size\": ", total_size_bytes,
                                 "\n  },\n  \"weight_map\": {\n");
  for (size_t i = 0; i < weight_map.size(); ++i) {
    absl::StrAppend(&out, "    ", JsonString(weight_map[i].first), ": ",
                    JsonString(weight_map[i].second), i + 1 < weight_map.size() ? ",\n" : "\n");
  }
  return out += "  }\n}\n";
}

}  // namespace ballast

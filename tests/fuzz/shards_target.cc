// An input is a line of file names with `/` between them, then the text of an index.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "storage/formats/shard_index.h"
#include "storage/formats/shard_names.h"
#include "storage/formats/weights_folder.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

constexpr size_t kNamesMax = 64;

using KeyToFile = std::vector<std::pair<std::string, std::string>>;

KeyToFile WeightMapOf(const ShardIndex& index) {
  KeyToFile out;
  for (const ShardIndex::Key& key : index.keys) out.emplace_back(key.key, index.files[key.file]);
  return out;
}

void CheckFacts(const ShardIndex& index) {
  const std::set<std::string> files(index.files.begin(), index.files.end());
  Require(files.size() == index.files.size(), "a file is named once");
  Require(std::vector<std::string>(files.begin(), files.end()) == index.files, "files ascend");
  std::set<uint32_t> used;
  std::set<std::string> keys;
  for (const ShardIndex::Key& key : index.keys) {
    Require(key.file < index.files.size(), "a key leads to a file", key.key);
    Require(CheckKey(key.key, SmallLimits()).ok(), "a key is one", key.key);
    Require(keys.insert(key.key).second, "a key stands once", key.key);
    used.insert(key.file);
  }
  Require(used.size() == index.files.size(), "a file has keys");
  for (const std::string& file : index.files) {
    Require(CheckShardFileName(file).ok() && file.find('/') == std::string::npos,
            "a file is no path", file);
  }
  for (const SourceLeaf& leaf : index.leaves) CheckJson(leaf.json, true);
}

void CheckIndex(absl::string_view json, absl::string_view extension) {
  const auto index = ParseShardIndex(json, extension, SmallLimits());
  if (!index.ok()) return CheckRefusal(index.status());
  CheckFacts(*index);
  Require(HasWeightMap(json), "an index has a weight_map");
  KeyToFile map = WeightMapOf(*index);
  const std::string text = ShardIndexText(index->total_size_bytes.value_or(0), map);
  const auto again = ParseShardIndex(text, extension, Limits());
  Require(again.ok() && again->files == index->files, "an index's text is that index", text);
  std::sort(map.begin(), map.end());
  Require(WeightMapOf(*again) == map, "an index's text has its keys", text);
}

void CheckNames(absl::string_view line) {
  std::vector<FolderEntry> folder;
  std::set<std::string> names;
  for (const absl::string_view name : absl::StrSplit(line, '/', absl::SkipEmpty())) {
    if (folder.size() == kNamesMax || !names.emplace(name).second) continue;
    folder.push_back({std::string(name), name.back() == '+'});
    const auto shard = ParseShardName(name);
    if (shard) Require(shard->Sibling(shard->number) == name, "a shard's name is its own", name);
  }
  const auto choice = ChooseWeights(folder);
  if (!choice.ok()) return;
  Require(choice->index.empty() != choice->files.empty(), "an index, or files");
  for (const std::string& file : choice->files) Require(names.count(file) == 1, "a file is there");
  if (!choice->index.empty()) Require(names.count(choice->index) == 1, "the index is there");
}

}  // namespace

void FuzzShards(absl::string_view input) {
  const size_t end = input.find('\n');
  CheckNames(input.substr(0, end));
  const absl::string_view json =
      end == absl::string_view::npos ? absl::string_view() : input.substr(end + 1);
  for (const absl::string_view extension : {"", ".safetensors", ".bin"}) {
    CheckIndex(json, extension);
  }
}

}  // namespace ballast::fuzz

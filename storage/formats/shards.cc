#include "storage/formats/shards.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"
#include "storage/formats/reader.h"

namespace ballast {
namespace {

using Part = ConcatenatedSource::Part;

constexpr size_t kNamed = 5;

// Where the index says that keys are, and which of them have been met.
class IndexCheck {
 public:
  explicit IndexCheck(const ShardIndex* index) : index_(index) {
    if (index == nullptr) return;
    for (const ShardIndex::Key& key : index->keys) left_[key.key] = key.file;
  }

  absl::Status Take(const std::string& key, uint32_t file) {
    if (index_ == nullptr) return absl::OkStatus();
    const auto it = left_.find(key);
    if (it == left_.end()) {
      return MalformedError("key ", QuotedKey(key), " is in ", index_->files[file],
                            ", but not in the index");
    }
    if (it->second != file) {
      return MalformedError("key ", QuotedKey(key), " is in ", index_->files[file],
                            ", but the index says ", index_->files[it->second]);
    }
    left_.erase(it);
    return absl::OkStatus();
  }

  // Errors: names the first keys that no shard has.
  absl::Status CheckNoneLeft() const {
    if (left_.empty()) return absl::OkStatus();
    std::vector<std::string> named;
    for (const ShardIndex::Key& key : index_->keys) {
      if (named.size() == kNamed || left_.count(key.key) == 0) continue;
      named.push_back(absl::StrCat(QuotedKey(key.key), " (", index_->files[key.file], ")"));
    }
    return MalformedError("the index has ", left_.size(), left_.size() == 1 ? " key" : " keys",
                          " that no shard has: ", absl::StrJoin(named, ", "),
                          left_.size() > named.size() ? " …" : "");
  }

 private:
  const ShardIndex* index_;  // Must outlive this; may be null.
  absl::flat_hash_map<absl::string_view, uint32_t> left_;
};

// Warnings that many shards share become one line.
class WarningCollector {
 public:
  void Add(const std::string& shard, const std::string& text) {
    const auto [it, fresh] = places_.try_emplace(text, counted_.size());
    if (fresh) counted_.push_back({absl::StrCat(Printable(shard), ": ", text), 0});
    ++counted_[it->second].shards;
  }
  void AppendTo(std::vector<std::string>* out) const {
    for (const Counted& warning : counted_) {
      out->push_back(warning.shards == 1 ? warning.text
                                         : absl::StrCat(warning.text, " (and so in ",
                                                        warning.shards - 1, " more)"));
    }
  }

 private:
  struct Counted {
    std::string text;
    size_t shards = 0;
  };
  std::vector<Counted> counted_;
  absl::flat_hash_map<std::string, size_t> places_;
};

// `_metadata` of several shards: as it is if all have the same, else the members of all,
// where the first one of a name counts.
class MetadataUnion {
 public:
  void Add(const std::string& text) {
    if (text.empty() || text == last_) return;
    last_ = text;
    if (members_.empty()) whole_ = text;
    const auto object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) return;
    for (const auto& [name, value] : object.items()) {
      if (!names_.insert(name).second) continue;
      members_.push_back(absl::StrCat(JsonString(name), ":", value.dump()));
      size_bytes_ += members_.back().size() + 1;
    }
    if (whole_ != text) whole_.clear();
  }
  uint64_t size_bytes() const { return size_bytes_; }
  std::string Text() const {
    if (!whole_.empty() || members_.empty()) return whole_;
    return absl::StrCat("{", absl::StrJoin(members_, ","), "}");
  }

 private:
  std::string whole_;  // while there is one text only
  std::string last_;
  absl::flat_hash_set<std::string> names_;
  std::vector<std::string> members_;
  uint64_t size_bytes_ = 0;
};

class ShardMerger {
 public:
  ShardMerger(const ShardIndex* index, const Limits& limits)
      : index_(index), limits_(limits), check_(index) {}

  absl::Status Add(const Part& part, uint32_t file, SourceStateDict shard);
  absl::StatusOr<SourceStateDict> Finish();

 private:
  absl::Status AddEntries(const Part& part, uint32_t file, SourceStateDict* shard);
  absl::Status AddFacts(const Part& part, SourceStateDict* shard);
  absl::Status AddLeaf(SourceLeaf leaf);
  void CheckTotalSize();

  const ShardIndex* const index_;
  const Limits& limits_;
  IndexCheck check_;
  SourceStateDict all_;
  absl::flat_hash_map<std::string, const Part*> keys_;
  absl::flat_hash_set<std::string> leaves_, globals_;
  uint64_t leaf_bytes_ = 0;
  MetadataUnion metadata_;
  WarningCollector warnings_;
};

absl::Status ShardMerger::Add(const Part& part, uint32_t file, SourceStateDict shard) {
  if (file == 0) all_.format = shard.format;
  if (shard.format != all_.format) {
    warnings_.Add(part.name, absl::StrCat("is ", FormatName(shard.format), ", others are ",
                                          FormatName(all_.format)));
  }
  RETURN_IF_ERROR(AddEntries(part, file, &shard));
  return AddFacts(part, &shard);
}

absl::Status ShardMerger::AddEntries(const Part& part, uint32_t file, SourceStateDict* shard) {
  const auto entries_before = static_cast<uint32_t>(all_.entries.size());
  const auto storages_before = static_cast<uint32_t>(all_.storages.size());
  if (shard->entries.size() > limits_.entries_max - entries_before) {
    return LimitError("the shards have more than ", limits_.entries_max, " tensors (entries_max)");
  }
  for (SourceStorage& storage : shard->storages) {
    storage.offset_bytes += part.begin_bytes;
    if (!storage.name.empty()) storage.name = absl::StrCat(part.name, ":", storage.name);
    all_.storages.push_back(std::move(storage));
  }
  for (SourceEntry& entry : shard->entries) {
    const auto [it, fresh] = keys_.try_emplace(entry.spec.key, &part);
    if (!fresh) {
      return MalformedError("key ", QuotedKey(entry.spec.key), " is in two shards, ",
                            it->second->name, " and ", part.name);
    }
    RETURN_IF_ERROR(check_.Take(entry.spec.key, file));
    entry.storage += storages_before;
    all_.entries.push_back(std::move(entry));
  }
  for (std::vector<uint32_t>& group : shard->ties) {
    for (uint32_t& index : group) index += entries_before;
    all_.ties.push_back(std::move(group));
  }
  return absl::OkStatus();
}

absl::Status ShardMerger::AddLeaf(SourceLeaf leaf) {
  constexpr uint64_t kOverheadBytes = 64;
  if (!leaves_.insert(absl::StrCat(leaf.path, "\n", leaf.type, "\n", leaf.json)).second) {
    return absl::OkStatus();
  }
  leaf_bytes_ += kOverheadBytes + leaf.path.size() + leaf.json.size();
  if (leaf_bytes_ > limits_.metadata_bytes_max) {
    return LimitError("the values beside the tensors are more than ", limits_.metadata_bytes_max,
                      " bytes (metadata_bytes_max)");
  }
  all_.leaves.push_back(std::move(leaf));
  return absl::OkStatus();
}

absl::Status ShardMerger::AddFacts(const Part& part, SourceStateDict* shard) {
  if (all_.writer.empty()) all_.writer = std::move(shard->writer);
  metadata_.Add(shard->metadata_json);
  if (metadata_.size_bytes() > limits_.metadata_bytes_max) {
    return LimitError("_metadata of the shards is more than ", limits_.metadata_bytes_max,
                      " bytes (metadata_bytes_max)");
  }
  for (SourceLeaf& leaf : shard->leaves) RETURN_IF_ERROR(AddLeaf(std::move(leaf)));
  for (SourceGlobal& global : shard->globals) {
    if (globals_.insert(global.name).second) all_.globals.push_back(std::move(global));
  }
  for (const std::string& warning : shard->warnings) warnings_.Add(part.name, warning);
  return absl::OkStatus();
}

void ShardMerger::CheckTotalSize() {
  if (!index_->total_size_bytes) return;
  uint64_t all = 0;
  uint64_t once = 0;  // tied tensors once, as they are counted by those who know of ties
  const std::vector<uint32_t> twins = TieRepresentatives(all_.entries.size(), all_.ties);
  for (uint32_t i = 0; i < twins.size(); ++i) {
    const uint64_t size = CheckedTensorBytes(all_.entries[i].spec);
    all += size;
    if (twins[i] == i) once += size;
  }
  if (*index_->total_size_bytes == all || *index_->total_size_bytes == once) return;
  all_.warnings.push_back(absl::StrCat("index of shards: total_size is ", *index_->total_size_bytes,
                                       ", but the tensors have ", once, " bytes"));
}

absl::StatusOr<SourceStateDict> ShardMerger::Finish() {
  RETURN_IF_ERROR(check_.CheckNoneLeft());
  if (index_ != nullptr) {
    for (const SourceLeaf& leaf : index_->leaves) RETURN_IF_ERROR(AddLeaf(leaf));
    all_.warnings = index_->warnings;
    CheckTotalSize();
  }
  warnings_.AppendTo(&all_.warnings);
  all_.metadata_json = metadata_.Text();
  return std::move(all_);
}

}  // namespace

absl::StatusOr<SourceStateDict> ReadShards(const ConcatenatedSource& source,
                                           const ShardIndex* index, Format format,
                                           const Limits& limits) {
  ShardMerger merger(index, limits);
  for (uint32_t i = 0; i < source.parts().size(); ++i) {
    const Part& part = source.parts()[i];
    const bool safetensors = absl::EndsWith(part.name, ".safetensors");
    const Format want = format == Format::kUnknown && safetensors ? Format::kSafetensors : format;
    ASSIGN_OR_RETURN(SourceStateDict shard, ReadStateDict(*part.source, want, limits),
                     Printable(part.name));
    RETURN_IF_ERROR(merger.Add(part, i, std::move(shard)));
  }
  return merger.Finish();
}

}  // namespace ballast

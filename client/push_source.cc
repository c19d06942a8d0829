#include "client/push_source.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/spool_folder.h"
#include "storage/base/status.h"
#include "storage/formats/coverage.h"
#include "storage/formats/reader.h"
#include "storage/schema/key_rules.h"
#include "storage/schema/selection.h"

namespace ballast {
namespace {

class FilePushSource : public PushSource {
 public:
  FilePushSource(WeightsFile weights, const Limits& limits)
      : source_(std::move(weights.source)), dict_(std::move(weights.dict)), limits_(limits) {
    for (const SourceEntry& entry : dict_.entries) facts_.entries.push_back({entry.spec, {}});
    facts_.ties = dict_.ties;
    facts_.format = dict_.format;
    facts_.writer = dict_.writer;
    facts_.metadata_json = dict_.metadata_json;
    facts_.leaves_json = LeavesJson(dict_.leaves);
    warnings_ = dict_.warnings;
    if (const std::string hint = SelectHint(dict_); !hint.empty()) warnings_.push_back(hint);
    if (const std::string hint = AdapterHint(dict_); !hint.empty()) warnings_.push_back(hint);
    for (std::string& warning : LeafWarnings(dict_.leaves)) warnings_.push_back(std::move(warning));
  }

  std::unique_ptr<TensorSource> NewReader() const override {
    return MakeFileTensorSource(source_.get(), &dict_, SpoolFolder(), limits_);
  }
  bool Splittable(uint32_t entry) const override {
    return dict_.storages[dict_.entries[entry].storage].encoding == SourceStorage::Encoding::kRaw;
  }
  absl::Status CheckContainer(const Manifest& manifest) const override;

 private:
  const std::unique_ptr<ByteSource> source_;
  const SourceStateDict dict_;
  const Limits limits_;
};

absl::Status FilePushSource::CheckContainer(const Manifest& manifest) const {
  for (size_t i = 0; i < dict_.entries.size(); ++i) {
    const SourceEntry& entry = dict_.entries[i];
    const SourceStorage& storage = dict_.storages[entry.storage];
    if (!storage.crc32 || !CoversStorage(dict_, entry)) continue;
    if (const uint32_t crc = TensorCrc32(manifest.entries[i]); crc != *storage.crc32) {
      return ChecksumError("record ", Printable(storage.name), " (", QuotedKey(entry.spec.key),
                           "): CRC-32 is ", absl::Hex(crc, absl::kZeroPad8), ", want ",
                           absl::Hex(*storage.crc32, absl::kZeroPad8));
    }
  }
  return VerifyStorages(*source_, UncoveredStorages(dict_), limits_);
}

// Reads the caller's tensors in place. Every chunk holds `lease`, so that it is known
// when the transport has let go of the caller's memory.
class MemoryTensorSource : public TensorSource {
 public:
  MemoryTensorSource(const std::vector<absl::string_view>* bytes, std::shared_ptr<const void> lease)
      : bytes_(bytes), lease_(std::move(lease)) {}
  absl::StatusOr<Chunk> Read(uint32_t entry, uint64_t offset, uint64_t max_bytes) override {
    const uint64_t to_block_end = kBlockBytes - offset % kBlockBytes;
    return Chunk{(*bytes_)[entry].substr(offset, std::min(max_bytes, to_block_end)), lease_};
  }
  bool RawRange(uint32_t, uint64_t*) const override { return false; }

 private:
  const std::vector<absl::string_view>* bytes_;  // Must outlive this.
  const std::shared_ptr<const void> lease_;      // Owners: MemoryPushSource and all chunks.
};

class MemoryPushSource : public PushSource {
 public:
  // Waits until no chunk is left: a call that was cut short may still be sending.
  ~MemoryPushSource() override {
    lease_.reset();
    released_.WaitForNotification();
  }
  void Add(const TensorView& tensor, const std::string& key) {
    TensorSpec spec{key, tensor.dtype, tensor.shape, tensor.kind, Role::kWeights};
    facts_.entries.push_back({std::move(spec), {}});
    bytes_.emplace_back(tensor.bytes.data(), tensor.bytes.size());
  }
  // Once all are added.
  void Finish();
  std::unique_ptr<TensorSource> NewReader() const override {
    return std::make_unique<MemoryTensorSource>(&bytes_, lease_);
  }
  bool Splittable(uint32_t) const override { return true; }
  absl::Status CheckContainer(const Manifest&) const override { return absl::OkStatus(); }

 private:
  std::vector<absl::string_view> bytes_;
  absl::Notification released_;
  std::shared_ptr<const void> lease_{this, [this](const void*) { released_.Notify(); }};
};

void MemoryPushSource::Finish() {
  facts_.format = Format::kTensors;
  absl::flat_hash_map<const char*, std::vector<uint32_t>> by_address;
  for (uint32_t i = 0; i < bytes_.size(); ++i) {
    if (!bytes_[i].empty()) by_address[bytes_[i].data()].push_back(i);
  }
  // Groups of equal address, dtype and shape, in the order of their first member.
  for (uint32_t i = 0; i < bytes_.size(); ++i) {
    if (bytes_[i].empty() || by_address[bytes_[i].data()].empty()) continue;
    std::vector<uint32_t>& here = by_address[bytes_[i].data()];
    std::vector<uint32_t> group, rest;
    for (const uint32_t j : here) {
      const TensorSpec &a = facts_.entries[i].spec, &b = facts_.entries[j].spec;
      (j >= i && a.dtype == b.dtype && a.shape == b.shape ? group : rest).push_back(j);
    }
    here = std::move(rest);
    if (group.size() > 1) facts_.ties.push_back(std::move(group));
  }
}

absl::Status CheckTensor(const TensorView& tensor, const Limits& limits) {
  RETURN_IF_ERROR(CheckKey(tensor.key, limits));
  ASSIGN_OR_RETURN(const uint64_t size, TensorBytes(tensor.dtype, tensor.shape, limits),
                   QuotedKey(tensor.key));
  if (size != tensor.bytes.size()) {
    return MalformedError(QuotedKey(tensor.key), ": memory is ", tensor.bytes.size(),
                          " bytes, want ", size, " for ", DTypeName(tensor.dtype), " ",
                          ShapeText(tensor.shape));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<KeyDecision>> Decide(const KeyRuleOptions& rules,
                                                const std::vector<std::string>& keys,
                                                const Limits& limits) {
  ASSIGN_OR_RETURN(const auto compiled, KeyRules::Compile(rules, limits));
  if (!compiled->empty()) return compiled->ApplyAll(keys);
  std::vector<KeyDecision> all;
  for (const std::string& key : keys) all.push_back({true, key});
  return all;
}

}  // namespace

absl::Status ApplyRules(const KeyRuleOptions& rules, const Limits& limits, SourceStateDict* dict) {
  std::vector<std::string> keys;
  for (const SourceEntry& entry : dict->entries) keys.push_back(entry.spec.key);
  ASSIGN_OR_RETURN(const std::vector<KeyDecision> decisions, Decide(rules, keys, limits));
  std::vector<bool> keep;
  for (size_t i = 0; i < decisions.size(); ++i) {
    keep.push_back(decisions[i].keep);
    if (decisions[i].keep && decisions[i].key != keys[i]) {
      dict->entries[i].spec.key = decisions[i].key;
    }
  }
  KeepEntries(keep, dict);
  dict->metadata_json = SelectMetadata(rules.select, dict->metadata_json);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PushSource>> PushSourceOf(WeightsFile weights,
                                                         const KeyRuleOptions& rules,
                                                         const Limits& limits) {
  RETURN_IF_ERROR(ApplyRules(rules, limits, &weights.dict));
  return std::make_unique<FilePushSource>(std::move(weights), limits);
}

absl::StatusOr<std::unique_ptr<PushSource>> OpenPushTensors(absl::Span<const TensorView> tensors,
                                                            const KeyRuleOptions& rules,
                                                            const Limits& limits) {
  if (tensors.size() > limits.entries_max) {
    return LimitError(tensors.size(), " tensors, want at most ", limits.entries_max,
                      " (entries_max)");
  }
  std::vector<std::string> keys;
  absl::flat_hash_set<absl::string_view> seen;
  for (const TensorView& tensor : tensors) {
    RETURN_IF_ERROR(CheckTensor(tensor, limits));
    if (!seen.insert(tensor.key).second) {
      return MalformedError("key ", QuotedKey(tensor.key), " is there twice");
    }
    keys.push_back(tensor.key);
  }
  ASSIGN_OR_RETURN(const std::vector<KeyDecision> decisions, Decide(rules, keys, limits));
  auto out = std::make_unique<MemoryPushSource>();
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (decisions[i].keep) out->Add(tensors[i], decisions[i].key);
  }
  out->Finish();
  return out;
}

}  // namespace ballast

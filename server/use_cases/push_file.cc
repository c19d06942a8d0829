// The raw way of a push: bytes in some format, parsed here.

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "server/use_cases/push.h"
#include "server/use_cases/selection.h"
#include "storage/base/crc32.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/formats/reader.h"
#include "storage/formats/tensor_source.h"

namespace ballast {
namespace {

constexpr size_t kDroppedNamed = 1000;

// About what an entry takes in an encoded manifest.
uint64_t EncodedBytes(const TensorSpec& spec) {
  return spec.key.size() + BlockCount(CheckedTensorBytes(spec)) * sizeof(BlockRef);
}

}  // namespace

absl::Status Push::ReadFile(ByteStream* file, Format format, const KeyRuleOptions& options,
                            const std::function<absl::Status()>& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<KeyRules> rules,
                   KeyRules::Compile(options, services_.limits));
  std::string head(kDetectBytes, '\0');
  ASSIGN_OR_RETURN(const size_t n, ReadFull(file, absl::MakeSpan(head)));
  head.resize(n);
  ASSIGN_OR_RETURN(const Format detected, DetectFormat(head));
  if (format == Format::kUnknown) format = detected;
  RETURN_IF_ERROR(BeginStoring());
  PrefixedStream stream(std::move(head), file);
  const bool forward = format == Format::kSafetensors || format == Format::kTorchSharp;
  if (forward && format == detected) {
    RETURN_IF_ERROR(ReadForward(&stream, format, *rules, progress));
  } else {
    RETURN_IF_ERROR(ReadSpooled(&stream, format, *rules, progress));
  }
  if (options_.no_nan) RETURN_IF_ERROR(CheckAllFinite(manifest_), "push");
  if (manifest_.entries.empty()) warnings_.push_back("the state dict is empty");
  return absl::OkStatus();
}

void Push::TakeFacts(const SourceStateDict& facts) {
  manifest_.format = facts.format;
  manifest_.writer = facts.writer;
  manifest_.metadata_json = facts.metadata_json;
  manifest_.leaves_json = LeavesJson(facts.leaves);
  warnings_.insert(warnings_.end(), facts.warnings.begin(), facts.warnings.end());
  if (std::string hint = SelectHint(facts); !hint.empty()) warnings_.push_back(std::move(hint));
  for (std::string& warning : LeafWarnings(facts.leaves)) warnings_.push_back(std::move(warning));
}

// A file's word about ties counts only where the tensors are equal.
void Push::KeepTrueTies(const Ties& claimed) {
  size_t dropped = 0;
  std::string first_dropped;
  for (const std::vector<uint32_t>& group : claimed) {
    const ManifestEntry& first = manifest_.entries[group[0]];
    const bool equal = std::all_of(group.begin(), group.end(), [&](uint32_t index) {
      const ManifestEntry& entry = manifest_.entries[index];
      return entry.spec.dtype == first.spec.dtype && entry.spec.shape == first.spec.shape &&
             entry.blocks == first.blocks;
    });
    if (equal) {
      manifest_.ties.push_back(group);
    } else if (++dropped == 1) {
      first_dropped = QuotedKey(first.spec.key);
    }
  }
  if (dropped == 0) return;
  warnings_.push_back(absl::StrCat(dropped, " of the declared ties were dropped, the first is of ",
                                   first_dropped, ": the tensors differ"));
}

absl::Status Push::StoreBlock(std::string bytes, ValueCounter* values, ValueTally* tally,
                              std::vector<BlockRef>* blocks) {
  const BlockRef block{Sha256Of(bytes), Crc32(bytes)};
  values->Add(bytes);
  tally->Append(values->Finish());
  blocks->push_back(block);
  return lane_->Add(block.digest, block.crc32, std::move(bytes));
}

absl::Status Push::ReadForward(ByteStream* file, Format format, const KeyRules& rules,
                               const std::function<absl::Status()>& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ForwardReader> reader,
                   OpenForwardReader(format, file, services_.limits));
  // What is known before the data is decided before the data.
  std::vector<KeyDecision> decisions;
  if (const std::vector<TensorSpec>* specs = reader->known_entries()) {
    std::vector<std::string> keys;
    for (const TensorSpec& spec : *specs) keys.push_back(spec.key);
    ASSIGN_OR_RETURN(decisions, rules.ApplyAll(keys));
    std::vector<TensorSpec> kept;
    for (size_t i = 0; i < specs->size(); ++i) {
      if (!decisions[i].keep) continue;
      kept.push_back((*specs)[i]);
      kept.back().key = decisions[i].key;
    }
    RETURN_IF_ERROR(gate_->Check(kept));
  }
  absl::flat_hash_set<std::string> keys;
  uint64_t encoded_bytes = 0;        // about, of the manifest
  std::vector<uint32_t> position;    // of each source entry in the manifest
  std::vector<std::string> dropped;  // the first ones, to say what there was
  for (size_t i = 0;; ++i) {
    ASSIGN_OR_RETURN(std::optional<TensorSpec> spec, reader->Next());
    if (!spec) break;
    KeyDecision decision = i < decisions.size() ? decisions[i] : rules.Apply(spec->key);
    position.push_back(decision.keep ? static_cast<uint32_t>(manifest_.entries.size())
                                     : UINT32_MAX);
    ManifestEntry entry;
    entry.spec = *std::move(spec);
    if (!decision.keep && dropped.size() < kDroppedNamed) dropped.push_back(entry.spec.key);
    if (decision.keep) {
      if (!keys.insert(decision.key).second) {
        return MalformedError("rename: two keys become ", QuotedKey(decision.key),
                              ", the second is ", QuotedKey(entry.spec.key));
      }
      entry.spec.key = std::move(decision.key);
      if (reader->known_entries() == nullptr) RETURN_IF_ERROR(gate_->Add(entry.spec));
    }
    encoded_bytes += EncodedBytes(entry.spec);
    RETURN_IF_ERROR(Reserve(position.size(), encoded_bytes));
    RETURN_IF_ERROR(ReadForwardEntry(reader.get(), &entry, decision.keep, progress));
    if (decision.keep) manifest_.entries.push_back(std::move(entry));
  }
  if (reader->known_entries() == nullptr) RETURN_IF_ERROR(gate_->Finish());
  // ApplyAll knows how to say that nothing is selected or left.
  if (manifest_.entries.empty()) RETURN_IF_ERROR(rules.ApplyAll(dropped).status());
  TakeFacts(reader->facts());
  Ties ties;
  for (const std::vector<uint32_t>& group : reader->facts().ties) {
    std::vector<uint32_t> mapped;
    for (const uint32_t index : group) {
      if (position[index] != UINT32_MAX) mapped.push_back(position[index]);
    }
    if (mapped.size() > 1) ties.push_back(std::move(mapped));
  }
  KeepTrueTies(ties);
  return absl::OkStatus();
}

absl::Status Push::ReadForwardEntry(ForwardReader* reader, ManifestEntry* entry, bool keep,
                                    const std::function<absl::Status()>& progress) {
  if (!keep) return absl::OkStatus();
  const uint64_t size = CheckedTensorBytes(entry->spec);
  ValueCounter values(entry->spec.dtype);
  ValueTally tally;
  for (uint64_t b = 0; b < BlockCount(size); ++b) {
    std::string bytes(BlockSize(size, b), '\0');
    RETURN_IF_ERROR(reader->Read(absl::MakeSpan(bytes)));
    received_bytes_ += bytes.size();
    RETURN_IF_ERROR(StoreBlock(std::move(bytes), &values, &tally, &entry->blocks));
    RETURN_IF_ERROR(progress());
  }
  entry->health = HealthOf(entry->spec.dtype, tally);
  return absl::OkStatus();
}

absl::Status Push::ReadSpooled(ByteStream* file, Format format, const KeyRules& rules,
                               const std::function<absl::Status()>& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SpoolFile> spool,
                   SpoolFile::Create(services_.spool_dir, services_.limits.spool_bytes_max,
                                     "limits.spool_bytes_max"));
  buffer_.resize(kBlockBytes);
  while (true) {
    ASSIGN_OR_RETURN(const size_t n, file->Read(absl::MakeSpan(buffer_)));
    if (n == 0) break;
    RETURN_IF_ERROR(spool->Write(absl::string_view(buffer_).substr(0, n)));
    received_bytes_ += n;
    RETURN_IF_ERROR(progress());
  }
  ASSIGN_OR_RETURN(SourceStateDict dict, ReadStateDict(*spool, format, services_.limits));
  RETURN_IF_ERROR(ApplyRules(rules, &dict));
  uint64_t encoded_bytes = 0;
  for (const SourceEntry& entry : dict.entries) encoded_bytes += EncodedBytes(entry.spec);
  RETURN_IF_ERROR(Reserve(dict.entries.size(), encoded_bytes));
  RETURN_IF_ERROR(gate_->Check(GatedSpecs(dict)));
  TakeFacts(dict);
  RETURN_IF_ERROR(StoreEntries(*spool, dict, progress));
  KeepTrueTies(dict.ties);
  return absl::OkStatus();
}

absl::Status Push::StoreEntries(const ByteSource& source, const SourceStateDict& dict,
                                const std::function<absl::Status()>& progress) {
  const std::unique_ptr<FileTensorSource> tensors =
      MakeFileTensorSource(&source, &dict, services_.spool_dir, services_.limits);
  for (uint32_t e = 0; e < dict.entries.size(); ++e) {
    ManifestEntry& entry = manifest_.entries.emplace_back();
    entry.spec = dict.entries[e].spec;
    const uint64_t size = CheckedTensorBytes(entry.spec);
    ValueCounter values(entry.spec.dtype);
    ValueTally tally;
    for (uint64_t b = 0; b < BlockCount(size); ++b) {
      const uint64_t want = BlockSize(size, b);
      std::string bytes;
      bytes.reserve(want);
      while (bytes.size() < want) {
        ASSIGN_OR_RETURN(const Chunk chunk,
                         tensors->Read(e, b * kBlockBytes + bytes.size(), want - bytes.size()));
        bytes.append(chunk.bytes.data(), chunk.bytes.size());
      }
      RETURN_IF_ERROR(StoreBlock(std::move(bytes), &values, &tally, &entry.blocks));
      RETURN_IF_ERROR(progress());
    }
    entry.health = HealthOf(entry.spec.dtype, tally);
  }
  return tensors->VerifyRest();
}

}  // namespace ballast

#include <ballast/local.h>

#include <memory>
#include <utility>

#include "client/connection.h"
#include "client/file_sink.h"
#include "client/local_weights.h"
#include "client/push_source.h"
#include "client/shard_folder.h"
#include "client/spool_folder.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/formats/coverage.h"
#include "storage/formats/inspect.h"
#include "storage/formats/layout.h"
#include "storage/formats/reader.h"
#include "storage/formats/tensor_source.h"

namespace ballast {
namespace {

// Whether any entry is of role weights.
bool HasWeights(const SourceStateDict& dict) {
  for (const SourceEntry& entry : dict.entries) {
    if (entry.spec.role == Role::kWeights) return true;
  }
  return false;
}

// Borrows a source for as long as a call lasts.
class BorrowedSource : public ByteSource {
 public:
  explicit BorrowedSource(const ByteSource* source) : source_(source) {}
  uint64_t size_bytes() const override { return source_->size_bytes(); }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override {
    return source_->ReadAt(offset, out);
  }

 private:
  const ByteSource* source_;  // Must outlive this.
};

absl::StatusOr<WeightsFile> Borrow(const ByteSource& source, Format format, const Limits& limits) {
  return ReadWeights(std::make_unique<BorrowedSource>(&source), format, limits);
}

// Writes a layout that begins at `before` of `total_bytes`.
absl::Status WriteReported(const FileLayout& layout, TensorSource* source, ByteSink* out,
                           uint64_t before, uint64_t total_bytes, Operation* operation) {
  absl::Status stopped;
  const absl::Status written = WriteLayout(layout, source, out, [&](uint64_t done) {
    stopped = operation->Report(Progress::Phase::kConvert, before + done, total_bytes);
    return stopped.ok();
  });
  RETURN_IF_ERROR(stopped);
  return written;
}

}  // namespace

absl::StatusOr<ConvertResult> ConvertWeights(WeightsFile weights, ByteSink* out,
                                             const ConvertOptions& options, const Limits& limits) {
  Operation operation(options.control, CancelToken());
  SourceStateDict& dict = weights.dict;
  RETURN_IF_ERROR(ApplyRules(options.rules, limits, &dict));
  LayoutInput input = LayoutInputOf(dict);
  input.plain_dict = options.plain_dict;
  ASSIGN_OR_RETURN(const FileLayout layout, LayOut(options.to, input, limits));
  // Views do not read their storages in order; the rest is checked on the way.
  RETURN_IF_ERROR(VerifyStorages(*weights.source, UncoveredStorages(dict), limits));
  const auto source = MakeFileTensorSource(weights.source.get(), &dict, SpoolFolder(), limits);
  RETURN_IF_ERROR(WriteReported(layout, source.get(), out, 0, layout.size_bytes, &operation));
  ConvertResult result{dict.format, layout.format, dict.entries.size(), layout.size_bytes,
                       dict.warnings};
  result.warnings.insert(result.warnings.end(), layout.warnings.begin(), layout.warnings.end());
  return result;
}

absl::StatusOr<ConvertShardsResult> ConvertToShards(WeightsFile weights, const std::string& folder,
                                                    uint64_t max_shard_bytes,
                                                    const ConvertOptions& options,
                                                    const Limits& limits) {
  Operation operation(options.control, CancelToken());
  SourceStateDict& dict = weights.dict;
  RETURN_IF_ERROR(ApplyRules(options.rules, limits, &dict));
  LayoutInput input = LayoutInputOf(dict);
  input.plain_dict = options.plain_dict;
  ASSIGN_OR_RETURN(const ShardedLayout layout,
                   LayOutShards(options.to, input, max_shard_bytes, limits));
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFolder> target,
                   AtomicFolder::Create(folder, options.overwrite, IsShardedName));
  RETURN_IF_ERROR(VerifyStorages(*weights.source, UncoveredStorages(dict), limits));
  const auto source = MakeFileTensorSource(weights.source.get(), &dict, SpoolFolder(), limits);
  uint64_t before = 0;
  for (const ShardLayout& shard : layout.shards) {
    ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                     AtomicFile::Create(target->PathOf(shard.name), false));
    WritebackSink sink(file.get());
    RETURN_IF_ERROR(
        WriteReported(shard.layout, source.get(), &sink, before, layout.size_bytes, &operation));
    RETURN_IF_ERROR(file->Commit());
    before += shard.layout.size_bytes;
  }
  RETURN_IF_ERROR(WriteIndex(layout, *target));
  RETURN_IF_ERROR(target->Commit());
  ConvertResult result{dict.format, options.to, dict.entries.size(), layout.size_bytes,
                       dict.warnings};
  result.warnings.insert(result.warnings.end(), layout.warnings.begin(), layout.warnings.end());
  return ConvertShardsResult{std::move(result), NamesOf(layout)};
}

absl::StatusOr<ConvertResult> ConvertSource(const ByteSource& in, ByteSink* out,
                                            const ConvertOptions& options, const Limits& limits) {
  ASSIGN_OR_RETURN(WeightsFile weights, Borrow(in, options.from, limits));
  return ConvertWeights(std::move(weights), out, options, limits);
}

absl::StatusOr<ConvertResult> ConvertFile(const std::string& in, const std::string& out,
                                          const ConvertOptions& options, const Limits& limits) {
  ASSIGN_OR_RETURN(WeightsFile weights, OpenWeights(in, options.from, limits));
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                   AtomicFile::Create(out, options.overwrite));
  WritebackSink sink(file.get());
  ASSIGN_OR_RETURN(ConvertResult result,
                   ConvertWeights(std::move(weights), &sink, options, limits));
  RETURN_IF_ERROR(file->Commit());
  return result;
}

absl::StatusOr<std::string> InspectWeights(const WeightsFile& weights,
                                           const InspectOptions& options, const Limits& limits) {
  Operation operation(options.control, CancelToken());
  const SourceStateDict& dict = weights.dict;
  if (!options.digests) return InspectJson(dict, nullptr);
  uint64_t total = 0;
  for (const SourceEntry& entry : dict.entries) total += CheckedTensorBytes(entry.spec);
  const auto tensors = MakeFileTensorSource(weights.source.get(), &dict, SpoolFolder(), limits);
  absl::Status stopped;
  const auto progress = [&](uint64_t done) {
    stopped = operation.Report(Progress::Phase::kHash, done, total);
    return stopped.ok();
  };
  const absl::StatusOr<std::string> json = InspectJson(dict, tensors.get(), progress);
  RETURN_IF_ERROR(stopped);
  RETURN_IF_ERROR(json.status());
  RETURN_IF_ERROR(VerifyStorages(*weights.source, UncoveredStorages(dict), limits));
  return json;
}

absl::StatusOr<std::string> InspectSource(const ByteSource& source, const InspectOptions& options,
                                          const Limits& limits) {
  ASSIGN_OR_RETURN(const WeightsFile weights, Borrow(source, options.format, limits));
  return InspectWeights(weights, options, limits);
}

absl::StatusOr<std::string> InspectFile(const std::string& path, const InspectOptions& options,
                                        const Limits& limits) {
  ASSIGN_OR_RETURN(const WeightsFile weights, OpenWeights(path, options.format, limits));
  return InspectWeights(weights, options, limits);
}

absl::StatusOr<std::vector<TensorSpec>> WeightsSpecs(WeightsFile weights,
                                                     const KeyRuleOptions& rules,
                                                     bool with_optimizer, const Limits& limits) {
  RETURN_IF_ERROR(ApplyRules(rules, limits, &weights.dict));
  const bool all = with_optimizer || !HasWeights(weights.dict);
  std::vector<TensorSpec> out;
  for (SourceEntry& entry : weights.dict.entries) {
    if (all || entry.spec.role == Role::kWeights) out.push_back(std::move(entry.spec));
  }
  return out;
}

absl::StatusOr<std::vector<TensorSpec>> FileSpecs(const ByteSource& source, Format format,
                                                  const KeyRuleOptions& rules, bool with_optimizer,
                                                  const Limits& limits) {
  ASSIGN_OR_RETURN(WeightsFile weights, Borrow(source, format, limits));
  return WeightsSpecs(std::move(weights), rules, with_optimizer, limits);
}

}  // namespace ballast

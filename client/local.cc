#include <ballast/local.h>

#include <utility>

#include "client/connection.h"
#include "client/file_sink.h"
#include "client/push_source.h"
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

}  // namespace

absl::StatusOr<ConvertResult> ConvertSource(const ByteSource& in, ByteSink* out,
                                            const ConvertOptions& options, const Limits& limits) {
  Operation operation(options.control, CancelToken());
  ASSIGN_OR_RETURN(SourceStateDict dict, ReadStateDict(in, options.from, limits));
  RETURN_IF_ERROR(ApplyRules(options.rules, limits, &dict));
  LayoutInput input = LayoutInputOf(dict);
  input.plain_dict = options.plain_dict;
  ASSIGN_OR_RETURN(const FileLayout layout, LayOut(options.to, input, limits));
  // Views do not read their storages in order; the rest is checked on the way.
  RETURN_IF_ERROR(VerifyStorages(in, UncoveredStorages(dict), limits));
  const auto source = MakeFileTensorSource(&in, &dict, SpoolFolder(), limits);
  absl::Status stopped;
  const absl::Status written = WriteLayout(layout, source.get(), out, [&](uint64_t done) {
    stopped = operation.Report(Progress::Phase::kConvert, done, layout.size_bytes);
    return stopped.ok();
  });
  RETURN_IF_ERROR(stopped);
  RETURN_IF_ERROR(written);
  ConvertResult result{dict.format, layout.format, dict.entries.size(), layout.size_bytes,
                       dict.warnings};
  result.warnings.insert(result.warnings.end(), layout.warnings.begin(), layout.warnings.end());
  return result;
}

absl::StatusOr<ConvertResult> ConvertFile(const std::string& in, const std::string& out,
                                          const ConvertOptions& options, const Limits& limits) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, OpenFile(in));
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                   AtomicFile::Create(out, options.overwrite));
  WritebackSink sink(file.get());
  ASSIGN_OR_RETURN(ConvertResult result, ConvertSource(*source, &sink, options, limits));
  RETURN_IF_ERROR(file->Commit());
  return result;
}

absl::StatusOr<std::string> InspectSource(const ByteSource& source, const InspectOptions& options,
                                          const Limits& limits) {
  Operation operation(options.control, CancelToken());
  ASSIGN_OR_RETURN(const SourceStateDict dict, ReadStateDict(source, options.format, limits));
  if (!options.digests) return InspectJson(dict, nullptr);
  uint64_t total = 0;
  for (const SourceEntry& entry : dict.entries) total += CheckedTensorBytes(entry.spec);
  const auto tensors = MakeFileTensorSource(&source, &dict, SpoolFolder(), limits);
  absl::Status stopped;
  const auto progress = [&](uint64_t done) {
    stopped = operation.Report(Progress::Phase::kHash, done, total);
    return stopped.ok();
  };
  const absl::StatusOr<std::string> json = InspectJson(dict, tensors.get(), progress);
  RETURN_IF_ERROR(stopped);
  RETURN_IF_ERROR(json.status());
  RETURN_IF_ERROR(VerifyStorages(source, UncoveredStorages(dict), limits));
  return json;
}

absl::StatusOr<std::string> InspectFile(const std::string& path, const InspectOptions& options,
                                        const Limits& limits) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, OpenFile(path));
  return InspectSource(*source, options, limits);
}

absl::StatusOr<std::vector<TensorSpec>> FileSpecs(const ByteSource& source, Format format,
                                                  const KeyRuleOptions& rules, bool with_optimizer,
                                                  const Limits& limits) {
  ASSIGN_OR_RETURN(SourceStateDict dict, ReadStateDict(source, format, limits));
  RETURN_IF_ERROR(ApplyRules(rules, limits, &dict));
  const bool all = with_optimizer || !HasWeights(dict);
  std::vector<TensorSpec> out;
  for (SourceEntry& entry : dict.entries) {
    if (all || entry.spec.role == Role::kWeights) out.push_back(std::move(entry.spec));
  }
  return out;
}

}  // namespace ballast

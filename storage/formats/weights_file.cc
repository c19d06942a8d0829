#include "storage/formats/weights_file.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/concatenated_source.h"
#include "storage/base/file.h"
#include "storage/base/folder.h"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"
#include "storage/formats/reader.h"
#include "storage/formats/shard_index.h"
#include "storage/formats/shard_names.h"
#include "storage/formats/shards.h"
#include "storage/formats/weights_folder.h"

namespace ballast {
namespace {

absl::StatusOr<std::string> ReadIndexText(const ByteSource& file, const Limits& limits) {
  if (file.size_bytes() > limits.shard_index_bytes_max) {
    return LimitError("index of shards: is ", file.size_bytes(), " bytes long, want at most ",
                      limits.shard_index_bytes_max, " (shard_index_bytes_max)");
  }
  std::string text(file.size_bytes(), '\0');
  RETURN_IF_ERROR(file.ReadAt(0, absl::MakeSpan(text.data(), text.size())));
  return text;
}

std::string PathIn(const std::string& folder, const std::string& name) {
  return absl::StrCat(folder, folder == "/" ? "" : "/", name);
}

absl::StatusOr<WeightsFile> OpenShards(const std::string& folder,
                                       const std::vector<std::string>& files,
                                       const ShardIndex* index, Format format,
                                       const Limits& limits) {
  if (files.size() > limits.shards_max) {
    return LimitError(files.size(), " shards, want at most ", limits.shards_max, " (shards_max)");
  }
  std::vector<ConcatenatedSource::Part> parts;
  for (const std::string& name : files) {
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, OpenFile(PathIn(folder, name)));
    parts.push_back({name, std::move(file)});
  }
  auto source = std::make_unique<ConcatenatedSource>(std::move(parts));
  ASSIGN_OR_RETURN(SourceStateDict dict, ReadShards(*source, index, format, limits));
  return WeightsFile{std::move(source), std::move(dict)};
}

// Compares the files of an index with those that lie in its folder.
absl::Status CheckFolder(const ShardIndex& index, const std::vector<FolderEntry>& folder) {
  std::vector<std::string> there;
  for (const FolderEntry& entry : folder) {
    if (!entry.is_folder) there.push_back(entry.name);
  }
  std::vector<std::string> missing, extra;
  std::set<std::pair<std::string, std::string>> series;  // stem, suffix
  for (const std::string& file : index.files) {
    if (IsRankSlice(file)) {
      return UnsupportedError(file, ": holds one rank's slices of tensors, not tensors");
    }
    if (!std::binary_search(there.begin(), there.end(), file)) missing.push_back(file);
    const std::optional<ShardName> shard = ParseShardName(file);
    if (shard) series.emplace(shard->stem, shard->suffix);
  }
  if (!missing.empty()) {
    return MalformedError(missing.size(), " of ", index.files.size(),
                          " shards are missing: ", NamesText(missing));
  }
  RETURN_IF_ERROR(CheckSeries(index.files));
  for (const std::string& name : there) {
    const std::optional<ShardName> shard = ParseShardName(name);
    if (!shard || std::binary_search(index.files.begin(), index.files.end(), name)) continue;
    if (series.count({shard->stem, shard->suffix}) > 0) extra.push_back(name);
  }
  if (extra.empty()) return absl::OkStatus();
  return MalformedError("the folder has shards that are not in the index: ", NamesText(extra));
}

absl::StatusOr<WeightsFile> OpenIndex(const std::string& folder, const std::string& name,
                                      Format format, const Limits& limits) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, OpenFile(PathIn(folder, name)));
  ASSIGN_OR_RETURN(const std::string text, ReadIndexText(*file, limits));
  const std::optional<IndexName> parsed = ParseIndexName(name);
  ASSIGN_OR_RETURN(const ShardIndex index,
                   ParseShardIndex(text, parsed ? parsed->extension : "", limits));
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> names, ListFolder(folder, limits));
  RETURN_IF_ERROR(CheckFolder(index, names));
  return OpenShards(folder, index.files, &index, format, limits);
}

absl::StatusOr<WeightsFile> OpenFolder(const std::string& path, Format format,
                                       const Limits& limits) {
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> names, ListFolder(path, limits));
  ASSIGN_OR_RETURN(const WeightsChoice choice, ChooseWeights(names));
  if (!choice.index.empty()) {
    ASSIGN_OR_RETURN(WeightsFile weights, OpenIndex(path, choice.index, format, limits),
                     Printable(choice.index));
    return weights;
  }
  if (choice.files.size() > 1) return OpenShards(path, choice.files, nullptr, format, limits);
  ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, OpenFile(PathIn(path, choice.files[0])));
  ASSIGN_OR_RETURN(WeightsFile weights, ReadWeights(std::move(file), format, limits),
                   Printable(choice.files[0]));
  return weights;
}

absl::StatusOr<WeightsFile> OpenPlainFile(const std::string& path, Format format,
                                          const Limits& limits) {
  if (IsRankSlice(BaseNameOf(path))) {
    return UnsupportedError(
        "by its name it holds one rank's slices of tensors "
        "(torch.distributed.checkpoint), not tensors; merge them first");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, OpenFile(path));
  std::string head(std::min<uint64_t>(kDetectBytes, file->size_bytes()), '\0');
  RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(head.data(), head.size())));
  if (BeginsLikeJsonObject(head)) {
    return OpenIndex(FolderOf(path), BaseNameOf(path), format, limits);
  }
  return ReadWeights(std::move(file), format, limits);
}

}  // namespace

absl::StatusOr<WeightsFile> OpenWeights(const std::string& path, Format format,
                                        const Limits& limits) {
  absl::StatusOr<WeightsFile> weights =
      IsFolder(path) ? OpenFolder(path, format, limits) : OpenPlainFile(path, format, limits);
  const std::string name = Printable(path);
  const bool said = absl::StartsWith(weights.status().message(), name);
  if (weights.ok() || said) return weights;
  return WithContext(weights.status(), name);
}

absl::StatusOr<WeightsFile> ReadWeights(std::unique_ptr<ByteSource> source, Format format,
                                        const Limits& limits) {
  ASSIGN_OR_RETURN(SourceStateDict dict, ReadStateDict(*source, format, limits));
  return WeightsFile{std::move(source), std::move(dict)};
}

}  // namespace ballast

#include "storage/formats/weights_folder.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/shard_names.h"

namespace ballast {
namespace {

constexpr absl::string_view kExtensions[] = {
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".dat", ".pth.tar", ".pt.tar", ".ckpt.tar"};
// What training tools save beside the weights begins like this.
constexpr absl::string_view kCompanions[] = {"optimizer",     "scheduler",     "scaler",
                                             "rng_state",     "random_states", "sampler",
                                             "training_args", "dl_state_dict", "custom_checkpoint"};

bool IsCalledLikeWeights(absl::string_view name) {
  const auto ends = [&](absl::string_view e) { return absl::EndsWith(name, e); };
  const auto begins = [&](absl::string_view c) { return absl::StartsWith(name, c); };
  return !absl::StartsWith(name, ".") &&
         std::any_of(std::begin(kExtensions), std::end(kExtensions), ends) &&
         std::none_of(std::begin(kCompanions), std::end(kCompanions), begins);
}

// The names of a folder, files and folders apart.
struct Names {
  std::vector<std::string> files, folders;

  explicit Names(const std::vector<FolderEntry>& entries) {
    for (const FolderEntry& entry : entries) {
      (entry.is_folder ? folders : files).push_back(entry.name);
    }
  }
  template <typename F>
  static std::optional<std::string> First(const std::vector<std::string>& names, F matches) {
    const auto it = std::find_if(names.begin(), names.end(), matches);
    return it == names.end() ? std::nullopt : std::make_optional(*it);
  }
  template <typename F>
  std::optional<std::string> File(F matches) const {
    return First(files, matches);
  }
  template <typename F>
  std::optional<std::string> Folder(F matches) const {
    return First(folders, matches);
  }
  bool Has(absl::string_view file) const {
    return std::find(files.begin(), files.end(), file) != files.end();
  }
};

auto StartsWith(absl::string_view prefix) {
  return [prefix](const std::string& name) { return absl::StartsWith(name, prefix); };
}
auto EndsWith(absl::string_view suffix) {
  return [suffix](const std::string& name) { return absl::EndsWith(name, suffix); };
}

absl::Status DcpError(absl::string_view because) {
  return UnsupportedError(
      "this is a torch.distributed.checkpoint folder (", Printable(because),
      "), which holds pieces of tensors; convert it first: python -m "
      "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pth");
}

absl::Status DeepSpeedError(absl::string_view because) {
  return UnsupportedError("this is a DeepSpeed checkpoint folder (", Printable(because),
                          "), whose weights are partitioned; merge them first: python "
                          "zero_to_fp32.py FOLDER OUTPUT (it lies in the folder)");
}

// Folders whose files are pieces of tensors, whatever else lies there.
absl::Status RefusePieces(const Names& names) {
  if (const auto name = names.File(EndsWith(".distcp"))) return DcpError(*name);
  if (const auto name = names.File(IsRankSlice)) {
    return UnsupportedError(Printable(*name),
                            ": holds one rank's slices of tensors (torch.distributed.checkpoint); "
                            "merge them first with consolidate_hf_safetensors_files");
  }
  const auto deepspeed = names.File([](const std::string& name) {
    return absl::EndsWith(name, "_optim_states.pt") ||
           (absl::StartsWith(name, "mp_rank_") && absl::EndsWith(name, "_model_states.pt"));
  });
  return deepspeed ? DeepSpeedError(*deepspeed) : absl::OkStatus();
}

// Why there are no weights.
absl::Status ExplainNone(const Names& names) {
  if (names.Has(".metadata")) return DcpError(".metadata");
  if (names.Has("zero_to_fp32.py")) return DeepSpeedError("zero_to_fp32.py");
  if (const auto name = names.Folder(StartsWith("global_step"))) return DeepSpeedError(*name);
  if (const auto name = names.Folder(StartsWith("pytorch_model_fsdp"))) return DcpError(*name);
  const auto rank = names.Folder(StartsWith("mp_rank_"));
  if (rank || names.Has("latest_checkpointed_iteration.txt")) {
    return UnsupportedError(
        "this is a Megatron-LM checkpoint folder (",
        Printable(rank.value_or("latest_checkpointed_iteration.txt")),
        "), whose weights are split over ranks; merge them first with Megatron's "
        "tools/checkpoint/convert.py");
  }
  return absl::NotFoundError(absl::StrCat(
      "no weights are in this folder, want an index of shards, shards, or one file called "
      "*.safetensors, *.bin, *.pt, *.pth, *.ckpt or *.dat",
      names.folders.empty()
          ? ""
          : absl::StrCat(" (sub-folders are not searched: ", NamesText(names.folders), ")")));
}

// Shards whose index is not there, or is: one series is one candidate.
using SeriesName = std::pair<std::string, std::string>;  // stem, suffix
struct Series {
  std::vector<std::pair<uint64_t, std::string>> shards;
  bool has_index = false;
};

struct Candidates {
  std::vector<std::string> indexes;
  std::map<SeriesName, Series> series;
  std::vector<std::string> singles;

  std::vector<std::string> Named() const {
    std::vector<std::string> out = indexes;
    for (const auto& [name, one] : series) {
      if (!one.has_index) out.push_back(absl::StrCat(one.shards[0].second, " …"));
    }
    out.insert(out.end(), singles.begin(), singles.end());
    return out;
  }
};

Candidates FindCandidates(const Names& names) {
  Candidates out;
  std::vector<IndexName> indexes;
  for (const std::string& name : names.files) {
    if (const std::optional<IndexName> index = ParseIndexName(name)) {
      out.indexes.push_back(name);
      indexes.push_back(*index);
    }
  }
  for (const std::string& name : names.files) {
    if (!IsCalledLikeWeights(name)) continue;
    const std::optional<ShardName> shard = ParseShardName(name);
    if (!shard) {
      out.singles.push_back(name);
      continue;
    }
    Series& series = out.series[{shard->stem, shard->suffix}];
    series.shards.emplace_back(shard->number, name);
    series.has_index = std::any_of(indexes.begin(), indexes.end(),
                                   [&](const IndexName& index) { return index.IsFor(*shard); });
  }
  return out;
}

absl::StatusOr<WeightsChoice> ChooseSeries(Series series) {
  std::sort(series.shards.begin(), series.shards.end());
  WeightsChoice choice;
  for (auto& [number, name] : series.shards) choice.files.push_back(std::move(name));
  RETURN_IF_ERROR(CheckSeries(choice.files));
  return choice;
}

}  // namespace

absl::StatusOr<WeightsChoice> ChooseWeights(const std::vector<FolderEntry>& folder) {
  const Names names(folder);
  RETURN_IF_ERROR(RefusePieces(names));
  const Candidates candidates = FindCandidates(names);
  const std::vector<std::string> named = candidates.Named();
  if (named.empty()) return ExplainNone(names);
  if (named.size() > 1) {
    return AmbiguousError("the weights may be ", NamesText(named),
                          "; name the one that is meant instead of the folder");
  }
  if (!candidates.indexes.empty()) return WeightsChoice{candidates.indexes[0], {}};
  if (!candidates.singles.empty()) return WeightsChoice{"", candidates.singles};
  return ChooseSeries(candidates.series.begin()->second);
}

}  // namespace ballast

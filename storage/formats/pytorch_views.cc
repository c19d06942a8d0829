#include "storage/formats/pytorch_views.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr size_t kWarningsMax = 16;

struct Use {
  uint64_t bytes = 0;  // of its entries, tied ones once
  size_t entries = 0;
  const std::string* first = nullptr;
};

absl::StatusOr<std::vector<Use>> CountUses(const SourceStateDict& dict, const Limits& limits) {
  std::vector<Use> uses(dict.storages.size());
  const std::vector<uint32_t> first = TieRepresentatives(dict.entries.size(), dict.ties);
  for (size_t i = 0; i < dict.entries.size(); ++i) {
    if (first[i] != i) continue;
    const SourceEntry& entry = dict.entries[i];
    Use& use = uses[entry.storage];
    if (!CheckedAdd(use.bytes, CheckedTensorBytes(entry.spec), &use.bytes)) {
      return LimitError("views of storage ", dict.storages[entry.storage].name,
                        " take more than 2^64 bytes, want at most ", limits.materialized_bytes_max,
                        " (materialized_bytes_max)");
    }
    if (use.entries++ == 0) use.first = &entry.spec.key;
  }
  return uses;
}

}  // namespace

absl::Status CheckViews(const Limits& limits, SourceStateDict* dict) {
  ASSIGN_OR_RETURN(const std::vector<Use> uses, CountUses(*dict, limits));
  uint64_t made = 0;
  size_t views = 0;
  for (size_t i = 0; i < uses.size(); ++i) {
    const SourceStorage& storage = dict->storages[i];
    const Use& use = uses[i];
    const uint64_t expanded = use.bytes > storage.size_bytes ? use.bytes - storage.size_bytes : 0;
    const uint64_t inflated =
        storage.size_bytes > storage.stored_bytes ? storage.size_bytes - storage.stored_bytes : 0;
    if (!CheckedAdd(made, expanded, &made) || !CheckedAdd(made, inflated, &made) ||
        made > limits.materialized_bytes_max) {
      return LimitError("storage ", storage.name, ": views and inflated records make more than ",
                        limits.materialized_bytes_max,
                        " bytes beyond those stored, want at most materialized_bytes_max");
    }
    if (use.bytes == storage.size_bytes || ++views > kWarningsMax) continue;
    dict->warnings.push_back(absl::StrCat(use.entries, use.entries == 1 ? " view" : " views",
                                          " of storage ", storage.name, " (first ",
                                          QuotedKey(*use.first), "): ", storage.size_bytes,
                                          " bytes stored, ", use.bytes, " used"));
  }
  if (views > kWarningsMax) {
    dict->warnings.push_back(
        absl::StrCat("views of ", views - kWarningsMax, " more storages are not listed"));
  }
  return absl::OkStatus();
}

}  // namespace ballast

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"
#include "storage/store/limit_time.h"
#include "storage/store/record_iteration.h"

namespace ballast {
namespace {

// The names in one index record, ascending, fetched a page at a time.
class ShardNames {
 public:
  ShardNames(RecordStore* records, uint32_t shard, std::string after, absl::string_view prefix)
      : records_(records),
        record_(IndexRecord(shard)),
        last_(std::move(after)),
        prefix_(ModelRecord(prefix)) {}

  // The next name, which Pop takes away; nullptr at the end.
  absl::StatusOr<const std::string*> Front() {
    while (names_.empty() && more_) {
      ASSIGN_OR_RETURN(const RecordPage page, records_->List(record_, last_, prefix_, kFetch));
      for (const auto& item : page.items) {
        names_.push_back(item.first.substr(kModelPrefix.size()));
        last_ = item.first;
      }
      more_ = page.more && !page.items.empty();
    }
    return names_.empty() ? nullptr : &names_.front();
  }
  void Pop() { names_.pop_front(); }

 private:
  static constexpr size_t kFetch = 64;

  RecordStore* const records_;
  const std::string record_;
  std::string last_;
  const std::string prefix_;
  std::deque<std::string> names_;
  bool more_ = true;
};

// All names, ascending, merged from the index records.
class ModelNames {
 public:
  ModelNames(RecordStore* records, absl::string_view after, absl::string_view prefix) {
    const std::string after_key = after.empty() ? std::string() : ModelRecord(after);
    for (uint32_t shard = 0; shard < kModelShards; ++shard) {
      shards_.emplace_back(records, shard, after_key, prefix);
    }
  }
  // nullopt at the end.
  absl::StatusOr<std::optional<std::string>> Next() {
    ShardNames* best = nullptr;
    const std::string* best_name = nullptr;
    for (ShardNames& shard : shards_) {
      ASSIGN_OR_RETURN(const std::string* name, shard.Front());
      if (name == nullptr || (best_name != nullptr && *best_name <= *name)) continue;
      best = &shard;
      best_name = name;
    }
    if (best == nullptr) return std::nullopt;
    std::optional<std::string> name = *best_name;
    best->Pop();
    return name;
  }

 private:
  std::vector<ShardNames> shards_;
};

size_t PageSize(size_t asked, const Limits& limits) {
  const size_t most = static_cast<size_t>(std::max<uint64_t>(1, limits.page_entries_max));
  return asked == 0 ? most : std::min(asked, most);
}

absl::Status BadToken(absl::string_view token) {
  return MalformedError("listing: page token is \"", Printable(token.substr(0, 100)),
                        "\", want \"\" or one that a page gave");
}

// The version or move that a page token names.
absl::StatusOr<uint64_t> NumberOfToken(absl::string_view token) {
  uint64_t number = 0;
  if (!absl::SimpleAtoi(token, &number) || number == 0 || number > kVersionMax) {
    return BadToken(token);
  }
  return number;
}

}  // namespace

absl::StatusOr<ModelPage> CatalogImpl::ListModels(absl::string_view prefix, size_t page_size,
                                                  absl::string_view page_token, bool also_empty) {
  RETURN_IF_ERROR(CheckModelPrefix(prefix));
  if (!page_token.empty() && !CheckModelName(page_token).ok()) return BadToken(page_token);
  page_size = PageSize(page_size, limits_);
  ModelPage page;
  ModelNames names(records_, page_token, prefix);
  while (true) {
    ASSIGN_OR_RETURN(const auto name, names.Next());
    if (!name.has_value()) return page;
    ASSIGN_OR_RETURN(auto info, ReadModel(*name));
    if (!info.has_value()) continue;
    if (info->versions == 0 && !info->has_schema && !also_empty) continue;
    if (page.models.size() == page_size) break;
    page.models.push_back(*std::move(info));
  }
  page.next_page_token = page.models.back().model;
  return page;
}

absl::StatusOr<VersionRecord> CatalogImpl::DecodeListed(absl::string_view value, VersionSet which) {
  if (which == VersionSet::kLive) return DecodeVersionRecord(value);
  ASSIGN_OR_RETURN(DeletedRecord deleted, DecodeDeletedRecord(value));
  ASSIGN_OR_RETURN(VersionRecord record, DecodeVersionRecord(deleted.version));
  record.info.deletion = Deletion{std::move(deleted.principal), deleted.time,
                                  deleted.time + LimitMilliseconds(limits_.undelete_window_ms)};
  return record;
}

absl::StatusOr<VersionPage> CatalogImpl::ListVersions(absl::string_view model, size_t page_size,
                                                      absl::string_view page_token,
                                                      VersionSet which) {
  RETURN_IF_ERROR(CheckModelName(model));
  uint64_t below = 0;  // versions below this, 0: all
  if (!page_token.empty()) {
    ASSIGN_OR_RETURN(below, NumberOfToken(page_token));
  }
  RETURN_IF_ERROR(GetModel(model).status());
  page_size = PageSize(page_size, limits_);
  const bool live = which == VersionSet::kLive;
  const std::string after = below == 0 ? "" : live ? VersionKey(below) : DeletedKey(below);
  ASSIGN_OR_RETURN(const auto aliases, Aliases(model));
  VersionPage page;
  RETURN_IF_ERROR(ForEachItem(
      records_, ModelRecord(model), after, live ? kVersionPrefix : kDeletedPrefix, page_size + 1,
      [&](absl::string_view, absl::string_view value) -> absl::StatusOr<Walk> {
        ASSIGN_OR_RETURN(auto record, DecodeListed(value, which), model);
        if (page.versions.size() == page_size) {
          page.next_page_token = absl::StrCat(page.versions.back().version);
          return Walk::kStop;
        }
        record.info.model = std::string(model);
        for (const auto& [alias, version] : aliases) {
          if (version == record.info.version) record.info.aliases.push_back(alias);
        }
        page.versions.push_back(std::move(record.info));
        return Walk::kGoOn;
      }));
  return page;
}

absl::StatusOr<AliasHistoryPage> CatalogImpl::ListAliasHistory(absl::string_view model,
                                                               absl::string_view alias,
                                                               size_t page_size,
                                                               absl::string_view page_token) {
  RETURN_IF_ERROR(CheckModelName(model));
  if (!alias.empty()) RETURN_IF_ERROR(CheckAliasName(alias));
  uint64_t below = 0;  // moves before this one, 0: all
  if (!page_token.empty()) {
    ASSIGN_OR_RETURN(below, NumberOfToken(page_token));
  }
  RETURN_IF_ERROR(GetModel(model).status());
  page_size = PageSize(page_size, limits_);
  AliasHistoryPage page;
  uint64_t last = 0;
  RETURN_IF_ERROR(ForEachItem(
      records_, ModelRecord(model), below == 0 ? "" : HistoryKey(below), kHistoryPrefix,
      page_size + 1, [&](absl::string_view key, absl::string_view value) -> absl::StatusOr<Walk> {
        ASSIGN_OR_RETURN(AliasMove move, DecodeAliasMove(value), model);
        if (!alias.empty() && move.alias != alias) return Walk::kGoOn;
        if (page.moves.size() == page_size) {
          page.next_page_token = absl::StrCat(last);
          return Walk::kStop;
        }
        ASSIGN_OR_RETURN(last, VersionOfKey(key), model);
        page.moves.push_back(std::move(move));
        return Walk::kGoOn;
      }));
  return page;
}

}  // namespace ballast

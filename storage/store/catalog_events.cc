#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"
#include "storage/store/record_iteration.h"

namespace ballast {
namespace {

// Versions or moves that are read at once.
constexpr uint64_t kEventsAtOnce = 256;

absl::Status NotReached(absl::string_view model, absl::string_view what, uint64_t got,
                        uint64_t newest) {
  return MalformedError(model, ": position is behind ", what, " ", got, ", want at most ", newest,
                        ", the last one");
}

}  // namespace

absl::StatusOr<ModelPosition> CatalogImpl::GetPosition(absl::string_view model) {
  RETURN_IF_ERROR(CheckModelName(model));
  ASSIGN_OR_RETURN(const auto values, records_->Read(ModelRecord(model),
                                                     {std::string(kHeadKey), std::string(kNamesKey),
                                                      std::string(kSchemaKey)}));
  if (!values[0].has_value() && !values[2].has_value()) {
    return absl::NotFoundError(absl::StrCat(model, ": no such model"));
  }
  ModelPosition position;
  if (values[0].has_value()) {
    ASSIGN_OR_RETURN(const ModelHead head, DecodeHead(*values[0]), model);
    position.version = head.newest;
  }
  ASSIGN_OR_RETURN(position.move, DecodeNames(values[1]), model);
  return position;
}

absl::StatusOr<std::unique_ptr<RecordWatch>> CatalogImpl::WatchModel(
    absl::string_view model, std::function<void()> changed) {
  RETURN_IF_ERROR(CheckModelName(model));
  return records_->Watch(ModelRecord(model), std::move(changed));
}

// The oldest live version after `version`; 0: none. Numbers can have wide gaps and keys
// sort newest first, so it is searched for by halves.
absl::StatusOr<uint64_t> CatalogImpl::OldestVersionAfter(absl::string_view model,
                                                         uint64_t version) {
  ASSIGN_OR_RETURN(uint64_t found, NewestWith(model, kVersionPrefix));
  if (found <= version) return 0;
  for (uint64_t low = version + 1; low < found;) {  // none below `low`
    const uint64_t middle = low + (found - low) / 2;
    uint64_t highest = 0;  // of those up to `middle`
    RETURN_IF_ERROR(
        ForEachItem(records_, ModelRecord(model), VersionKey(middle + 1), kVersionPrefix, 1,
                    [&](absl::string_view key, absl::string_view) -> absl::StatusOr<Walk> {
                      ASSIGN_OR_RETURN(highest, VersionOfKey(key), model);
                      return Walk::kStop;
                    }));
    if (highest >= low) {
      found = highest;
    } else {
      low = middle + 1;
    }
  }
  return found;
}

absl::Status CatalogImpl::AddPublished(absl::string_view model, uint64_t newest, ModelEvents* out) {
  if (out->position.version >= newest) return absl::OkStatus();
  const uint64_t first = out->position.version + 1;
  const uint64_t last = std::min(newest, out->position.version + kEventsAtOnce);
  std::vector<std::string> keys;
  for (uint64_t version = first; version <= last; ++version) keys.push_back(VersionKey(version));
  ASSIGN_OR_RETURN(const auto values, records_->Read(ModelRecord(model), keys));
  for (uint64_t i = 0; i < values.size(); ++i) {
    if (!values[i].has_value()) continue;
    ASSIGN_OR_RETURN(VersionRecord record, DecodeVersionRecord(*values[i]), model);
    record.info.model = std::string(model);
    out->events.push_back({{first + i, out->position.move}, std::move(record.info), std::nullopt});
  }
  out->position.version = last;
  if (!out->events.empty() || last == newest) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t next, OldestVersionAfter(model, last));
  out->position.version = next == 0 ? newest : next - 1;
  return absl::OkStatus();
}

absl::Status CatalogImpl::AddMoved(absl::string_view model, absl::string_view alias,
                                   uint64_t newest, ModelEvents* out) {
  const uint64_t first = out->position.move + 1;
  const uint64_t last = std::min(newest, out->position.move + kEventsAtOnce);
  std::vector<std::string> keys;
  for (uint64_t number = first; number <= last; ++number) keys.push_back(HistoryKey(number));
  ASSIGN_OR_RETURN(const auto values, records_->Read(ModelRecord(model), keys));
  for (uint64_t i = 0; i < values.size(); ++i) {
    if (!values[i].has_value()) {
      return absl::OutOfRangeError(absl::StrCat(model, ": alias move ", first + i,
                                                " is forgotten, want one of the last ",
                                                limits_.alias_history_max, " (alias_history_max)"));
    }
    ASSIGN_OR_RETURN(AliasMove move, DecodeAliasMove(*values[i]), model);
    if (!alias.empty() && move.alias != alias) continue;
    out->events.push_back({{out->position.version, first + i}, std::nullopt, std::move(move)});
  }
  out->position.move = last;
  return absl::OkStatus();
}

absl::StatusOr<ModelEvents> CatalogImpl::EventsAfter(absl::string_view model,
                                                     absl::string_view alias,
                                                     const ModelPosition& position) {
  if (!alias.empty()) RETURN_IF_ERROR(CheckAliasName(alias));
  ASSIGN_OR_RETURN(const ModelPosition now, GetPosition(model));
  if (position.version > now.version) {
    return NotReached(model, "version", position.version, now.version);
  }
  if (position.move > now.move) {
    return NotReached(model, "alias move", position.move, now.move);
  }
  ModelEvents out;
  out.position = position;
  if (alias.empty()) {
    RETURN_IF_ERROR(AddPublished(model, now.version, &out));
  } else {
    out.position.version = now.version;
  }
  out.more = out.position.version < now.version;
  // No move is told before the version that it names.
  if (out.more) return out;
  RETURN_IF_ERROR(AddMoved(model, alias, now.move, &out));
  out.more = out.position.move < now.move;
  return out;
}

}  // namespace ballast

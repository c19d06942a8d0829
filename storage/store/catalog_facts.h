// What the catalog knows and tells: versions, models, aliases, deletions, rules.
#ifndef BALLAST_STORAGE_STORE_CATALOG_FACTS_H_
#define BALLAST_STORAGE_STORE_CATALOG_FACTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "storage/base/digest.h"
#include "storage/model/format.h"

namespace ballast {

// Who changes something, and under which id: 1 to 64 printable ASCII bytes, or "". The
// same id again (for as long as limits.request_memory_ms) gives the first answer again.
struct Requester {
  std::string request_id = "";
  std::string principal = "";
};

// Of a deleted version. It can be brought back until a collection runs after `until`.
struct Deletion {
  std::string principal;  // who deleted it
  absl::Time time;
  absl::Time until;  // time + limits.undelete_window_ms
  friend bool operator==(const Deletion&, const Deletion&) = default;
};

// What is known of a version without reading its manifest.
struct VersionInfo {
  std::string model;
  uint64_t version = 0;
  Digest digest;
  Format format = Format::kUnknown;  // what was pushed
  uint64_t entries = 0;
  uint64_t payload_bytes = 0;  // sum of the tensors' sizes
  uint64_t bytes_new = 0;      // tensor bytes that this push added to the store
  uint64_t parent = 0;         // version number of the same model, 0: none
  std::string message;
  std::map<std::string, std::string> labels;
  std::string creator;  // the principal that pushed
  absl::Time created;
  uint64_t manifest_bytes = 0;       // encoded size of the manifest: what reading it costs
  std::vector<std::string> aliases;  // filled by GetVersion and ListVersions
  std::optional<Deletion> deletion;  // only in a listing of deleted versions
  friend bool operator==(const VersionInfo&, const VersionInfo&) = default;
};

struct ModelInfo {
  std::string model;
  uint64_t latest = 0;    // highest live version, 0: none
  uint64_t versions = 0;  // live versions, if cheap to know; counted by GetModel
  std::map<std::string, uint64_t> aliases;
  bool has_schema = false;
  uint64_t numbers_used = 0;  // the next version's number is larger
};

// Versions with this label, whatever its value if there is none here.
struct LabelRule {
  std::string name;
  std::optional<std::string> value;
  friend bool operator==(const LabelRule&, const LabelRule&) = default;
};

// Which versions of a model a collection keeps: those that any rule keeps, and always
// the latest and those that an alias names. The others it deletes, so that they can be
// brought back for a while. 0 or empty: no such rule; one rule there must be.
struct Retention {
  uint64_t keep_last = 0;           // the newest n live versions
  uint64_t keep_newer_than_ms = 0;  // those pushed within this time
  std::vector<LabelRule> keep_labelled;
  friend bool operator==(const Retention&, const Retention&) = default;
};

// An alias that was set, moved or removed.
struct AliasMove {
  std::string alias;
  uint64_t from = 0;      // 0: it was new
  uint64_t to = 0;        // 0: it was removed
  std::string principal;  // who did it
  absl::Time time;
  friend bool operator==(const AliasMove&, const AliasMove&) = default;
};

// How far somebody has followed a model: the newest version and the last alias move seen.
struct ModelPosition {
  uint64_t version = 0;
  uint64_t move = 0;  // moves of a model's aliases are counted from 1
  friend bool operator==(const ModelPosition&, const ModelPosition&) = default;
};

// What happened to a model; one of the two is there.
struct ModelEvent {
  ModelPosition position;                // behind it
  std::optional<VersionInfo> published;  // without aliases: their moves are events of their own
  std::optional<AliasMove> moved;
  friend bool operator==(const ModelEvent&, const ModelEvent&) = default;
};

struct ModelEvents {
  std::vector<ModelEvent> events;
  ModelPosition position;  // behind them, and behind what is not to be told
  bool more = false;       // ask again at once
};

struct ModelPage {
  std::vector<ModelInfo> models;  // ascending by name
  std::string next_page_token;    // "" at the end
};
struct VersionPage {
  std::vector<VersionInfo> versions;  // newest first
  std::string next_page_token;
};
enum class VersionSet { kLive, kDeleted };
struct AliasHistoryPage {
  std::vector<AliasMove> moves;  // newest first
  std::string next_page_token;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_CATALOG_FACTS_H_

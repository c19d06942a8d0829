// Records: small ordered maps from key to value, each the unit of atomicity. The
// second of the two engine interfaces.
//
// There is no transaction over two records. A Commit may end as "unknown" (it may
// have been applied, or may yet be): the caller puts a unique token among its
// edits and finds out by reading.
#ifndef BALLAST_STORAGE_STORE_RECORD_STORE_H_
#define BALLAST_STORAGE_STORE_RECORD_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ballast {

// key == value, or (nullopt) key is absent.
struct RecordCondition {
  std::string key;
  std::optional<std::string> value;
};

// Sets key to value (never empty), or (nullopt) erases it.
struct RecordEdit {
  std::string key;
  std::optional<std::string> value;
};

enum class CommitOutcome {
  kApplied,   // durable on return
  kConflict,  // a condition does not hold; nothing was changed
  kUnknown,   // may have been applied, now or later
};

struct RecordPage {
  std::vector<std::pair<std::string, std::string>> items;  // key, value; ascending by bytes
  bool more = false;                                       // there may be more behind the last item
};

// Keeps a watch alive; its destructor ends it and waits for a running callback.
class RecordWatch {
 public:
  virtual ~RecordWatch() = default;
};

// Thread-safe. Record ids and keys are 1 to 1000 bytes without NUL; values are 1 byte
// to 1 MiB. A record that has no keys does not exist.
class RecordStore {
 public:
  virtual ~RecordStore() = default;

  // Applies all edits if all conditions hold, at one instant.
  // Errors: InvalidArgument  an id, key or value out of bounds. ResourceExhausted
  //         the disk is full. Unavailable  surely not applied. DataLoss.
  virtual absl::StatusOr<CommitOutcome> Commit(absl::string_view record,
                                               absl::Span<const RecordCondition> conditions,
                                               absl::Span<const RecordEdit> edits) = 0;

  // The values of `keys` at one instant; nullopt for an absent key.
  // Errors: Unavailable, DataLoss.
  virtual absl::StatusOr<std::vector<std::optional<std::string>>> Read(
      absl::string_view record, absl::Span<const std::string> keys) = 0;

  // Up to `limit` items with key > `after` that begin with `prefix`; a page is of one
  // instant and may be shorter than asked; with `more` it holds at least one item.
  virtual absl::StatusOr<RecordPage> List(absl::string_view record, absl::string_view after,
                                          absl::string_view prefix, size_t limit) = 0;

  // Calls `changed` some time after the record changed. A hint: calls may be lost or
  // doubled, so whoever watches also polls. `changed` must not block and must not
  // call the store.
  virtual absl::StatusOr<std::unique_ptr<RecordWatch>> Watch(absl::string_view record,
                                                             std::function<void()> changed) = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_RECORD_STORE_H_

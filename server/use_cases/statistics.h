// What the server holds, and how near it is to its limits.
#ifndef BALLAST_SERVER_USE_CASES_STATISTICS_H_
#define BALLAST_SERVER_USE_CASES_STATISTICS_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "storage/base/limits.h"
#include "storage/store/catalog.h"
#include "storage/store/store_monitor.h"

namespace ballast {

// What only reading all versions tells.
struct Tally {
  uint64_t models = 0;
  uint64_t versions = 0;
  uint64_t logical_bytes = 0;  // of all versions' tensors
  uint64_t aliases_most = 0;   // of the model that has most
  absl::Time counted;
};

// A limit that fills up and empties again.
struct LimitUse {
  std::string name;
  uint64_t used = 0;
  uint64_t max = 0;
  friend bool operator==(const LimitUse&, const LimitUse&) = default;
};

struct ServerStats {
  absl::Time started;
  Tally tally;
  StoreUsage store;
  std::vector<LimitUse> limits;
};

// Thread-safe.
class Statistics {
 public:
  struct Sources {
    Catalog* catalog = nullptr;     // Must outlive this.
    StoreMonitor* store = nullptr;  // Must outlive this.
    Limits limits;
    std::function<std::vector<LimitUse>()> load;  // of threads and the like; null: none
    std::function<absl::Time()> clock = &absl::Now;
  };
  explicit Statistics(Sources sources) : sources_(std::move(sources)), started_(sources_.clock()) {}

  // `exact`: counts versions and blocks now. Otherwise a count of versions may be
  // limits.tally_age_ms_max old, and blocks are as StoreMonitor::Usage keeps them. Nobody
  // waits for another's count: an older one is given, or none.
  // Errors: Unavailable  another count is under way. DataLoss.
  absl::StatusOr<ServerStats> Get(bool exact);

 private:
  absl::StatusOr<Tally> TallyFor(bool exact);
  absl::StatusOr<Tally> Count();
  absl::Status CountVersions(const std::string& model, Tally* tally);

  const Sources sources_;
  const absl::Time started_;
  std::mutex counting_;  // held while versions are counted
  std::mutex mutex_;
  std::optional<Tally> last_;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_STATISTICS_H_

// A store whose fill level a test chooses.
#ifndef BALLAST_TESTS_SUPPORT_FAKE_MONITOR_H_
#define BALLAST_TESTS_SUPPORT_FAKE_MONITOR_H_

#include <string>
#include <vector>

#include "storage/store/store_monitor.h"

namespace ballast {

// Not thread-safe while a test changes it.
class FakeMonitor : public StoreMonitor {
 public:
  absl::StatusOr<StoreUsage> Usage() override {
    if (!status.ok()) return status;
    return usage;
  }
  absl::StatusOr<BlockTotals> CountBlocks() override {
    if (!status.ok()) return status;
    ++counted;
    return exact;
  }

  absl::Status CheckFiles(
      const std::function<absl::Status(absl::string_view problem)>& damaged) override {
    for (const std::string& problem : problems) {
      if (absl::Status told = damaged(problem); !told.ok()) return told;
    }
    return status;
  }

  std::vector<std::string> problems;  // what CheckFiles finds
  StoreUsage usage{.disk_bytes = uint64_t{1} << 40, .disk_free_bytes = uint64_t{1} << 39};
  BlockTotals exact;
  absl::Status status;
  int counted = 0;
};

}  // namespace ballast

#endif  // BALLAST_TESTS_SUPPORT_FAKE_MONITOR_H_

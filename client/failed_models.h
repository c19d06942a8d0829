// Models that a backup or a restore could not do while it went on with the others.
#ifndef BALLAST_CLIENT_FAILED_MODELS_H_
#define BALLAST_CLIENT_FAILED_MODELS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ballast {

// Not thread-safe.
class FailedModels {
 public:
  // `warn` gets a line for each; null: not.
  explicit FailedModels(std::function<void(const std::string& line)> warn)
      : warn_(std::move(warn)) {}

  // A model that is not added as `again` counts; the worst reason is kept: DataLoss before
  // everything else, then the first.
  void Add(const absl::Status& why, bool again = false);
  // OK if there is none, else the worst: "2 models could not be <done>: m:1: …; and 1 more".
  absl::Status Summary(absl::string_view done) const;

 private:
  const std::function<void(const std::string& line)> warn_;
  uint64_t count_ = 0;
  absl::Status worst_;
};

// What is wrong with one model and says nothing about the next one.
bool IsOfTheModel(const absl::Status& status);
// The status with the model's name in front, unless it is there.
absl::Status NamingModel(const absl::Status& status, const std::string& model);

}  // namespace ballast

#endif  // BALLAST_CLIENT_FAILED_MODELS_H_

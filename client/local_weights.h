// What is done with weights that have been opened here, whether they are one file or the
// shards of a checkpoint.
#ifndef BALLAST_CLIENT_LOCAL_WEIGHTS_H_
#define BALLAST_CLIENT_LOCAL_WEIGHTS_H_

#include <ballast/client.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/formats/weights_file.h"

namespace ballast {

// Errors: as ConvertSource in ballast/local.h, once the weights are open.
absl::StatusOr<ConvertResult> ConvertWeights(WeightsFile weights, ByteSink* out,
                                             const ConvertOptions& options, const Limits& limits);

struct ConvertShardsResult {
  ConvertResult converted;         // bytes: of all files
  std::vector<std::string> files;  // in the folder: shards by their numbers, the index behind
};

// Into a folder of shards, as Client::PullShards; it appears when all of it is on the disk.
// Errors: as ConvertWeights, LayOutShards and AtomicFolder.
absl::StatusOr<ConvertShardsResult> ConvertToShards(WeightsFile weights, const std::string& folder,
                                                    uint64_t max_shard_bytes,
                                                    const ConvertOptions& options,
                                                    const Limits& limits);

// Errors: as InspectSource.
absl::StatusOr<std::string> InspectWeights(const WeightsFile& weights,
                                           const InspectOptions& options, const Limits& limits);

// Errors: as FileSpecs.
absl::StatusOr<std::vector<TensorSpec>> WeightsSpecs(WeightsFile weights,
                                                     const KeyRuleOptions& rules,
                                                     bool with_optimizer, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_CLIENT_LOCAL_WEIGHTS_H_

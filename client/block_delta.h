// The core of a pull that knows what the caller has: distinct blocks, those that are had are
// taken, the others come by their numbers.
#ifndef BALLAST_CLIENT_BLOCK_DELTA_H_
#define BALLAST_CLIENT_BLOCK_DELTA_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/block_sender.h"
#include "client/connection.h"
#include "storage/model/manifest.h"

namespace ballast {

// A distinct block of what is pulled, with every place where it stands.
struct WantedBlock {
  BlockRef ref;
  uint64_t size_bytes = 0;
  absl::InlinedVector<BlockPlace, 1> places;  // at least one
};

// The manifest of a version, and what a pull takes of it.
struct PulledManifest {
  Manifest whole;     // by whose blocks the server counts
  Manifest selected;  // after the rules
  std::vector<std::string> warnings;
};

// Errors: those of PullManifest and SelectEntries. DataLoss  blocks of one digest have several
// sizes: so no block that comes or is had is longer than its places.
absl::StatusOr<PulledManifest> FetchManifest(Connection* connection, Operation* operation,
                                             const VersionDescription& version,
                                             const PullOptions& options);

// A result without what is known only when the payload is there. `format` is as asked.
PullResult ResultOf(const VersionDescription& version, const PulledManifest& manifest);

// Runs once. Not thread-safe.
class BlockDelta {
 public:
  // Puts the block where it is wanted if the caller has it and it is what it should be. False:
  // it has to come. Errors: those of writing.
  using Take = std::function<absl::StatusOr<bool>(const WantedBlock&)>;
  // Writes a block that came. Errors: those of writing.
  using Put = std::function<absl::Status(const WantedBlock&, absl::string_view bytes)>;

  // All must outlive this.
  BlockDelta(Connection* connection, Operation* operation, const PulledManifest* manifest);

  // First takes, in the order of the manifest, then fetches; sets the counts of `result`,
  // whose reference names one version exactly.
  // Errors: those of BlockStream, `take` and `put`.
  absl::Status Run(const Take& take, const Put& put, PullResult* result);

 private:
  absl::Status TakeAll(const Take& take);
  std::vector<uint64_t> NumbersOf(const std::vector<BlockPlace>& all) const;

  Connection* const connection_;
  Operation* const operation_;
  const PulledManifest* const manifest_;
  std::vector<WantedBlock> wanted_;
  absl::flat_hash_map<Digest, size_t> missing_;  // of wanted_
  uint64_t total_bytes_ = 0;                     // of wanted_
  uint64_t reused_bytes_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_BLOCK_DELTA_H_

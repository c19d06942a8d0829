// Blocks of a version by their numbers, each compared with its SHA-256.
#ifndef BALLAST_CLIENT_BLOCK_STREAM_H_
#define BALLAST_CLIENT_BLOCK_STREAM_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/block_sender.h"
#include "client/connection.h"
#include "proto/frame.h"
#include "storage/model/manifest.h"

namespace ballast {

// The whole manifest of a version, retried after Unavailable; compared with its digest.
// Errors: NotFound. DataLoss  it is another version's.
absl::StatusOr<Manifest> PullManifest(Connection* connection, Operation* operation,
                                      const VersionDescription& version);

// Asks for blocks and takes them, over as many calls as it takes. Runs once; not thread-safe.
class BlockStream {
 public:
  // Called for each block, in order. An error ends the stream and is its result.
  using Sink = std::function<absl::Status(uint64_t number, absl::string_view bytes)>;

  // All must outlive this. `reference` names one version exactly; `places` are the
  // manifest's distinct blocks.
  BlockStream(Connection* connection, Operation* operation, std::string reference,
              const Manifest* manifest, const std::vector<BlockPlace>* places)
      : connection_(connection),
        operation_(operation),
        reference_(std::move(reference)),
        manifest_(manifest),
        places_(places) {}

  // `numbers` ascend. Errors: NotFound  the version is gone; DataLoss  bytes that are not
  // what the manifest says; those of `sink`.
  absl::Status Run(const std::vector<uint64_t>& numbers, const Sink& sink);

  // Progress goes on from `done_bytes` of `total_bytes`; before Run.
  void CountFrom(uint64_t done_bytes, uint64_t total_bytes) {
    before_bytes_ = done_bytes;
    total_bytes_ = total_bytes;
  }
  // Payload that was taken, and attempts after the first; after Run.
  uint64_t bytes() const { return bytes_; }
  uint64_t retries() const { return retries_; }

 private:
  absl::Status Attempt(const Sink& sink);
  absl::Status Take(const DataFrame& data, const Sink& sink);
  absl::Status TakeBlock(uint64_t number, absl::string_view bytes, const Sink& sink);

  Connection* const connection_;
  Operation* const operation_;
  const std::string reference_;
  const Manifest* const manifest_;
  const std::vector<BlockPlace>* const places_;
  const std::vector<uint64_t>* numbers_ = nullptr;
  size_t next_ = 0;     // of numbers_
  uint64_t bytes_ = 0;  // taken
  uint64_t before_bytes_ = 0;
  uint64_t total_bytes_ = 0;  // 0: not known
  uint64_t retries_ = 0;
  bool answered_ = false;  // something came
  bool local_ = false;     // the failure is not the connection's
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_BLOCK_STREAM_H_

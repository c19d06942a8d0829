// One pull, over as many calls as it takes: resumed where it stopped, always the
// version and the layout that it began with.
#ifndef BALLAST_CLIENT_PULL_STREAM_H_
#define BALLAST_CLIENT_PULL_STREAM_H_

#include <ballast/client.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ballast/v1/registry.pb.h"
#include "client/connection.h"
#include "client/incoming_data.h"
#include "proto/wire.h"
#include "storage/base/chunk.h"
#include "storage/model/manifest.h"

namespace ballast {

// What to do with what comes. An error ends the pull and is its result.
struct PullHandlers {
  // The manifest of what is pulled, before the data; only if it was asked for.
  std::function<absl::Status(const Manifest&)> manifest;
  // Consecutive bytes, checked.
  std::function<absl::Status(const std::vector<Chunk>&)> data;
};

// Runs once. Not thread-safe.
class PullStream {
 public:
  // All must outlive this.
  PullStream(Connection* connection, Operation* operation, v1::PullRequest request,
             const PullHandlers& handlers)
      : connection_(connection),
        operation_(operation),
        request_(std::move(request)),
        handlers_(handlers) {}

  absl::StatusOr<PullResult> Run();
  // What the first header says; for the handlers.
  uint64_t total_bytes() const { return incoming_.total_bytes(); }

 private:
  absl::Status Attempt();
  absl::Status Receive(ClientCall* call);
  absl::Status Take(const Frame& frame);
  absl::Status TakeHeader(const v1::PullHeader& header);
  absl::Status TakeManifest(const v1::ManifestPiece& piece);
  absl::Status TakeData(const DataFrame& data);

  Connection* const connection_;
  Operation* const operation_;
  v1::PullRequest request_;
  const PullHandlers& handlers_;
  std::optional<wire::ManifestAssembler> assembler_;  // of the attempt under way
  bool has_manifest_ = false;
  IncomingData incoming_;
  std::optional<PullResult> result_;  // from the first header on
  bool local_ = false;                // the failure is not the connection's
};

// The rules and choices of `options`, for `reference`.
v1::PullRequest PullRequestOf(const std::string& reference, const PullOptions& options);

}  // namespace ballast

#endif  // BALLAST_CLIENT_PULL_STREAM_H_

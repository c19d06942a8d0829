// One Push call, from the header to the server's last word.
#ifndef BALLAST_CLIENT_PUSH_EXCHANGE_H_
#define BALLAST_CLIENT_PUSH_EXCHANGE_H_

#include <ballast/client.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ballast/v1/registry.pb.h"
#include "client/connection.h"
#include "client/push_source.h"

namespace ballast {

// What the server said. Not thread-safe.
struct PushAnswers {
  // Errors: Internal  an answer that makes no sense.
  absl::Status Take(const v1::PushResponse& answer);
  bool decided() const { return committed || refused; }

  bool any = false;                                   // the server has said something
  std::vector<std::pair<uint64_t, uint64_t>> needed;  // runs: first, count; ascending
  bool needed_complete = false;
  std::optional<v1::PushCommitted> committed;
  Report report;
  bool refused = false;  // the whole report is there
};

// Runs once; make another one for another attempt. Not thread-safe.
class PushExchange {
 public:
  PushExchange(Connection* connection, Operation* operation, const PushOptions& options,
               std::string model, std::string request_id)
      : connection_(connection),
        operation_(operation),
        options_(options),
        model_(std::move(model)),
        request_id_(std::move(request_id)) {}

  // The version comes from another registry with these facts; before anything is sent.
  void set_imported(const v1::Imported& imported) { imported_ = imported; }

  // Sends the manifest (with blocks), then the blocks that the server asks for. The answer is
  // checked if all blocks are hashed.
  absl::StatusOr<PushResult> SendManifest(const Manifest& manifest, const PushSource& source);
  // Sends a file as it is; total_bytes 0: not known.
  absl::StatusOr<PushResult> SendFile(ByteStream* file, uint64_t total_bytes);

  // Errors: FailedPrecondition/CONFLICT  the answer is of another content.
  absl::Status CheckAnswer(const PushResult& result, const Digest& digest) const;

  // Whether the failure was the connection's, so that another attempt may succeed.
  bool may_retry() const { return may_retry_; }
  bool answered() const { return answers_.any; }
  // Payload that the server needed; of a file, and before it has answered, not known: the
  // largest number.
  uint64_t needed_bytes() const { return needed_bytes_; }
  // Payload that was handed to the connection.
  uint64_t sent_bytes() const { return sent_bytes_; }

 private:
  absl::Status SendHead();
  absl::Status SendManifestPieces(const Manifest& manifest);
  absl::Status ReadUntilNeeded();
  absl::Status SendBlocks(const Manifest& manifest, const PushSource& source);
  absl::Status SendFileBytes(ByteStream* file, uint64_t total_bytes);
  absl::Status SendEnd();
  void StartReading();
  // Gives the call up for a reason of our own.
  absl::Status Stop(absl::Status why);
  absl::StatusOr<PushResult> End(const absl::Status& seen);

  Connection* const connection_;  // Must outlive this.
  Operation* const operation_;    // Must outlive this.
  const PushOptions& options_;    // Must outlive this.
  const std::string model_;
  const std::string request_id_;
  std::optional<v1::Imported> imported_;
  std::unique_ptr<ClientCall> call_;
  PushAnswers answers_;
  std::thread reading_;
  absl::Status bad_answer_;  // of the reading thread
  absl::Status stopped_;     // why we gave up ourselves
  uint64_t needed_bytes_ = std::numeric_limits<uint64_t>::max();
  uint64_t sent_bytes_ = 0;
  bool may_retry_ = false;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_PUSH_EXCHANGE_H_

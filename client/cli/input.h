// Files, and standard input that a cancellation interrupts.
#ifndef BALLAST_CLIENT_CLI_INPUT_H_
#define BALLAST_CLIENT_CLI_INPUT_H_

#include <ballast/cancel.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/weights_file.h"

namespace ballast::cli {

// Not thread-safe.
class StdinStream : public ByteStream {
 public:
  explicit StdinStream(const CancelToken& cancel);
  ~StdinStream() override;
  // Errors: Cancelled, also while it waits. Unavailable.
  absl::StatusOr<size_t> Read(absl::Span<char> out) override;

 private:
  const CancelToken cancel_;
  const int wake_fd_;  // readable once cancelled
  std::shared_ptr<const void> registration_;
};

// A file, or for "-" all of standard input put into a temporary file.
// Errors: as OpenFile; ResourceExhausted  limits.spool_bytes_max; Cancelled.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenInput(const std::string& path,
                                                      const CancelToken& cancel,
                                                      const Limits& limits);

// Weights from a file, an index of shards, their folder, or "-" (a file on stdin).
// Errors: as OpenInput and OpenWeights, the name in front.
absl::StatusOr<WeightsFile> OpenInputWeights(const std::string& path, Format format,
                                             const CancelToken& cancel, const Limits& limits);

// All of it. Errors: ResourceExhausted  limits.schema_bytes_max.
absl::StatusOr<std::string> ReadSchemaText(const ByteSource& source, const Limits& limits);

// Whether this is the text of a schema rather than weights: JSON, but no index of shards.
absl::StatusOr<bool> LooksLikeSchema(const ByteSource& source, const Limits& limits);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_INPUT_H_

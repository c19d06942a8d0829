// What needs no server: files converted, described and checked in the process, by
// the same code that the server runs.
#ifndef BALLAST_LOCAL_H_
#define BALLAST_LOCAL_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ballast/client.h"

namespace ballast {

// Where a path is read, it may also be the index of a sharded checkpoint, or the folder
// that holds one (storage/formats/weights_file.h).

// Reads `in` and writes it to `out` as options.to; keeps all entries that the rules
// keep. `out` appears only when it is complete and on the disk.
// Errors: InvalidArgument  malformed, truncated, checksum, unsafe, wrong format.
//         Unimplemented  a dtype or key that the target lacks, or a format that cannot
//         be written. NotFound. AlreadyExists  `out`, without overwrite. Cancelled.
//         FailedPrecondition/AMBIGUOUS  a folder with several candidates.
absl::StatusOr<ConvertResult> ConvertFile(const std::string& in, const std::string& out,
                                          const ConvertOptions& options, const Limits& limits);
// The same between any source and sink.
absl::StatusOr<ConvertResult> ConvertSource(const ByteSource& in, ByteSink* out,
                                            const ConvertOptions& options, const Limits& limits);

// The JSON document of storage/formats/inspect.h for a file. With digests the
// container's own checksums are verified too.
absl::StatusOr<std::string> InspectFile(const std::string& path, const InspectOptions& options,
                                        const Limits& limits);
absl::StatusOr<std::string> InspectSource(const ByteSource& source, const InspectOptions& options,
                                          const Limits& limits);

// The tensors of a file after the rules; of role weights only, unless
// `with_optimizer` or there are none.
absl::StatusOr<std::vector<TensorSpec>> FileSpecs(const ByteSource& source, Format format,
                                                  const KeyRuleOptions& rules, bool with_optimizer,
                                                  const Limits& limits);

struct BackupCheck {
  uint64_t models = 0, versions = 0;
  uint64_t blocks = 0, bytes = 0;  // each once
};
// Reads every byte that a restore of a portable folder would need, and compares it with its
// SHA-256, also of models beside one that is damaged. `warn` gets a line for each damaged model,
// and for each that a backup did not finish, which a restore leaves out; null: not.
// Errors: DataLoss  names the file. NotFound, FailedPrecondition  no such folder.
absl::StatusOr<BackupCheck> CheckBackup(
    const std::string& folder, const CallControl& control, const Limits& limits,
    const std::function<void(const std::string& line)>& warn = nullptr);

}  // namespace ballast

#endif  // BALLAST_LOCAL_H_

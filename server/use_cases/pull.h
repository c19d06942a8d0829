// A pull: a version in a format is a virtual file; this lays it out and streams
// it, with the CRC-32 of every piece taken from the manifest instead of the bytes.
#ifndef BALLAST_SERVER_USE_CASES_PULL_H_
#define BALLAST_SERVER_USE_CASES_PULL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/services.h"
#include "server/use_cases/memory_budget.h"
#include "server/use_cases/store_tensor_source.h"
#include "storage/base/chunk.h"
#include "storage/formats/layout.h"
#include "storage/model/manifest.h"
#include "storage/model/row_range.h"
#include "storage/schema/key_rules.h"

namespace ballast {

struct RowsOfKey {
  std::string key;  // exactly
  RowRange range;
};

struct PullParameters {
  std::string reference;
  // kUnknown: as pushed if that can be written, else safetensors; for a plain dict a
  // format that has one.
  Format format = Format::kUnknown;
  KeyRuleOptions rules;
  bool with_optimizer = false;
  bool plain_dict = false;  // see LayoutInput
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;  // 0: to the end
  std::string layout_digest;  // 32 bytes, or ""
  // The virtual file is these rows; of the format tensors, without rules.
  std::optional<RowsOfKey> rows;
};

// Consecutive bytes of the virtual file, with their CRC-32. Every chunk has an owner, so
// a piece may outlive the pull: a transport still sends it when the method has ended.
struct PullPiece {
  uint64_t position = 0;
  uint32_t crc32 = 0;
  std::vector<Chunk> chunks;
};

// Memory that goes on where the last chunk ends makes it longer: fewer pieces to send.
void AppendChunk(Chunk chunk, std::vector<Chunk>* chunks);

// Not thread-safe.
class Pull {
 public:
  // Errors: NotFound, PermissionDenied; InvalidArgument  reference, rules, plain_dict, rows
  //         of a tensor that has none;
  //         Unimplemented  the format lacks a dtype or key; OutOfRange  offset, rows;
  //         FailedPrecondition/CONFLICT  another layout than layout_digest.
  static absl::StatusOr<std::unique_ptr<Pull>> Open(const Services& services,
                                                    absl::string_view principal,
                                                    const PullParameters& options);

  const VersionInfo& version() const { return version_; }
  const Manifest& manifest() const { return manifest_; }  // of what is pulled
  const FileLayout& layout() const { return *layout_; }
  const Digest& layout_digest() const { return layout_digest_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

  // The next piece, between kDataMessageBytes and one block more; empty at the end.
  // Errors: DataLoss, Unavailable.
  absl::StatusOr<PullPiece> Next();

 private:
  Pull() = default;
  absl::Status LayOutFile(const Services& services, const PullParameters& options);
  absl::Status LayOutRows(const Services& services, const PullParameters& options);
  void ReadFrom(BlobStore* blobs, FileLayout layout);
  absl::Status SeekTo(const PullParameters& options);
  uint32_t CrcOf(const Extent& extent, uint64_t extent_offset, absl::string_view bytes) const;

  VersionInfo version_;
  std::unique_ptr<MemoryBudget::Share> memory_;  // of everything below
  Manifest manifest_;
  std::shared_ptr<const FileLayout> layout_;  // owners: this, and pieces with literals of it
  Digest layout_digest_;
  std::vector<std::string> warnings_;
  std::unique_ptr<StoreTensorSource> source_;
  std::unique_ptr<LayoutReader> reader_;
  uint64_t end_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_PULL_H_

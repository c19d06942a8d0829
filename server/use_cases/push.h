// A push, from its header to a visible version. No transport in here: the handler
// feeds it what arrives.
//
//   Begin ─► OfferManifest ─► AddBlocks … ─► Commit        (a parsed manifest)
//        └─► ReadFile ──────────────────────► Commit        (raw bytes, parsed here)
#ifndef BALLAST_SERVER_USE_CASES_PUSH_H_
#define BALLAST_SERVER_USE_CASES_PUSH_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/services.h"
#include "server/use_cases/gate.h"
#include "server/use_cases/store_lane.h"
#include "storage/base/byte_io.h"
#include "storage/base/chunk.h"
#include "storage/base/digest.h"
#include "storage/formats/state_dict.h"
#include "storage/model/manifest.h"
#include "storage/model/value_counter.h"
#include "storage/schema/key_rules.h"

namespace ballast {

struct PushParameters {
  std::string model;
  std::string request_id;
  std::string message;
  std::map<std::string, std::string> labels;
  std::string parent;   // reference of the same model, or ""
  std::string alias;    // or ""
  bool no_nan = false;  // refuse tensors with NaN or Inf
  GateOptions gate;
  // Of a version that comes from another registry: its number, time, creator and parent.
  // The schema that is bound does not count: it may be younger than the version.
  std::optional<CatalogPush::Imported> imported;
  std::string creator;         // only if imported
  uint64_t parent_number = 0;  // only if imported; need not exist
};

// One push. Not thread-safe. Destroyed uncommitted, it leaves nothing visible; Leave says
// what it leaves that cannot be seen.
class Push {
 public:
  // Errors: InvalidArgument  a malformed name, reference, schema, label or request id.
  //         NotFound  parent or schema reference. PermissionDenied.
  static absl::StatusOr<std::unique_ptr<Push>> Begin(const Services& services,
                                                     absl::string_view principal,
                                                     PushParameters options);

  // The version that an earlier call with this request id made: nothing is left to do.
  const std::optional<VersionInfo>& repeated() const { return repeated_; }

  // Waits for room for a manifest of so many entries and encoded bytes, in all.
  // Errors: Unavailable  limits.manifest_memory_bytes.
  absl::Status Reserve(uint64_t entries, uint64_t encoded_bytes);

  // Takes the description of what will come. A block without a digest (all zeros) is surely new,
  // says the client: it is needed, and must have the CRC-32 that is given; CRCs of the others are
  // ignored. Afterwards needed() lists the blocks to send, in order.
  // Errors: FailedPrecondition/SCHEMA_MISMATCH  see report(); without a reason: no_nan.
  //         InvalidArgument.
  absl::Status OfferManifest(Manifest manifest);

  // Numbers of the blocks that the store lacks, as NeedPiece in proto/ballast/v1 counts them.
  const std::vector<uint64_t>& needed() const { return needed_; }

  // Whole needed blocks, following each other; `first` counts over needed(); `crc32` of
  // all their bytes, if the client says one.
  // Errors: InvalidArgument  not the block that is due, or cut; CHECKSUM  bytes that do
  //         not have the digest that the manifest says (names key and block) or that CRC.
  absl::Status AddBlocks(uint64_t first, absl::Span<const Chunk> payload,
                         std::optional<uint32_t> crc32);

  // Parses a file: forward for .dat and safetensors, spooled for the rest. `format`
  // kUnknown: by content. `progress` is called now and then.
  // Errors: as ReadStateDict; FailedPrecondition/SCHEMA_MISMATCH  see report(); without a
  //         reason: no_nan.
  absl::Status ReadFile(ByteStream* file, Format format, const KeyRuleOptions& rules,
                        const std::function<absl::Status()>& progress);

  // Errors: InvalidArgument/TRUNCATED  needed blocks have not come. As CatalogPush::Publish.
  absl::StatusOr<VersionInfo> Commit();

  // The push ends with `why`, uncommitted. If its client or the way to it is gone, or the
  // server lacks something (Cancelled, DeadlineExceeded, Unavailable, ResourceExhausted),
  // the blocks that came whole are made durable and kept for limits.push_lease_ms: the same
  // manifest again needs only the others. A push that is refused, or whose bytes are wrong,
  // leaves its intent to nobody, as does a file: what it has stored is garbage.
  void Leave(const absl::Status& why);

  const Report& report() const { return gate_->report(); }
  const std::vector<std::string>& warnings() const { return warnings_; }
  uint64_t received_bytes() const { return received_bytes_; }
  // Blocks of a push that was committed: those that the store took, and those that it had.
  uint64_t blocks_stored() const { return blocks_stored_; }
  uint64_t blocks_known() const { return blocks_known_; }
  uint64_t durable_bytes() const { return push_ == nullptr ? 0 : push_->durable_bytes(); }

 private:
  // A numbered block of the offered manifest.
  struct Wanted {
    uint64_t size_bytes = 0;
    uint32_t crc32 = 0;
    bool hashed = true;  // by the client
    uint32_t entry = 0;  // where it appears first, for messages
    uint64_t block = 0;
  };

  Push(const Services& services, absl::string_view principal, PushParameters options)
      : services_(services),
        principal_(principal),
        options_(std::move(options)),
        memory_(services.manifest_memory) {}
  absl::Status Open();
  absl::Status CheckRepeated() const;
  absl::Status CollectBlocks();
  absl::Status AskStore();
  absl::Status FinishBlock();
  absl::Status CheckArrived(uint64_t first, std::optional<uint32_t> want) const;
  absl::Status BeginStoring();
  absl::Status StoreBlock(std::string bytes, ValueCounter* values, ValueTally* tally,
                          std::vector<BlockRef>* blocks);
  absl::Status ReadForward(ByteStream* file, Format format, const KeyRules& rules,
                           const std::function<absl::Status()>& progress);
  absl::Status ReadForwardEntry(class ForwardReader* reader, ManifestEntry* entry, bool keep,
                                const std::function<absl::Status()>& progress);
  absl::Status ReadSpooled(ByteStream* file, Format format, const KeyRules& rules,
                           const std::function<absl::Status()>& progress);
  absl::Status StoreEntries(const ByteSource& source, const SourceStateDict& dict,
                            const std::function<absl::Status()>& progress);
  void TakeFacts(const SourceStateDict& facts);
  void KeepTrueTies(const Ties& claimed);

  const Services& services_;  // Must outlive this.
  const std::string principal_;
  const PushParameters options_;
  MemoryBudget::Share memory_;  // of everything below
  uint64_t parent_ = 0;
  std::optional<Gate> gate_;
  std::optional<VersionInfo> repeated_;
  std::unique_ptr<CatalogPush> push_;
  Manifest manifest_;
  std::vector<std::string> warnings_;
  uint64_t received_bytes_ = 0;
  uint64_t blocks_stored_ = 0;
  uint64_t blocks_known_ = 0;

  // The manifest way.
  std::vector<std::vector<uint64_t>> numbers_;  // of each entry's blocks
  std::vector<Digest> digests_;                 // by number
  std::vector<Wanted> wanted_;                  // by number
  std::vector<uint64_t> needed_;
  uint64_t arrived_ = 0;  // of needed_
  std::string buffer_;    // the block that is being received
  Sha256 hash_;

  std::optional<StoreLane> lane_;  // of push_, which it must not outlive
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_PUSH_H_

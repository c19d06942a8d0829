// Our types ↔ messages, absl::Status ↔ what travels. The only place that converts.
#ifndef BALLAST_PROTO_WIRE_H_
#define BALLAST_PROTO_WIRE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ballast/v1/registry.pb.h"
#include "storage/base/limits.h"
#include "storage/model/manifest.h"
#include "storage/schema/key_rules.h"
#include "storage/schema/validate.h"

namespace ballast::wire {

// "/ballast.v1.Registry/Push", "/ballast.v1.Operations/CollectGarbage"
std::string MethodPath(absl::string_view method);

// --- status -------------------------------------------------------------------
// The message as it travels: one printable line of UTF-8, at most kStatusMessageBytesMax long.
std::string StatusMessage(const absl::Status& status);
// The serialized RpcStatus with ErrorInfo for `grpc-status-details-bin`: at most 4 KiB.
std::string StatusDetails(const absl::Status& status);
// The status that a peer sent, its message made printable; the reason comes from the details. A
// code that does not exist becomes Unknown.
absl::Status StatusFromWire(int code, absl::string_view message, absl::string_view details);
// What a status message may take on the wire; longer ones are cut.
inline constexpr size_t kStatusMessageBytesMax = 1500;

// --- entries and manifests ----------------------------------------------------
// The entry with its blocks `begin` … `end`−1; `continued` if `begin` is not 0.
void EntryToProto(const ManifestEntry& entry, uint64_t begin, uint64_t end, v1::Entry* out);
// Errors: InvalidArgument  an unknown dtype or enum, digests of odd length.
absl::StatusOr<ManifestEntry> EntryFromProto(const v1::Entry& entry);
// Appends an entry, or more blocks to the last one if it is `continued`.
// Errors: as EntryFromProto; InvalidArgument  nothing to continue.
absl::Status AddEntry(const v1::Entry& entry, std::vector<ManifestEntry>* entries);

// Cuts a manifest into pieces of at most ~2 MiB and hands them on in order; the last
// one has `last`. Stops at the first error.
absl::Status ForEachManifestPiece(const Manifest& manifest, bool with_blocks,
                                  const std::function<absl::Status(const v1::ManifestPiece&)>& fn);

// Puts pieces together again. Bounded by limits.entries_max, manifest_bytes_max
// and metadata_bytes_max, whatever the pieces claim.
class ManifestAssembler {
 public:
  explicit ManifestAssembler(const Limits& limits) : limits_(limits) {}
  // Errors: InvalidArgument, ResourceExhausted.
  absl::Status Add(const v1::ManifestPiece& piece);
  bool done() const { return done_; }
  // What came so far: bounds the memory that the manifest takes.
  uint64_t bytes() const { return bytes_; }
  uint64_t entries() const { return manifest_.entries.size(); }
  // The manifest, after done(). With blocks it has passed CheckManifest; without,
  // keys and sizes have been checked.
  absl::StatusOr<Manifest> Take(bool with_blocks);

 private:
  const Limits limits_;
  Manifest manifest_;
  uint64_t bytes_ = 0;
  bool done_ = false;
};

// --- rules and reports ----------------------------------------------------------
KeyRuleOptions RulesFromProto(const v1::KeyRules& rules);
void RulesToProto(const KeyRuleOptions& options, v1::KeyRules* out);

absl::Status ForEachReportPiece(const Report& report,
                                const std::function<absl::Status(const v1::ReportPiece&)>& fn);
// Appends a piece to `report`; true when it was the last.
bool AddReportPiece(const v1::ReportPiece& piece, Report* report);

// --- small things ---------------------------------------------------------------
// "torchsharp" …; "" is kUnknown. Errors: InvalidArgument  lists the names there are.
absl::StatusOr<Format> FormatFromWire(absl::string_view name);

// Cuts `text` into pieces of at most kDataMessageBytes (one empty piece for "").
absl::Status ForEachTextPiece(absl::string_view text,
                              const std::function<absl::Status(absl::string_view)>& fn);

}  // namespace ballast::wire

#endif  // BALLAST_PROTO_WIRE_H_

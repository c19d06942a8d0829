// Models, versions, aliases and manifests, on top of the two engine interfaces.
//
// Records
//   m/<model>   head            number of the newest version, number of live versions
//               v/<10 digits>   a version (VersionRecord); the digits count down, so
//                               that the newest comes first
//               d/<digest>/<10 digits>   a version by its digest
//               a/<alias>       version number and token
//               p/<push id>     push intent: epoch and start time
//               r/<request id>  what a finished request answered
//               schema          digests of the bound schema's blocks
//               A model exists if its record has `head` or `schema`.
//   i/<00..0f>  m/<model>       the model's name, by hash of the name; written before
//                               the model; a stale entry is harmless
//   gc          epoch           the current epoch
//
// One model is one record, so "publish version n+1 and move an alias" is one
// commit, and several servers can share an engine. Every conditional write carries
// a token of its own, so an outcome of `unknown` is resolved by reading.
#ifndef BALLAST_STORAGE_STORE_CATALOG_H_
#define BALLAST_STORAGE_STORE_CATALOG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "storage/base/digest.h"
#include "storage/base/limits.h"
#include "storage/model/manifest.h"
#include "storage/model/reference.h"
#include "storage/store/blob_store.h"
#include "storage/store/record_store.h"

namespace ballast {

// What is known of a version without reading its manifest.
struct VersionInfo {
  std::string model;
  uint64_t version = 0;
  Digest digest;
  Format format = Format::kUnknown;  // what was pushed
  uint64_t entries = 0;
  uint64_t payload_bytes = 0;  // sum of the tensors' sizes
  uint64_t bytes_new = 0;      // tensor bytes that this push added to the store
  uint64_t parent = 0;         // version number of the same model, 0: none
  std::string message;
  std::map<std::string, std::string> labels;
  std::string creator;  // the principal that pushed
  absl::Time created;
  // Encoded size of the manifest: what reading it costs.
  uint64_t manifest_bytes = 0;
  std::vector<std::string> aliases;  // filled by GetVersion and ListVersions
  friend bool operator==(const VersionInfo&, const VersionInfo&) = default;
};

struct ModelInfo {
  std::string model;
  uint64_t latest = 0;    // highest live version, 0: none
  uint64_t versions = 0;  // live versions, if cheap to know; counted by GetModel
  std::map<std::string, uint64_t> aliases;
  bool has_schema = false;
};

// A push on its way in: blocks go into it, then it is published or dropped.
// Not thread-safe. Destroyed unpublished, its intent is removed.
class CatalogPush {
 public:
  virtual ~CatalogPush() = default;

  // Which of these blocks the store has (and now keeps at least until the push
  // ends); the CRC and size of each that it has.
  virtual absl::StatusOr<std::vector<std::optional<BlobInfo>>> Known(
      absl::Span<const Digest> digests) = 0;

  // Adds a block; the caller has computed digest and CRC. True if it was new.
  virtual absl::StatusOr<bool> Add(const Digest& digest, uint32_t crc32,
                                   absl::string_view bytes) = 0;
  // Bytes added that survive a crash of the server now.
  virtual uint64_t durable_bytes() const = 0;

  struct PublishOptions {
    std::string message;
    std::map<std::string, std::string> labels;
    std::string creator;
    uint64_t parent = 0;
    std::string alias;  // moved to the new version in the same commit; "": none
  };
  // Makes everything durable and the version visible, in that order. All blocks of
  // the manifest must have been added or answered as known.
  // Errors: FailedPrecondition  a block of the manifest is not in the store (a bug of
  //         the caller, or gc fenced this push: push again). ResourceExhausted,
  //         Unavailable; then nothing is visible.
  virtual absl::StatusOr<VersionInfo> Publish(const Manifest& manifest,
                                              const PublishOptions& options) = 0;
};

struct ModelPage {
  std::vector<ModelInfo> models;  // ascending by name
  std::string next_page_token;    // "" at the end
};
struct VersionPage {
  std::vector<VersionInfo> versions;  // newest first
  std::string next_page_token;
};

// Thread-safe.
class Catalog {
 public:
  // Both stores must outlive the catalog. `clock` serves tests; null: the real one.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(BlobStore* blobs, RecordStore* records,
                                                       const Limits& limits,
                                                       std::function<absl::Time()> clock = nullptr);
  virtual ~Catalog() = default;

  // Begins a push to `model` (made if new). `request_id`: 1 to 64 printable ASCII
  // bytes chosen by the client, or "".
  virtual absl::StatusOr<std::unique_ptr<CatalogPush>> BeginPush(absl::string_view model,
                                                                 absl::string_view request_id) = 0;
  // The version that an earlier push with this request id made; nullopt if none did.
  virtual absl::StatusOr<std::optional<VersionInfo>> FindPush(absl::string_view model,
                                                              absl::string_view request_id) = 0;

  // Errors of all lookups: NotFound (names what was looked for), DataLoss, Unavailable.
  virtual absl::StatusOr<VersionInfo> GetVersion(const Reference& reference) = 0;
  virtual absl::StatusOr<Manifest> GetManifest(const VersionInfo& version) = 0;
  virtual absl::StatusOr<ModelInfo> GetModel(absl::string_view model) = 0;
  // `page_token` is "" or a next_page_token; InvalidArgument otherwise.
  virtual absl::StatusOr<ModelPage> ListModels(absl::string_view prefix, size_t page_size,
                                               absl::string_view page_token) = 0;
  virtual absl::StatusOr<VersionPage> ListVersions(absl::string_view model, size_t page_size,
                                                   absl::string_view page_token) = 0;

  // Points `alias` at an existing version. `expected`: the version it must point at
  // now, 0: it must not exist; nullopt: whatever it is. A repeated request id gives
  // the first answer again. Returns the version it pointed at before, 0: none.
  // Errors: NotFound. Aborted/CONFLICT  it points elsewhere; says where.
  //         ResourceExhausted  limits.aliases_max.
  virtual absl::StatusOr<uint64_t> SetAlias(absl::string_view model, absl::string_view alias,
                                            uint64_t version, std::optional<uint64_t> expected,
                                            absl::string_view request_id) = 0;
  // Errors: NotFound  no such alias. Aborted/CONFLICT.
  virtual absl::Status RemoveAlias(absl::string_view model, absl::string_view alias,
                                   std::optional<uint64_t> expected,
                                   absl::string_view request_id) = 0;

  // The model's gate, as JSON text; NotFound if none is bound. Binding makes the
  // model if it is new.
  virtual absl::Status BindSchema(absl::string_view model, absl::string_view schema_json,
                                  absl::string_view request_id) = 0;
  virtual absl::Status UnbindSchema(absl::string_view model, absl::string_view request_id) = 0;
  virtual absl::StatusOr<std::string> GetBoundSchema(absl::string_view model) = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_CATALOG_H_

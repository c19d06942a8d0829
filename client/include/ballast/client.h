// The client library of Ballast, a networked registry for model weights.
//
//   auto client = ballast::Client::Connect({.server = "127.0.0.1:7420"});
//   auto pushed = (*client)->PushFile("model.pth", "vision/resnet", {});
//   auto pulled = (*client)->PullFile("vision/resnet@prod", "model.dat", {.format = …});
//
// Errors (absl::Status; GetReason in storage/base/status.h gives the kind):
//   InvalidArgument     a malformed file, name, reference or rule.
//   NotFound            a file, model, version or alias; the message names it.
//   FailedPrecondition  with SCHEMA_MISMATCH: the schema gate refused.
//   Aborted             an alias points elsewhere than expected (CONFLICT).
//   ResourceExhausted   over a named limit.
//   Unimplemented       a dtype or key that the target format lacks.
//   DataLoss            bytes that arrived or were stored fail their checksum.
//   PermissionDenied, Unauthenticated   the server does not allow it.
//   FailedPrecondition  the TLS handshake failed: another try fails too.
//   Unavailable, DeadlineExceeded       try again; a push with the same request_id is safe.
//   Cancelled           through a CancelToken or a progress callback.
//
// A file or memory is never left half written: a pulled file appears under its name
// only when all of it has arrived, been checked and reached the disk.
#ifndef BALLAST_CLIENT_H_
#define BALLAST_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ballast/cancel.h"
#include "storage/base/byte_io.h"
#include "storage/base/digest.h"
#include "storage/base/equality.h"
#include "storage/base/limits.h"
#include "storage/model/dtype.h"
#include "storage/model/format.h"
#include "storage/model/manifest.h"
#include "storage/model/row_range.h"
#include "storage/model/tensor_spec.h"
#include "storage/schema/key_rules.h"
#include "storage/schema/validate.h"

namespace ballast {

struct ClientOptions {
  std::string server = "127.0.0.1:7420";  // "host:port", "host" (port 7420), "unix:/path"
  std::string token;                      // sent as "authorization: Bearer …"; "": none
  // TLS: the CA's certificates turn it on; certificate and key are the client's own (mTLS).
  std::string ca_file, cert_file, key_file;
  absl::Duration control_timeout = absl::Seconds(30);  // of calls that move no payload
  // A stream in which nothing moves for so long is given up as Unavailable.
  absl::Duration idle_timeout = absl::Minutes(5);
  // Of calls that are safe to repeat, after Unavailable; CallControl::retry_for has more
  // patience with a push or pull that has begun.
  int retries = 3;
  // Before the first; doubles, up to 5 s, and varies by a quarter.
  absl::Duration back_off = absl::Milliseconds(100);
  // Pushes that may wait behind the one that PushAsync has running, each with the memory of
  // its tensors.
  size_t async_pushes_max = 2;
  Limits limits;       // what is accepted from files and from the server
  CancelToken cancel;  // ends every call of this client
};

// How far an operation is. total_bytes 0: not known.
struct Progress {
  enum class Phase { kHash, kSend, kReceive, kVerify, kConvert, kCollect };
  Phase phase = Phase::kSend;
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
};
// False cancels. Called from one thread at a time, at most once per message.
using ProgressFn = std::function<bool(const Progress&)>;

// What every operation that moves payload takes.
struct CallControl {
  ProgressFn progress;
  CancelToken cancel;                                 // ends this operation
  absl::Duration timeout = absl::InfiniteDuration();  // of the whole operation
  // How long a push or pull is tried again after Unavailable while nothing moves; 0: not at
  // all. nullopt: 30 s, or ClientOptions::retries if the server has not answered at all.
  std::optional<absl::Duration> retry_for = std::nullopt;
};

// A schema to be met: JSON text, or a reference whose schema it is; both empty: none.
struct SchemaChoice {
  std::string json;
  std::string reference;
  bool empty() const { return json.empty() && reference.empty(); }
};

// A tensor in the caller's memory: contiguous, row-major, little-endian.
struct TensorView {
  std::string key;
  DType dtype = DType::kFloat32;
  Shape shape;
  absl::Span<const char> bytes;  // must outlive the call
  Kind kind = Kind::kUnknown;
};

struct PushOptions {
  Format format = Format::kUnknown;  // of the file; unknown: by content
  KeyRuleOptions rules;
  bool raw = false;  // send the file as it is; the server parses it
  SchemaChoice schema;
  bool no_nan = false;  // refuse tensors with NaN or Inf; FailedPrecondition names the keys
  bool strict = true;   // of `schema`; the schema that is bound to the model stays strict
  std::string message;  // UTF-8, as the labels
  std::map<std::string, std::string> labels;
  std::string parent;  // a reference of the same model
  std::string alias;   // moved to the new version in the same commit
  // The same again, with the same content, gives the first answer again; with other content it
  // is FailedPrecondition/CONFLICT, unless the server parses the file. "": a new one.
  std::string request_id;
  Report* refusal = nullptr;  // filled if the schema gate refuses
  CallControl control;
};

struct PushResult {
  std::string reference;  // "model:3"
  std::string model;
  uint64_t version = 0;
  Digest digest;
  uint64_t entries = 0;
  uint64_t bytes = 0;       // of all tensors
  uint64_t bytes_sent = 0;  // payload that travelled, in all attempts
  uint64_t bytes_new = 0;   // that the store did not have
  bool repeated = false;    // an earlier call with this request id made it
  uint64_t retries = 0;     // attempts after the first
  std::vector<std::string> warnings;
};

// How PushAsync takes the tensors, and whom it tells. Callbacks must not wait for a push.
struct AsyncPushOptions {
  // Null: the tensors are copied before PushAsync returns. Else they are read where they are
  // and must not change until this is called, once, whatever becomes of the push.
  std::function<void()> release;
  // Pushes of the same model that have this too and still wait are dropped (Cancelled): a
  // training that is faster than its network keeps the newest state, not the oldest.
  bool newest_wins = false;
  // Called with what became of it, after `release` and before the future is ready.
  std::function<void(const absl::StatusOr<PushResult>&)> done;
};

struct PullOptions {
  Format format = Format::kUnknown;  // unknown: as pushed if it can be written, else safetensors
  KeyRuleOptions rules;
  bool with_optimizer = false;  // also entries that are not weights
  // The pickle in the .pth is a plain dict, which LibTorch's torch::pickle_load reads. With
  // `format` unknown, pytorch-legacy if that was pushed, else pytorch.
  bool plain_dict = false;
  bool overwrite = false;  // an existing file
  // Reads the file back before it gets its name and compares SHA-256 digests.
  bool verify_sha256 = false;
  SchemaChoice schema;  // checked before any payload moves
  bool strict = true;
  Report* refusal = nullptr;  // filled if the schema is not met
  // What the caller has already; blocks that are in it too do not travel.
  // PullFile: weights in any format, also a folder of shards, also `path` itself. It is read
  // twice, to name its blocks and for those that are taken, which are checked again.
  std::string have_file;
  // PullTensors: "model:12" or "model@sha256:…", whose tensors, after the same rules, lie in
  // what the allocator returns for the keys that have the same dtype and shape there. Only
  // blocks that differ are written; the others are compared with their CRC-32. If that
  // version is gone, everything comes, with a warning. After a failure the memory has blocks
  // of both versions; the same call again makes it whole.
  std::string have_version;
  CallControl control;
};

struct PullResult {
  std::string reference;  // "model:3"
  std::string model;
  uint64_t version = 0;
  Digest digest;
  Format format = Format::kUnknown;
  uint64_t entries = 0;
  uint64_t bytes = 0;  // of the file
  std::vector<std::string> warnings;
  uint64_t retries = 0;         // attempts after the first, each of which went on at its offset
  uint64_t bytes_received = 0;  // payload that travelled
  uint64_t bytes_reused = 0;    // that the caller had (have_file, have_version), each block once
};

struct PullShardsResult {
  PullResult pulled;               // bytes: of all files
  std::vector<std::string> files;  // in the folder: shards by their numbers, the index behind
};

// Of the file that rows are written to; as in PullOptions.
struct PullRowsOptions {
  Format format = Format::kUnknown;
  bool plain_dict = false;
  bool overwrite = false;
  CallControl control;
};

struct PullRowsResult {
  PullResult pulled;       // entries: 1; bytes: of the rows, or of the file
  TensorSpec tensor;       // the whole one
  uint64_t first_row = 0;  // of those that came
  uint64_t rows = 0;
  uint64_t payload_bytes = 0;  // of all rows, without what a file has around them
};

struct ConvertOptions {
  Format from = Format::kUnknown;  // unknown: by content
  Format to = Format::kUnknown;    // required
  KeyRuleOptions rules;
  bool plain_dict = false;  // as in PullOptions
  bool overwrite = false;
  CallControl control;
};

struct ConvertResult {
  Format from = Format::kUnknown;
  Format to = Format::kUnknown;
  uint64_t entries = 0;
  uint64_t bytes = 0;  // of the output
  std::vector<std::string> warnings;
};

struct InspectOptions {
  Format format = Format::kUnknown;  // of a file; unknown: by content
  bool digests = false;              // SHA-256 of every tensor: a full read
  CallControl control;
};

struct ValidateOptions {
  SchemaChoice schema;  // empty: the schema bound to the reference's model
  bool strict = true;
  KeyRuleOptions rules;
  bool with_optimizer = false;
};

// Of a deleted version. It can be brought back until a collection runs after `until`.
struct DeletionDescription {
  std::string principal;  // who deleted it; "retention": the model's rules
  absl::Time time;
  absl::Time until;
};

struct VersionDescription {
  std::string model;
  uint64_t version = 0;
  Digest digest;
  Format format = Format::kUnknown;  // what was pushed
  uint64_t entries = 0;
  uint64_t payload_bytes = 0;
  uint64_t bytes_new = 0;
  uint64_t parent = 0;  // 0: none
  std::string message;
  std::map<std::string, std::string> labels;
  std::string creator;
  absl::Time created;
  std::vector<std::string> aliases;
  std::optional<DeletionDescription> deletion;  // only of deleted versions
};

struct ModelDescription {
  std::string model;
  uint64_t latest = 0;    // 0: no live version
  uint64_t versions = 0;  // only GetModel counts them
  std::map<std::string, uint64_t> aliases;
  bool has_schema = false;
  uint64_t numbers_used = 0;  // the next version's number is larger
};

template <typename T>
struct Page {
  std::vector<T> items;
  std::string next_page_token;  // "" at the end
};

// An entry of a version; digests as the server stores them.
struct EntryDescription {
  TensorSpec spec;
  Digest digest;  // SHA-256 over the digests of its blocks
  // What its values are like, as the pusher counted them; nullopt: not counted.
  std::optional<Health> health;
};

struct DiffOptions {
  bool values = true;           // how far values changed: the server reads the changed tensors
  bool with_optimizer = false;  // also entries that are not weights
  CallControl control;
};

// Over the elements of two tensors of one shape, as doubles; the parts of complex ones are
// elements here. Differences that are no finite numbers are counted, not measured.
struct ValueDifference {
  uint64_t elements = 0;
  uint64_t changed = 0;  // whose bits differ; another dtype: whose values differ
  double max_abs = 0;    // of the differences
  double l2 = 0;         // norm of the differences
  double l2_from = 0;    // norm of the finite values that were there before
  uint64_t not_finite = 0;
};

// A tensor that is not the same in both versions.
struct TensorDifference {
  // "added", "removed", "renamed" (the same tensor, another key), "reshaped", "recast"
  // (another dtype, the same shape), "changed" (other values)
  std::string kind;
  std::optional<TensorSpec> from, to;  // key, dtype and shape
  // changed and recast, if asked for and the dtypes have numbers
  std::optional<ValueDifference> values;
};

struct VersionDiff {
  VersionDescription from, to;
  std::vector<TensorDifference> changes;  // in byte order of the key, the new one if there is one
  uint64_t unchanged = 0;                 // tensors
  uint64_t shared_bytes = 0;              // in blocks that both have
};

struct FormatAbility {
  std::string format;
  bool read = false;
  bool write = false;
  std::vector<std::string> dtypes;
};

struct Capabilities {
  std::string server_version;
  std::vector<std::string> features;
  std::vector<FormatAbility> formats;
  std::map<std::string, uint64_t> limits;
};

struct AliasChange {
  VersionDescription version;
  uint64_t previous_version = 0;  // 0: the alias is new
};

// An alias that was set, moved or removed.
struct AliasMoveDescription {
  std::string alias;
  uint64_t from = 0;      // 0: it was new
  uint64_t to = 0;        // 0: it was removed
  std::string principal;  // who did it
  absl::Time time;
};

// Something that happened to a model. With neither of the two: where the watch stands, said
// when it begins (and begins again) and now and then while nothing happens.
struct WatchEvent {
  std::string resume_token;  // goes on behind this event
  // A new version; its aliases are left out, their moves are events of their own.
  std::optional<VersionDescription> published;
  std::optional<AliasMoveDescription> moved;
};
// False ends the watch.
using WatchFn = std::function<bool(const WatchEvent&)>;

struct WatchOptions {
  std::string alias;         // only moves of this one; "": versions, and moves of all
  std::string resume_token;  // of the last event that was taken; "": from now on
  // Once the server has answered, a connection that is lost is made again for so long.
  absl::Duration reconnect_for = absl::InfiniteDuration();
  CancelToken cancel;  // ends the watch
};

struct DeleteOptions {
  bool force = false;  // remove the aliases that name it, instead of failing
  std::string request_id;
};

struct DeleteResult {
  uint64_t deleted = 0;  // how many
  absl::Time until;      // they can be brought back at least until then
};

// How much of a version is its own.
struct VersionUsage {
  uint64_t exclusive_bytes = 0;  // stored for it alone: no other version, deleted or not
  uint64_t shared_bytes = 0;
};

// Which versions of a model collections of garbage keep: those that one of the rules
// keeps, those that an alias names, and the latest. At least one rule.
struct RetentionRules {
  struct Label {
    std::string name;
    std::optional<std::string> value;  // nullopt: any
    BALLAST_DEFAULT_EQUALITY(Label);
  };
  uint64_t keep_last = 0;          // the newest versions; 0: no such rule
  absl::Duration keep_newer_than;  // those pushed within this time; 0: no such rule
  std::vector<Label> keep_labelled;
  BALLAST_DEFAULT_EQUALITY(RetentionRules);
};

// A version that is deleted, or would be, and what that frees.
struct DeletionUsage {
  std::string model;
  uint64_t version = 0;
  std::string reason;  // "deleted", "removed" (its window is over), "retention"
  absl::Time until;    // it can be brought back until then
  uint64_t exclusive_bytes = 0;
};

struct GarbageOptions {
  bool dry_run = false;  // changes nothing; says what would be done
  CallControl control;   // progress: bytes freed so far
};

// What a collection of garbage did, or would do. Live: of versions that can be pulled.
// Held: of deleted ones that can be brought back, and of no other.
struct GarbageReport {
  bool dry_run = false;
  uint64_t models = 0;
  uint64_t live_versions = 0, held_versions = 0;
  uint64_t deleted_versions = 0;  // by retention rules
  uint64_t removed_versions = 0;  // for good
  uint64_t live_blocks = 0, live_bytes = 0;
  uint64_t held_blocks = 0, held_bytes = 0;
  uint64_t freed_blocks = 0, freed_bytes = 0;
  // Pushes that were taken for dead; dry run: pushes under way, whose blocks are counted
  // as freed although a collection keeps them.
  uint64_t fenced_pushes = 0;
  uint64_t forgotten_answers = 0;  // to request ids
  uint64_t passes = 0;
  std::vector<DeletionUsage> deletions;  // dry run
  uint64_t deletions_omitted = 0;
};

// Something that is stored and is not what it was. A bad block is replaced when its content
// is pushed again.
struct DamageDescription {
  std::string kind;                   // "unreadable", "digest" (wrong bytes), "missing", "record"
  std::optional<Digest> digest;       // of a block
  std::string problem;                // one line
  std::vector<std::string> versions;  // that it hits: "model:3 (fc.weight)"
  uint64_t versions_omitted = 0;
};

struct VerifyStoreOptions {
  uint64_t bytes_per_second = 0;                         // 0: the server's own
  std::function<void(const DamageDescription&)> damage;  // called for each; null: not
  CallControl control;                                   // progress: bytes read
};

struct VerifyReport {
  bool sound = true;                             // no damage was told
  uint64_t versions = 0, blocks = 0, bytes = 0;  // that were read, each block once
  uint64_t damaged_blocks = 0, damaged_versions = 0;
};

// A portable folder (client/README.md says what is in it) that backups and exports write.
// `step` is for tests: called between two steps; an error stops there.
struct BackupReport {
  uint64_t models = 0, versions = 0;       // that the folder has of the server's
  uint64_t versions_new = 0;               // of them, those that it did not have before
  uint64_t blocks_new = 0, bytes_new = 0;  // that were fetched
};

struct BackupOptions {
  std::string model;  // only this one; "": all
  CallControl control;
  std::function<void(const std::string& line)> warn;  // for each that is damaged; null: not
  BackupReport* done = nullptr;  // what was done, filled also when damage makes it fail
  std::function<absl::Status(absl::string_view step)> step;
};

struct RestoreReport {
  uint64_t models = 0;                            // that are whole now
  uint64_t versions_new = 0, versions_there = 0;  // restored; there already with this digest
  uint64_t bytes_sent = 0;
};

struct RestoreOptions {
  bool single = false;  // the folder must have one model
  std::string as;       // another name for it; "": its own
  // Aliases, schema and retention rules also of models that the server has already; otherwise
  // those stay as they are there, and `warn` is told which differ.
  bool overwrite_facts = false;
  CallControl control;
  std::function<void(const std::string& line)> warn;  // for each that failed or differs; null: not
  RestoreReport* done = nullptr;                      // what was done, filled also when it fails
  std::function<absl::Status(absl::string_view step)> step;
};

// A limit of the server that fills up and empties again.
struct LimitUsage {
  std::string name;
  uint64_t used = 0;
  uint64_t max = 0;
};

struct ServerStatistics {
  std::string server_version;
  absl::Time started;
  absl::Time counted;  // when the next three were
  uint64_t models = 0;
  uint64_t versions = 0;       // that can be pulled
  uint64_t logical_bytes = 0;  // their tensors, each version by itself
  uint64_t blocks = 0;         // stored, each once
  uint64_t block_bytes = 0;
  uint64_t dead_bytes = 0;   // of removed blocks that still take disk
  uint64_t files_bytes = 0;  // the store's data files
  uint64_t disk_bytes = 0;   // the file system that they are on
  uint64_t disk_free_bytes = 0;
  std::vector<LimitUsage> limits;
};

// Gives the memory for a tensor that is about to arrive: exactly its bytes, which must
// live until the call returns.
using TensorAllocator = std::function<absl::StatusOr<absl::Span<char>>(const TensorSpec&)>;

// Thread-safe: any number of calls at once share one connection.
class Client {
 public:
  // Checks the options; the connection is made by the first call.
  // Errors: InvalidArgument  an address or key file. NotFound  a TLS file.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(ClientOptions options);
  // Waits for the pushes that PushAsync has taken; a CancelToken ends them soon. Flush
  // before it to know what became of them.
  ~Client();

  // --- push: each makes a new version of `model` ------------------------------
  // Reads the file here, so the gate is decided before payload moves and blocks that
  // the server has never travel. After Unavailable the manifest is offered again, and only
  // blocks that are not durable yet travel; with options.raw all of the file. A later call
  // goes on in the same way, with the same request_id as the same push. The index of a
  // sharded checkpoint, or its folder, is one version (not with options.raw).
  absl::StatusOr<PushResult> PushFile(const std::string& path, const std::string& model,
                                      const PushOptions& options);
  absl::StatusOr<PushResult> PushTensors(absl::Span<const TensorView> tensors,
                                         const std::string& model, const PushOptions& options);
  // PushTensors behind the caller's back: returns as soon as the tensors are copied, or at
  // once if they are lent. Pushes run one after the other, in the order of the calls. What
  // `options` points to must live until the push is over. The future never throws; it
  // need not be kept, since Flush tells of failures too.
  // Errors (of the push): as PushTensors; ResourceExhausted  async_pushes_max pushes wait
  //   already: nothing was copied. Cancelled  dropped for a newer one; or by a CancelToken.
  std::future<absl::StatusOr<PushResult>> PushAsync(absl::Span<const TensorView> tensors,
                                                    const std::string& model,
                                                    const PushOptions& options,
                                                    const AsyncPushOptions& how = {});
  // Waits until the pushes that PushAsync has taken so far are over. Returns the first
  // failure since the last Flush; those that were dropped for newer ones are none.
  absl::Status Flush();
  // Sends a file of any format as it comes; the server parses it. Connecting is retried,
  // what follows is not: the stream can be read only once.
  absl::StatusOr<PushResult> PushStream(ByteStream* stream, const std::string& model,
                                        const PushOptions& options);

  // --- pull: resumed after Unavailable, always the version it began with ----------
  // With have_file: the same bytes, laid out here. A file that is not there is an error; one
  // that is damaged, or no weights, is named in a warning, and everything comes.
  absl::StatusOr<PullResult> PullFile(const std::string& reference, const std::string& path,
                                      const PullOptions& options);
  // Into a folder of shards with an index, as Hugging Face's libraries save and load them: at
  // most `max_shard_bytes` of tensors in each, but for a single tensor that is larger
  // (storage/formats/shard_plan.h). As safetensors or pytorch; unknown: pytorch if that
  // was pushed, else safetensors. The folder appears when all of it is there, checked and
  // on the disk; `overwrite` replaces a folder that has nothing but such files.
  absl::StatusOr<PullShardsResult> PullShards(const std::string& reference,
                                              const std::string& folder, uint64_t max_shard_bytes,
                                              const PullOptions& options);
  absl::StatusOr<PullResult> PullToSink(const std::string& reference, ByteSink* sink,
                                        const PullOptions& options);
  // Into the caller's memory, tensor by tensor in the version's order; `format`,
  // `plain_dict`, `overwrite` and `verify_sha256` are not used.
  absl::StatusOr<PullResult> PullTensors(const std::string& reference, const PullOptions& options,
                                         const TensorAllocator& allocate);

  // --- rows: slices of one tensor along its first dimension -------------------------
  // Only their bytes travel, in one call, which is resumed like any pull. `key` is the exact one,
  // as it was pushed, and may be of any role. A block that lies wholly in the rows travels with
  // the CRC-32 that was pushed with it; one that the rows cut is compared with its own by the
  // server, and the part gets a CRC-32 for the way. Every message is compared with its CRC-32
  // here. No rows are an answer too.
  // NotFound  the key; names the nearest. OutOfRange  rows that the tensor does not have.
  // InvalidArgument  a tensor without dimensions; packed elements that the rows would cut inside
  // a byte. Unimplemented  the server is too old.
  //
  // `allocate` is asked once, for the tensor that the rows are.
  absl::StatusOr<PullRowsResult> PullRows(const std::string& reference, const std::string& key,
                                          const RowRange& rows, const CallControl& control,
                                          const TensorAllocator& allocate);
  // As a file, or a stream, that holds the rows as a tensor of this key.
  absl::StatusOr<PullRowsResult> PullRowsFile(const std::string& reference, const std::string& key,
                                              const RowRange& rows, const std::string& path,
                                              const PullRowsOptions& options);
  absl::StatusOr<PullRowsResult> PullRowsToSink(const std::string& reference,
                                                const std::string& key, const RowRange& rows,
                                                ByteSink* sink, const PullRowsOptions& options);

  // --- convert, inspect, validate ------------------------------------------------
  // Retried as PushStream is.
  absl::StatusOr<ConvertResult> ConvertStream(ByteStream* in, ByteSink* out,
                                              const ConvertOptions& options);
  // The JSON document of storage/formats/inspect.h.
  absl::StatusOr<std::string> Inspect(const std::string& reference, const InspectOptions& options);
  // A mismatch is an answer (ok false), not an error.
  absl::StatusOr<Report> Validate(const std::string& reference, const ValidateOptions& options);
  // The same for tensors that are not in the registry; needs a schema.
  absl::StatusOr<Report> ValidateSpecs(absl::Span<const TensorSpec> specs,
                                       const ValidateOptions& options);

  // --- schemas ---------------------------------------------------------------------
  // Makes `schema_json` the model's gate; returns its number of entries.
  absl::StatusOr<uint64_t> BindSchema(const std::string& model, const std::string& schema_json,
                                      const std::string& request_id = "");
  absl::Status UnbindSchema(const std::string& model, const std::string& request_id = "");
  absl::StatusOr<std::string> GetBoundSchema(const std::string& model);
  // The schema that exactly this version fulfils.
  absl::StatusOr<std::string> GetSchema(const std::string& reference);

  // --- names -----------------------------------------------------------------------
  // `also_empty`: models whose versions are all deleted, and that have no schema, too.
  absl::StatusOr<Page<ModelDescription>> ListModels(const std::string& prefix,
                                                    const std::string& page_token = "",
                                                    uint32_t page_size = 0,
                                                    bool also_empty = false);
  // Newest first.
  absl::StatusOr<Page<VersionDescription>> ListVersions(const std::string& model,
                                                        const std::string& page_token = "",
                                                        uint32_t page_size = 0);
  absl::StatusOr<Page<EntryDescription>> ListEntries(const std::string& reference,
                                                     const std::string& page_token = "",
                                                     uint32_t page_size = 0);
  // All pages.
  absl::StatusOr<std::vector<ModelDescription>> AllModels(const std::string& prefix,
                                                          bool also_empty = false);
  absl::StatusOr<std::vector<VersionDescription>> AllVersions(const std::string& model);
  absl::StatusOr<std::vector<EntryDescription>> AllEntries(const std::string& reference);

  absl::StatusOr<ModelDescription> GetModel(const std::string& model);
  absl::StatusOr<VersionDescription> GetVersion(const std::string& reference);

  // What differs between two versions, also of two models. Nothing is read but manifests and,
  // with options.values, the tensors that changed. Not retried once it has begun.
  absl::StatusOr<VersionDiff> Diff(const std::string& from, const std::string& to,
                                   const DiffOptions& options = {});

  // Points `alias` at the version. `expected`: the version it must point at now, 0: it
  // must not exist; nullopt: whatever it is. Aborted/CONFLICT otherwise.
  absl::StatusOr<AliasChange> SetAlias(const std::string& reference, const std::string& alias,
                                       std::optional<uint64_t> expected = std::nullopt,
                                       const std::string& request_id = "");
  absl::Status DeleteAlias(const std::string& model, const std::string& alias,
                           std::optional<uint64_t> expected = std::nullopt,
                           const std::string& request_id = "");

  // The moves of one alias, or (alias "") of all of a model, newest first.
  absl::StatusOr<std::vector<AliasMoveDescription>> AliasHistory(const std::string& model,
                                                                 const std::string& alias = "");

  // Calls `each`, in this thread, for what happens to a model until it returns false: new
  // versions in the order of their numbers (but for those that are deleted before they can be
  // told) and moves of aliases in the order in which they happened, each exactly once. A lost
  // connection is made again; with the token of the last event another call goes on
  // as well, also in another process. The server tells changes at once, and those that
  // another server made within limits.watch_poll_ms.
  // OutOfRange  moves behind the token are forgotten (limits.alias_history_max). InvalidArgument
  //   a token of another watch, or of what the server does not have (any more). Cancelled.
  absl::Status Watch(const std::string& model, const WatchOptions& options, const WatchFn& each);

  // --- deletion and retention --------------------------------------------------------
  // The version does not resolve any more and keeps its number; UndeleteVersion brings it
  // back until a collection of garbage after DeleteResult::until.
  // FailedPrecondition  an alias names it.
  absl::StatusOr<DeleteResult> DeleteVersion(const std::string& model, uint64_t version,
                                             const DeleteOptions& options = {});
  // All that are live now.
  absl::StatusOr<DeleteResult> DeleteAllVersions(const std::string& model,
                                                 const DeleteOptions& options = {});
  // FailedPrecondition  it is not deleted. NotFound  also if it was collected.
  absl::StatusOr<VersionDescription> UndeleteVersion(const std::string& model, uint64_t version,
                                                     const std::string& request_id = "");
  // Those that can be brought back, newest first.
  absl::StatusOr<std::vector<VersionDescription>> DeletedVersions(const std::string& model);
  // ResourceExhausted  the registry has too many versions to tell.
  absl::StatusOr<VersionUsage> GetVersionUsage(const std::string& reference);

  // nullopt: the rules are lifted, every version is kept.
  absl::Status SetRetention(const std::string& model, const std::optional<RetentionRules>& rules,
                            const std::string& request_id = "");
  absl::StatusOr<std::optional<RetentionRules>> GetRetention(const std::string& model);

  // --- operation ---------------------------------------------------------------------
  // Removes what no version uses, beside pushes and pulls. Cancelled, or with the client
  // gone, it stops; what it has removed was garbage. Aborted/CONFLICT  one is running.
  absl::StatusOr<GarbageReport> CollectGarbage(const GarbageOptions& options = {});

  // Reads what is stored of a version, or ("") of everything, and compares it with its SHA-256.
  // Damage is an answer, not an error. Unavailable  another verification runs.
  absl::StatusOr<VerifyReport> Verify(const std::string& reference,
                                      const VerifyStoreOptions& options = {});

  // Copies models into a portable folder, beside everything else. Of each model it takes one
  // instant: what its aliases name is among its versions. What the folder has already is not
  // fetched again; cut short, the same call goes on, and a restore sees what was there before.
  // FailedPrecondition  the folder holds other files, is of a newer format, another registry's,
  // or being written. Aborted/CONFLICT  a model changes faster than it can be read. DataLoss
  // the server's versions of some models are damaged; everything that is sound was copied.
  absl::StatusOr<BackupReport> Backup(const std::string& folder, const BackupOptions& options = {});
  // The way back: versions with their numbers, times, creators, labels and messages, then
  // aliases, bound schemas and retention rules of models that are new. What is there already is
  // skipped, so it can be repeated. A model that fails does not stop the others; the worst failure
  // is the answer. DataLoss  the folder is damaged. FailedPrecondition  the server has another
  // version under a number, or has used it up.
  absl::StatusOr<RestoreReport> Restore(const std::string& folder,
                                        const RestoreOptions& options = {});

  absl::StatusOr<Capabilities> GetCapabilities();

  // --- operation -------------------------------------------------------------------
  // `exact`: the server counts versions and blocks now, a scan; otherwise its last count
  // may be some minutes old. Unavailable  another count is under way.
  absl::StatusOr<ServerStatistics> GetStats(bool exact = false);

  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);  // Connect makes clients

 private:
  std::unique_ptr<Impl> impl_;
};

// A fresh request id: 128 random bits in hex.
std::string NewRequestId();

}  // namespace ballast

#endif  // BALLAST_CLIENT_H_

#include <ballast/client.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "client/client_impl.h"
#include "client/delta_pull.h"
#include "client/file_sink.h"
#include "client/pull_stream.h"
#include "client/push_source.h"
#include "client/shard_folder.h"
#include "client/tensor_memory.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

absl::Status CheckPull(const std::string& reference, const PullOptions& options,
                       const Limits& limits) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  return KeyRules::Compile(options.rules, limits).status();
}

absl::Status WriteAll(const std::vector<Chunk>& chunks, ByteSink* sink) {
  for (const Chunk& chunk : chunks) RETURN_IF_ERROR(sink->Write(chunk.bytes));
  return absl::OkStatus();
}

absl::Status CompareTensors(const Manifest& want, const Manifest& found) {
  absl::flat_hash_map<absl::string_view, const ManifestEntry*> by_key;
  for (const ManifestEntry& entry : found.entries) by_key[entry.spec.key] = &entry;
  if (by_key.size() != want.entries.size()) {
    return absl::DataLossError(
        absl::StrCat("the file has ", by_key.size(), " entries, want ", want.entries.size()));
  }
  for (const ManifestEntry& entry : want.entries) {
    const auto it = by_key.find(entry.spec.key);
    if (it == by_key.end() || it->second->spec.dtype != entry.spec.dtype ||
        it->second->spec.shape != entry.spec.shape) {
      return absl::DataLossError(
          absl::StrCat(QuotedKey(entry.spec.key), ": is not in the file as it was pushed"));
    }
    if (TensorDigest(*it->second) != TensorDigest(entry)) {
      return absl::DataLossError(
          absl::StrCat(QuotedKey(entry.spec.key), ": the SHA-256 of its bytes differs"));
    }
  }
  return absl::OkStatus();
}

// Reads back what was written, from the disk's side, and compares it with the manifest.
absl::Status VerifyWritten(const std::string& path, Format format, const Manifest& manifest,
                           Operation* operation, const Limits& limits) {
  absl::StatusOr<WeightsFile> weights = OpenWeights(path, format, limits);
  if (!weights.ok()) return absl::DataLossError(weights.status().message());
  ASSIGN_OR_RETURN(const std::unique_ptr<PushSource> source,
                   PushSourceOf(*std::move(weights), {}, limits));
  const absl::StatusOr<Manifest> found = NameBlocks(*source, operation, Progress::Phase::kVerify);
  if (found.ok()) return CompareTensors(manifest, *found);
  if (found.status().code() != absl::StatusCode::kInvalidArgument) return found.status();
  return absl::DataLossError(found.status().message());
}

// Fills the caller's memory in order.
class TensorFiller {
 public:
  explicit TensorFiller(const TensorAllocator& allocate) : allocate_(allocate) {}

  absl::Status Allocate(const Manifest& manifest) {
    ASSIGN_OR_RETURN(memory_, AllocateTensors(manifest, allocate_));
    std::erase_if(memory_, [](const absl::Span<char>& memory) { return memory.empty(); });
    return absl::OkStatus();
  }

  absl::Status Fill(const std::vector<Chunk>& chunks) {
    for (const Chunk& chunk : chunks) {
      for (absl::string_view bytes = chunk.bytes; !bytes.empty();) {
        if (next_ == memory_.size()) return absl::DataLossError("more data came than tensors");
        absl::Span<char>& memory = memory_[next_];
        const size_t n = std::min(bytes.size(), memory.size());
        std::memcpy(memory.data(), bytes.data(), n);
        bytes.remove_prefix(n);
        memory.remove_prefix(n);
        if (memory.empty()) ++next_;
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckFull() const {
    if (next_ == memory_.size()) return absl::OkStatus();
    return absl::DataLossError("less data came than the tensors need");
  }

 private:
  const TensorAllocator& allocate_;
  std::vector<absl::Span<char>> memory_;  // what is left to fill of each
  size_t next_ = 0;
};

absl::Status CheckSharding(Format format, uint64_t max_shard_bytes) {
  if (format != Format::kUnknown && !CanShard(format)) {
    return UnsupportedError("format is ", FormatName(format),
                            ", which is not written in shards, want safetensors or pytorch");
  }
  if (max_shard_bytes > 0) return absl::OkStatus();
  return absl::InvalidArgumentError("the largest size of a shard is 0, want a number of bytes");
}

// As pushed, if that is written in shards and can hold it.
Format DefaultSharded(const Manifest& manifest, bool plain_dict) {
  if (plain_dict) return Format::kPyTorch;
  const auto fits = [&](const ManifestEntry& entry) {
    return FormatHasDType(manifest.format, entry.spec.dtype);
  };
  const bool as_pushed = CanShard(manifest.format) &&
                         std::all_of(manifest.entries.begin(), manifest.entries.end(), fits);
  return as_pushed ? manifest.format : Format::kSafetensors;
}

// Resolves the reference and compares that version with the schema, so that what is
// pulled afterwards is what was compared.
absl::StatusOr<std::string> PassSchema(Client* client, const std::string& reference,
                                       const PullOptions& options) {
  if (options.schema.empty()) return reference;
  ASSIGN_OR_RETURN(const VersionDescription version, client->GetVersion(reference));
  const std::string exact = absl::StrCat(version.model, ":", version.version);
  ValidateOptions validate;
  validate.schema = options.schema;
  validate.strict = options.strict;
  validate.rules = options.rules;
  validate.with_optimizer = options.with_optimizer;
  ASSIGN_OR_RETURN(const Report report, client->Validate(exact, validate));
  if (!report.ok && options.refusal != nullptr) *options.refusal = report;
  RETURN_IF_ERROR(ReportToStatus(report));
  return exact;
}

// nullopt: there is no such version any more.
absl::StatusOr<std::optional<VersionDescription>> FindVersion(Client* client,
                                                              const std::string& reference) {
  absl::StatusOr<VersionDescription> version = client->GetVersion(reference);
  if (absl::IsNotFound(version.status())) return std::nullopt;
  RETURN_IF_ERROR(version.status());
  return *std::move(version);
}

// All of it in the order of the file; `manifest` is set if it is to be verified.
absl::StatusOr<PullResult> PullWhole(Connection* connection, Operation* operation,
                                     const std::string& exact, const PullOptions& options,
                                     AtomicFile* file, Manifest* manifest) {
  v1::PullRequest request = PullRequestOf(exact, options);
  request.set_with_manifest(options.verify_sha256);
  WritebackSink sink(file);
  PullHandlers handlers;
  handlers.data = [&](const std::vector<Chunk>& chunks) { return WriteAll(chunks, &sink); };
  if (options.verify_sha256) {
    handlers.manifest = [&](const Manifest& m) {
      *manifest = m;
      return absl::OkStatus();
    };
  }
  return PullStream(connection, operation, std::move(request), handlers).Run();
}

}  // namespace

absl::StatusOr<PullResult> Client::PullToSink(const std::string& reference, ByteSink* sink,
                                              const PullOptions& options) {
  RETURN_IF_ERROR(CheckPull(reference, options, impl_->connection.limits()));
  RETURN_IF_ERROR(CheckHave(options, /*file=*/false, /*memory=*/false));
  if (options.verify_sha256) {
    return absl::InvalidArgumentError("verifying SHA-256 reads the file back, want a file");
  }
  Operation operation = impl_->Begin(options.control);
  ASSIGN_OR_RETURN(const std::string exact, PassSchema(this, reference, options));
  PullHandlers handlers;
  handlers.data = [&](const std::vector<Chunk>& chunks) { return WriteAll(chunks, sink); };
  ASSIGN_OR_RETURN(
      PullResult result,
      PullStream(&impl_->connection, &operation, PullRequestOf(exact, options), handlers).Run());
  return result;
}

absl::StatusOr<PullResult> Client::PullFile(const std::string& reference, const std::string& path,
                                            const PullOptions& options) {
  RETURN_IF_ERROR(CheckPull(reference, options, impl_->connection.limits()));
  RETURN_IF_ERROR(CheckHave(options, /*file=*/true, /*memory=*/false));
  Operation operation = impl_->Begin(options.control);
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                   AtomicFile::Create(path, options.overwrite));
  ASSIGN_OR_RETURN(const std::string exact, PassSchema(this, reference, options));
  Manifest manifest;
  const auto pull = [&]() -> absl::StatusOr<PullResult> {
    if (options.have_file.empty()) {
      return PullWhole(&impl_->connection, &operation, exact, options, file.get(), &manifest);
    }
    ASSIGN_OR_RETURN(const VersionDescription version, GetVersion(exact));
    return DeltaToFile(&impl_->connection, &operation, version, options, file.get(), &manifest);
  };
  ASSIGN_OR_RETURN(PullResult result, pull());
  if (options.verify_sha256) {
    RETURN_IF_ERROR(VerifyWritten(file->temp_path(), result.format, manifest, &operation,
                                  impl_->connection.limits()),
                    absl::StrCat("verifying ", Printable(path)));
  }
  RETURN_IF_ERROR(operation.Report(Progress::Phase::kReceive, result.bytes, result.bytes));
  RETURN_IF_ERROR(file->Commit());
  return result;
}

absl::StatusOr<PullShardsResult> Client::PullShards(const std::string& reference,
                                                    const std::string& folder,
                                                    uint64_t max_shard_bytes,
                                                    const PullOptions& options) {
  const Limits& limits = impl_->connection.limits();
  RETURN_IF_ERROR(CheckPull(reference, options, limits));
  RETURN_IF_ERROR(CheckHave(options, /*file=*/false, /*memory=*/false));
  RETURN_IF_ERROR(CheckSharding(options.format, max_shard_bytes));
  Operation operation = impl_->Begin(options.control);
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFolder> target,
                   AtomicFolder::Create(folder, options.overwrite, IsShardedName));
  ASSIGN_OR_RETURN(const std::string exact, PassSchema(this, reference, options));
  v1::PullRequest request = PullRequestOf(exact, options);
  request.set_format(std::string(FormatName(Format::kTensors)));
  request.clear_plain_dict();
  request.set_with_manifest(true);
  Manifest manifest;
  Format format = options.format;
  std::optional<ShardFolder> shards;
  PullHandlers handlers;
  handlers.manifest = [&](const Manifest& m) -> absl::Status {
    manifest = m;
    if (format == Format::kUnknown) format = DefaultSharded(manifest, options.plain_dict);
    LayoutInput input = LayoutInputOf(manifest);
    input.plain_dict = options.plain_dict;
    ASSIGN_OR_RETURN(ShardedLayout layout, LayOutShards(format, input, max_shard_bytes, limits));
    shards.emplace(target.get(), std::move(layout), manifest);
    return absl::OkStatus();
  };
  handlers.data = [&](const std::vector<Chunk>& chunks) -> absl::Status {
    for (const Chunk& chunk : chunks) RETURN_IF_ERROR(shards->Write(chunk.bytes));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(PullResult result,
                   PullStream(&impl_->connection, &operation, std::move(request), handlers).Run());
  RETURN_IF_ERROR(shards->Finish());
  if (options.verify_sha256) {
    RETURN_IF_ERROR(VerifyWritten(target->temp_path(), format, manifest, &operation, limits),
                    absl::StrCat("verifying ", Printable(folder)));
  }
  RETURN_IF_ERROR(operation.Report(Progress::Phase::kReceive, result.bytes, result.bytes));
  RETURN_IF_ERROR(target->Commit());
  result.format = format;
  result.bytes = shards->size_bytes();
  result.warnings.insert(result.warnings.end(), shards->warnings().begin(),
                         shards->warnings().end());
  return PullShardsResult{std::move(result), shards->Names()};
}

absl::StatusOr<PullResult> Client::PullTensors(const std::string& reference,
                                               const PullOptions& options,
                                               const TensorAllocator& allocate) {
  RETURN_IF_ERROR(CheckPull(reference, options, impl_->connection.limits()));
  RETURN_IF_ERROR(CheckHave(options, /*file=*/false, /*memory=*/true));
  Operation operation = impl_->Begin(options.control);
  ASSIGN_OR_RETURN(const std::string exact, PassSchema(this, reference, options));
  if (!options.have_version.empty()) {
    ASSIGN_OR_RETURN(const VersionDescription version, GetVersion(exact));
    ASSIGN_OR_RETURN(const auto have, FindVersion(this, options.have_version));
    return DeltaToMemory(&impl_->connection, &operation, version, have, options, allocate);
  }
  v1::PullRequest request = PullRequestOf(exact, options);
  request.set_format(std::string(FormatName(Format::kTensors)));
  request.clear_plain_dict();
  request.set_with_manifest(true);
  TensorFiller filler(allocate);
  PullHandlers handlers;
  handlers.manifest = [&](const Manifest& manifest) { return filler.Allocate(manifest); };
  handlers.data = [&](const std::vector<Chunk>& chunks) { return filler.Fill(chunks); };
  ASSIGN_OR_RETURN(PullResult result,
                   PullStream(&impl_->connection, &operation, std::move(request), handlers).Run());
  RETURN_IF_ERROR(filler.CheckFull());
  return result;
}

}  // namespace ballast

#include <ballast/client.h>

#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/client_impl.h"
#include "client/file_sink.h"
#include "client/pull_stream.h"
#include "client/rows_file.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

struct Wanted {
  const std::string& reference;
  const std::string& key;
  const RowRange& rows;
};

// Where the rows go: told what they are, once, and then their bytes.
struct RowsTarget {
  // `manifest` has the whole tensor's entry and no other.
  std::function<absl::Status(const RowSlice& slice, const Manifest& manifest)> begin;
  std::function<absl::Status(absl::string_view bytes)> write;
};

v1::PullRequest RequestOf(const Wanted& wanted) {
  v1::PullRequest request;
  request.set_reference(wanted.reference);
  request.set_format(std::string(FormatName(Format::kTensors)));
  request.set_with_manifest(true);
  request.mutable_rows()->set_key(wanted.key);
  request.mutable_rows()->set_first(wanted.rows.first);
  if (wanted.rows.count) request.mutable_rows()->set_count(*wanted.rows.count);
  return request;
}

// The server's answer is the rows that were asked for, and not the whole version, which comes
// from one that does not know rows.
absl::StatusOr<RowSlice> SliceOf(const Manifest& manifest, const Wanted& wanted,
                                 uint64_t size_bytes) {
  if (manifest.entries.size() == 1 && manifest.entries[0].spec.key == wanted.key) {
    ASSIGN_OR_RETURN(RowSlice slice, SliceRows(manifest.entries[0].spec, wanted.rows));
    if (slice.size_bytes == size_bytes) return slice;
  }
  return UnsupportedError("rows of ", QuotedKey(wanted.key), ": the answer is ",
                          manifest.entries.size(), " entries of ", size_bytes,
                          " bytes, want the rows; the server is older than this client");
}

absl::StatusOr<PullRowsResult> Run(Connection* connection, Operation* operation,
                                   const Wanted& wanted, const RowsTarget& target) {
  PullRowsResult result;
  PullHandlers handlers;
  PullStream stream(connection, operation, RequestOf(wanted), handlers);
  handlers.manifest = [&](const Manifest& manifest) -> absl::Status {
    ASSIGN_OR_RETURN(const RowSlice slice, SliceOf(manifest, wanted, stream.total_bytes()));
    result.tensor = manifest.entries[0].spec;
    result.first_row = slice.first_row;
    result.rows = slice.spec.shape[0];
    result.payload_bytes = slice.size_bytes;
    return target.begin(slice, manifest);
  };
  handlers.data = [&](const std::vector<Chunk>& chunks) -> absl::Status {
    for (const Chunk& chunk : chunks) RETURN_IF_ERROR(target.write(chunk.bytes));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(result.pulled, stream.Run());
  return result;
}

absl::StatusOr<PullRowsResult> RunToSink(Connection* connection, Operation* operation,
                                         const Wanted& wanted, ByteSink* sink,
                                         const PullRowsOptions& options) {
  RowsFile file(sink);
  RowsTarget target;
  target.begin = [&](const RowSlice& slice, const Manifest& manifest) {
    const Format format = options.format == Format::kUnknown
                              ? DefaultFormat(manifest, options.plain_dict)
                              : options.format;
    return file.Begin(format, slice.spec, options.plain_dict, connection->limits());
  };
  target.write = [&](absl::string_view bytes) { return file.Write(bytes); };
  ASSIGN_OR_RETURN(PullRowsResult result, Run(connection, operation, wanted, target));
  RETURN_IF_ERROR(file.Finish());
  PullResult& pulled = result.pulled;
  pulled.format = file.format();
  pulled.bytes = file.size_bytes();
  pulled.warnings.insert(pulled.warnings.end(), file.warnings().begin(), file.warnings().end());
  return result;
}

absl::Status CheckRows(const std::string& reference, const std::string& key, const Limits& limits) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  return CheckKey(key, limits);
}

}  // namespace

absl::StatusOr<PullRowsResult> Client::PullRows(const std::string& reference,
                                                const std::string& key, const RowRange& rows,
                                                const CallControl& control,
                                                const TensorAllocator& allocate) {
  RETURN_IF_ERROR(CheckRows(reference, key, impl_->connection.limits()));
  Operation operation = impl_->Begin(control);
  absl::Span<char> left;
  RowsTarget target;
  target.begin = [&](const RowSlice& slice, const Manifest&) -> absl::Status {
    ASSIGN_OR_RETURN(left, allocate(slice.spec), QuotedKey(key));
    if (left.size() == slice.size_bytes) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("the allocator gave ", left.size(),
                                                   " bytes for the rows of ", QuotedKey(key),
                                                   ", want ", slice.size_bytes));
  };
  // The stream lets no more come than its header said, which is what the memory holds.
  target.write = [&](absl::string_view bytes) {
    std::memcpy(left.data(), bytes.data(), bytes.size());
    left.remove_prefix(bytes.size());
    return absl::OkStatus();
  };
  return Run(&impl_->connection, &operation, {reference, key, rows}, target);
}

absl::StatusOr<PullRowsResult> Client::PullRowsToSink(const std::string& reference,
                                                      const std::string& key, const RowRange& rows,
                                                      ByteSink* sink,
                                                      const PullRowsOptions& options) {
  RETURN_IF_ERROR(CheckRows(reference, key, impl_->connection.limits()));
  Operation operation = impl_->Begin(options.control);
  return RunToSink(&impl_->connection, &operation, {reference, key, rows}, sink, options);
}

absl::StatusOr<PullRowsResult> Client::PullRowsFile(const std::string& reference,
                                                    const std::string& key, const RowRange& rows,
                                                    const std::string& path,
                                                    const PullRowsOptions& options) {
  RETURN_IF_ERROR(CheckRows(reference, key, impl_->connection.limits()));
  Operation operation = impl_->Begin(options.control);
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                   AtomicFile::Create(path, options.overwrite));
  WritebackSink sink(file.get());
  ASSIGN_OR_RETURN(PullRowsResult result, RunToSink(&impl_->connection, &operation,
                                                    {reference, key, rows}, &sink, options));
  RETURN_IF_ERROR(file->Commit());
  return result;
}

}  // namespace ballast

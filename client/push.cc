#include <ballast/client.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/answers.h"
#include "client/block_question.h"
#include "client/client_impl.h"
#include "client/push_exchange.h"
#include "client/push_source.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"
#include "storage/model/reference.h"
#include "storage/model/value_counter.h"
#include "storage/schema/schema.h"

namespace ballast {
namespace {

// What can be told before anything is read or sent.
absl::Status CheckPush(const std::string& model, const PushOptions& options, const Limits& limits) {
  RETURN_IF_ERROR(CheckModelName(model));
  if (!options.alias.empty()) RETURN_IF_ERROR(CheckAliasName(options.alias));
  RETURN_IF_ERROR(CheckUtf8("message", options.message));
  for (const auto& [name, value] : options.labels) {
    RETURN_IF_ERROR(CheckUtf8("label", absl::StrCat(name, "=", value)));
  }
  RETURN_IF_ERROR(RequestIdOr(options.request_id).status());
  if (!options.parent.empty()) RETURN_IF_ERROR(ParseReference(options.parent).status(), "parent");
  if (!options.schema.reference.empty()) {
    RETURN_IF_ERROR(ParseReference(options.schema.reference).status(), "schema");
  }
  if (!options.schema.json.empty()) {
    RETURN_IF_ERROR(ParseSchema(options.schema.json, limits).status());
  }
  return KeyRules::Compile(options.rules, limits).status();
}

// Calls attempt(PushExchange&) until it succeeds or another try is of no use; all
// attempts are one request. `answered`: the server has, before.
template <typename F>
absl::StatusOr<PushResult> WithRetries(Connection* connection, Operation* operation,
                                       const std::string& model, const PushOptions& options,
                                       F attempt, bool answered = false) {
  ASSIGN_OR_RETURN(const std::string request_id, RequestIdOr(options.request_id));
  Patience patience(connection, operation);
  if (answered) patience.Answered();
  uint64_t sent_bytes = 0;
  uint64_t least_bytes = UINT64_MAX;  // that an attempt had to send
  while (true) {
    PushExchange exchange(connection, operation, options, model, request_id);
    absl::StatusOr<PushResult> result = attempt(exchange);
    sent_bytes += exchange.sent_bytes();
    if (result.ok()) {
      result->bytes_sent = sent_bytes;
      result->retries = patience.retries();
      return result;
    }
    if (exchange.answered()) patience.Answered();
    if (exchange.sent_bytes() > 0) patience.Moved(exchange.needed_bytes() < least_bytes);
    least_bytes = std::min(least_bytes, exchange.needed_bytes());
    if (!exchange.may_retry() || !patience.TryAgain(result.status())) return result;
  }
}

absl::StatusOr<PushResult> PushSourceTo(Connection* connection, Operation* operation,
                                        const PushSource& source, const std::string& model,
                                        const PushOptions& options) {
  ASSIGN_OR_RETURN(Offer offer,
                   MakeOffer(source, model, options.request_id, connection, operation));
  Manifest& manifest = offer.manifest;
  if (options.no_nan) RETURN_IF_ERROR(CheckAllFinite(manifest));
  const auto hash_rest = [&] {
    const auto left = [&](uint32_t entry, uint64_t block) {
      return manifest.entries[entry].blocks[block].digest == Digest();
    };
    return HashChosen(source, operation, Progress::Phase::kHash, left, &manifest);
  };
  bool moved = false;
  const auto attempt = [&](PushExchange& exchange) -> absl::StatusOr<PushResult> {
    // What an attempt before has made durable is known by its digest.
    if (moved) RETURN_IF_ERROR(hash_rest());
    absl::StatusOr<PushResult> result = exchange.SendManifest(manifest, source);
    moved |= exchange.sent_bytes() > 0;
    if (!result.ok() || !result->repeated || IsHashed(manifest)) return result;
    RETURN_IF_ERROR(hash_rest());
    RETURN_IF_ERROR(exchange.CheckAnswer(*result, VersionDigest(manifest)));
    return result;
  };
  ASSIGN_OR_RETURN(PushResult result, WithRetries(connection, operation, model, options, attempt,
                                                  offer.answered));
  result.warnings.insert(result.warnings.begin(), source.warnings().begin(),
                         source.warnings().end());
  return result;
}

absl::StatusOr<std::unique_ptr<PushSource>> OpenSource(const std::string& path,
                                                       const PushOptions& options,
                                                       const Limits& limits) {
  ASSIGN_OR_RETURN(WeightsFile weights, OpenWeights(path, options.format, limits));
  ASSIGN_OR_RETURN(std::unique_ptr<PushSource> source,
                   PushSourceOf(std::move(weights), options.rules, limits), Printable(path));
  return source;
}

// A file whose bytes differ between the two readings fails its checksum at the server.
absl::Status ExplainChange(const absl::Status& status, const std::string& path) {
  if (GetReason(status) != Reason::kChecksum) return WithContext(status, Printable(path));
  return WithContext(status, absl::StrCat(Printable(path), " (was it changed meanwhile?)"));
}

}  // namespace

absl::StatusOr<PushResult> Client::PushFile(const std::string& path, const std::string& model,
                                            const PushOptions& options) {
  Connection* connection = &impl_->connection;
  const Limits& limits = connection->limits();
  RETURN_IF_ERROR(CheckPush(model, options, limits));
  Operation operation = impl_->Begin(options.control);
  if (options.raw) {
    ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, OpenFile(path));
    return WithRetries(connection, &operation, model, options,
                       [&](PushExchange& exchange) -> absl::StatusOr<PushResult> {
                         SourceStream stream(file.get());
                         ASSIGN_OR_RETURN(PushResult result,
                                          exchange.SendFile(&stream, file->size_bytes()));
                         if (!result.repeated || options.request_id.empty()) return result;
                         // The server did not look at the file.
                         ASSIGN_OR_RETURN(const auto source, OpenSource(path, options, limits));
                         ASSIGN_OR_RETURN(const Manifest manifest,
                                          HashBlocks(*source, &operation, Progress::Phase::kHash));
                         RETURN_IF_ERROR(exchange.CheckAnswer(result, VersionDigest(manifest)));
                         return result;
                       });
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<PushSource> source, OpenSource(path, options, limits));
  absl::StatusOr<PushResult> result = PushSourceTo(connection, &operation, *source, model, options);
  if (result.ok() || GetReason(result.status()) != Reason::kChecksum) return result;
  return ExplainChange(result.status(), path);
}

absl::StatusOr<PushResult> Client::Impl::PushTensors(absl::Span<const TensorView> tensors,
                                                     const std::string& model,
                                                     const PushOptions& options) {
  RETURN_IF_ERROR(CheckPush(model, options, connection.limits()));
  Operation operation = Begin(options.control);
  ASSIGN_OR_RETURN(const std::unique_ptr<PushSource> source,
                   OpenPushTensors(tensors, options.rules, connection.limits()));
  return PushSourceTo(&connection, &operation, *source, model, options);
}

absl::StatusOr<PushResult> Client::PushTensors(absl::Span<const TensorView> tensors,
                                               const std::string& model,
                                               const PushOptions& options) {
  return impl_->PushTensors(tensors, model, options);
}

std::future<absl::StatusOr<PushResult>> Client::PushAsync(absl::Span<const TensorView> tensors,
                                                          const std::string& model,
                                                          const PushOptions& options,
                                                          const AsyncPushOptions& how) {
  return impl_->pushes.Add(tensors, model, options, how);
}

absl::Status Client::Flush() { return impl_->pushes.Flush(); }

absl::StatusOr<PushResult> Client::PushStream(ByteStream* stream, const std::string& model,
                                              const PushOptions& options) {
  RETURN_IF_ERROR(CheckPush(model, options, impl_->connection.limits()));
  Operation operation = impl_->Begin(options.control);
  ASSIGN_OR_RETURN(const std::string request_id, RequestIdOr(options.request_id));
  RETURN_IF_ERROR(impl_->connection.Reach());
  PushExchange exchange(&impl_->connection, &operation, options, model, request_id);
  ASSIGN_OR_RETURN(PushResult result, exchange.SendFile(stream, 0));
  if (result.repeated) {
    result.warnings.emplace_back("what was read is not compared with what the request id made");
  }
  return result;
}

}  // namespace ballast

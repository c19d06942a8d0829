// Calls that carry documents: descriptions, reports and schemas, in pieces.

#include <ballast/client.h>

#include <utility>

#include "client/answers.h"
#include "client/client_impl.h"
#include "proto/wire.h"
#include "storage/base/status.h"
#include "storage/model/manifest.h"
#include "storage/model/reference.h"
#include "storage/schema/schema.h"

namespace ballast {
namespace {

// Sends what `send` sends, then takes every answer of type Message; the call's status
// counts most.
template <typename Message>
absl::Status Exchange(ClientCall* call, const std::function<absl::Status()>& send,
                      const std::function<absl::Status(const Message&)>& take) {
  // A failure to send shows in what is received.
  if (send().ok()) call->WritesDone().IgnoreError();
  while (true) {
    auto message = call->Receive<Message>();
    if (!message.ok()) return call->Explain(message.status());
    if (!message->has_value()) return call->Finish();
    if (absl::Status taken = take(**message); !taken.ok()) return call->Abandon(taken);
  }
}

template <typename Message>
absl::StatusOr<std::string> ReadJson(ClientCall* call, const google::protobuf::MessageLite& request,
                                     uint64_t bytes_max) {
  std::string json;
  RETURN_IF_ERROR(Exchange<Message>(
      call, [&] { return call->Send(request); },
      [&](const Message& piece) -> absl::Status {
        json += piece.json();
        if (json.size() <= bytes_max) return absl::OkStatus();
        return LimitError("the answer is longer than ", bytes_max, " bytes");
      }));
  return json;
}

absl::StatusOr<Report> ReadReport(ClientCall* call, const std::function<absl::Status()>& send) {
  Report report;
  bool complete = false;
  RETURN_IF_ERROR(Exchange<v1::ReportPiece>(call, send, [&](const v1::ReportPiece& piece) {
    complete = wire::AddReportPiece(piece, &report);
    return absl::OkStatus();
  }));
  if (!complete) return BadAnswer(absl::InternalError("the report has no end"));
  return report;
}

absl::Status CheckChoice(const SchemaChoice& choice, const Limits& limits) {
  if (!choice.json.empty()) return ParseSchema(choice.json, limits).status();
  if (choice.reference.empty()) return absl::OkStatus();
  return WithContext(ParseReference(choice.reference).status(), "schema");
}

v1::ValidateRequest ValidateHeaderOf(const std::string& reference, const ValidateOptions& options) {
  v1::ValidateRequest request;
  v1::ValidateHeader* header = request.mutable_header();
  header->set_reference(reference);
  header->set_schema_reference(options.schema.reference);
  header->set_non_strict(!options.strict);
  header->set_with_optimizer(options.with_optimizer);
  wire::RulesToProto(options.rules, header->mutable_rules());
  return request;
}

absl::Status SendSchemaPieces(ClientCall* call, const std::string& json) {
  if (json.empty()) return absl::OkStatus();
  return wire::ForEachTextPiece(json, [&](absl::string_view piece) {
    v1::ValidateRequest request;
    request.set_schema(std::string(piece));
    return call->Send(request);
  });
}

absl::Status SendSpecs(ClientCall* call, absl::Span<const TensorSpec> specs) {
  Manifest manifest;
  for (const TensorSpec& spec : specs) manifest.entries.push_back({spec, {}});
  return wire::ForEachManifestPiece(manifest, false, [&](const v1::ManifestPiece& piece) {
    v1::ValidateRequest request;
    *request.mutable_entries() = piece;
    return call->Send(request);
  });
}

absl::Status SendValidateEnd(ClientCall* call) {
  v1::ValidateRequest request;
  request.mutable_end();
  return call->Send(request);
}

absl::StatusOr<std::string> ReadSchema(Connection* connection,
                                       const v1::GetSchemaRequest& request) {
  const std::unique_ptr<ClientCall> call = connection->OpenControl("GetSchema");
  return ReadJson<v1::GetSchemaResponse>(call.get(), request,
                                         connection->limits().schema_bytes_max);
}

}  // namespace

absl::StatusOr<std::string> Client::Inspect(const std::string& reference,
                                            const InspectOptions& options) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  Operation operation = impl_->Begin(options.control);
  const std::unique_ptr<ClientCall> call =
      impl_->connection.Open("Inspect", operation.cancel(), operation.deadline());
  // A full read comes before the first word of the answer.
  call->set_reads_wait_for_us(options.digests);
  v1::InspectRequest request;
  request.mutable_header()->set_reference(reference);
  request.mutable_header()->set_digests(options.digests);
  return ReadJson<v1::InspectResponse>(call.get(), request,
                                       impl_->connection.limits().manifest_bytes_max);
}

absl::StatusOr<Report> Client::Validate(const std::string& reference,
                                        const ValidateOptions& options) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  RETURN_IF_ERROR(CheckChoice(options.schema, impl_->connection.limits()));
  const std::unique_ptr<ClientCall> call = impl_->connection.OpenControl("Validate");
  return ReadReport(call.get(), [&]() -> absl::Status {
    RETURN_IF_ERROR(call->Send(ValidateHeaderOf(reference, options)));
    RETURN_IF_ERROR(SendSchemaPieces(call.get(), options.schema.json));
    return SendValidateEnd(call.get());
  });
}

absl::StatusOr<Report> Client::ValidateSpecs(absl::Span<const TensorSpec> specs,
                                             const ValidateOptions& options) {
  if (options.schema.empty()) return absl::InvalidArgumentError("validate: no schema is given");
  RETURN_IF_ERROR(CheckChoice(options.schema, impl_->connection.limits()));
  for (const TensorSpec& spec : specs) {
    RETURN_IF_ERROR(CheckKey(spec.key, impl_->connection.limits()));
  }
  const std::unique_ptr<ClientCall> call = impl_->connection.OpenControl("Validate");
  return ReadReport(call.get(), [&]() -> absl::Status {
    RETURN_IF_ERROR(call->Send(ValidateHeaderOf("", options)));
    RETURN_IF_ERROR(SendSchemaPieces(call.get(), options.schema.json));
    RETURN_IF_ERROR(SendSpecs(call.get(), specs));
    return SendValidateEnd(call.get());
  });
}

absl::StatusOr<uint64_t> Client::BindSchema(const std::string& model,
                                            const std::string& schema_json,
                                            const std::string& request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(ParseSchema(schema_json, impl_->connection.limits()).status());
  ASSIGN_OR_RETURN(const std::string id, RequestIdOr(request_id));
  const auto send = [&](ClientCall* call) -> absl::Status {
    v1::BindSchemaRequest header;
    header.mutable_header()->set_model(model);
    header.mutable_header()->set_request_id(id);
    RETURN_IF_ERROR(call->Send(header));
    RETURN_IF_ERROR(wire::ForEachTextPiece(schema_json, [&](absl::string_view piece) {
      v1::BindSchemaRequest request;
      request.set_schema(std::string(piece));
      return call->Send(request);
    }));
    v1::BindSchemaRequest end;
    end.mutable_end()->set_size_bytes(schema_json.size());
    return call->Send(end);
  };
  const absl::Time deadline = absl::Now() + impl_->connection.options().control_timeout;
  for (int attempt = 0;; ++attempt) {
    const std::unique_ptr<ClientCall> call = impl_->connection.OpenControl("BindSchema");
    uint64_t entries = 0;
    const absl::Status status = Exchange<v1::BindSchemaResponse>(
        call.get(), [&] { return send(call.get()); },
        [&](const v1::BindSchemaResponse& response) {
          entries = response.entries();
          return absl::OkStatus();
        });
    if (status.ok()) return entries;
    if (!impl_->connection.Retry(attempt, status, CancelToken(), deadline)) return status;
  }
}

absl::StatusOr<std::string> Client::GetBoundSchema(const std::string& model) {
  RETURN_IF_ERROR(CheckModelName(model));
  v1::GetSchemaRequest request;
  request.set_model(model);
  return ReadSchema(&impl_->connection, request);
}

absl::StatusOr<std::string> Client::GetSchema(const std::string& reference) {
  RETURN_IF_ERROR(ParseReference(reference).status());
  v1::GetSchemaRequest request;
  request.set_reference(reference);
  return ReadSchema(&impl_->connection, request);
}

}  // namespace ballast

// Validate, and the schema that gates a model.

#include <optional>
#include <utility>

#include "proto/wire.h"
#include "server/handlers/stream_io.h"
#include "server/use_cases/gate.h"
#include "server/use_cases/held_manifest.h"
#include "server/use_cases/selection.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"
#include "storage/model/request_id.h"

namespace ballast {
namespace {

absl::Status AppendSchema(const std::string& piece, const Limits& limits, std::string* json) {
  if (json->size() + piece.size() > limits.schema_bytes_max) {
    return LimitError("schema: more than ", limits.schema_bytes_max, " bytes (schema_bytes_max)");
  }
  *json += piece;
  return absl::OkStatus();
}

// What a Validate call compares, gathered from its messages.
struct ValidateInput {
  v1::ValidateHeader header;
  std::string schema_json;
  Manifest entries;
};

absl::StatusOr<ValidateInput> ReadValidate(const Limits& limits, FrameStream* stream) {
  ASSIGN_OR_RETURN(v1::ValidateRequest message, ReadMessage<v1::ValidateRequest>(stream));
  if (!message.has_header()) return MalformedError("validate: the first message is not a header");
  ValidateInput input;
  input.header = message.header();
  wire::ManifestAssembler assembler(limits);
  bool complete = true;  // also without any entries: a reference has them
  while (true) {
    ASSIGN_OR_RETURN(message, ReadMessage<v1::ValidateRequest>(stream));
    if (message.has_end()) break;
    if (message.has_schema()) {
      RETURN_IF_ERROR(AppendSchema(message.schema(), limits, &input.schema_json));
    } else if (message.has_entries()) {
      RETURN_IF_ERROR(assembler.Add(message.entries()));
      complete = assembler.done();
    } else {
      return MalformedError("validate: want schema, entries or `end`");
    }
  }
  if (!complete) return TruncatedError("validate: the entries are not complete");
  ASSIGN_OR_RETURN(input.entries, assembler.Take(false));
  return input;
}

absl::StatusOr<VersionInfo> Resolve(const Services& services, Call* call, const std::string& text) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(text));
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kRead, reference.model));
  return services.catalog->GetVersion(reference);
}

// The entries of a version, as a pull would give them.
absl::StatusOr<HeldManifest> EntriesOf(const Services& services, const v1::ValidateHeader& header,
                                       const VersionInfo& version) {
  ASSIGN_OR_RETURN(HeldManifest held, LoadManifest(services, version));
  std::vector<std::string> warnings;
  RETURN_IF_ERROR(SelectEntries(wire::RulesFromProto(header.rules()), header.with_optimizer(),
                                services.limits, &held.manifest, &warnings));
  return held;
}

absl::Status ServeValidate(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(ValidateInput input, ReadValidate(services.limits, stream));
  const v1::ValidateHeader& header = input.header;
  call->subject = header.reference().substr(0, 400);
  std::optional<VersionInfo> version;
  if (!header.reference().empty()) {
    ASSIGN_OR_RETURN(version, Resolve(services, call, header.reference()));
  }
  const std::string model = version ? version->model : "";
  const bool schema_given = !input.schema_json.empty() || !header.schema_reference().empty();
  const bool strict = !header.non_strict();
  const GateOptions options{std::move(input.schema_json), header.schema_reference(), strict,
                            strict};
  ASSIGN_OR_RETURN(Gate gate,
                   Gate::Open(services, call->principal, schema_given ? "" : model, options));
  if (gate.open()) {
    return absl::NotFoundError(
        model.empty() ? "validate: no schema was given"
                      : absl::StrCat("validate: no schema was given and none is bound to ", model));
  }
  // After the gate, which may read a manifest too: no call waits for room while it has some.
  HeldManifest held;
  if (version) {
    ASSIGN_OR_RETURN(held, EntriesOf(services, header, *version));
  }
  const Manifest& compared = version ? held.manifest : input.entries;
  std::vector<TensorSpec> specs;
  for (const ManifestEntry& entry : compared.entries) specs.push_back(entry.spec);
  const absl::Status checked = gate.Check(specs);
  if (!checked.ok() && GetReason(checked) != Reason::kSchemaMismatch) return checked;
  return wire::ForEachReportPiece(gate.report(), [stream](const v1::ReportPiece& piece) {
    return stream->Write(EncodeMessage(piece));
  });
}

absl::Status ServeBind(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(v1::BindSchemaRequest message, ReadMessage<v1::BindSchemaRequest>(stream));
  if (!message.has_header()) return MalformedError("schema: the first message is not a header");
  const v1::BindSchemaHeader header = message.header();
  call->subject = header.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(header.model()), "schema");
  RETURN_IF_ERROR(RequireRequestId(header.request_id()), "schema");
  RETURN_IF_ERROR(
      services.authorizer->Authorize(call->principal, Action::kBindSchema, header.model()));
  std::string json;
  while (true) {
    ASSIGN_OR_RETURN(message, ReadMessage<v1::BindSchemaRequest>(stream));
    if (message.has_end()) break;
    if (!message.has_schema()) {
      return MalformedError("schema: want a piece of the schema or `end`");
    }
    RETURN_IF_ERROR(AppendSchema(message.schema(), services.limits, &json));
  }
  if (message.end().size_bytes() != json.size()) {
    return TruncatedError("schema: ", json.size(), " bytes came, want ", message.end().size_bytes(),
                          " as `end` says");
  }
  ASSIGN_OR_RETURN(const Schema schema, ParseSchema(json, services.limits));
  RETURN_IF_ERROR(services.catalog->BindSchema(header.model(), json, header.request_id()));
  v1::BindSchemaResponse response;
  response.set_entries(schema.entries.size());
  return stream->Write(EncodeMessage(response));
}

absl::Status ServeUnbind(const Services& services, Call* call,
                         const v1::UnbindSchemaRequest& request, v1::UnbindSchemaResponse*) {
  call->subject = request.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(request.model()), "schema");
  RETURN_IF_ERROR(RequireRequestId(request.request_id()), "schema");
  RETURN_IF_ERROR(
      services.authorizer->Authorize(call->principal, Action::kBindSchema, request.model()));
  return services.catalog->UnbindSchema(request.model(), request.request_id());
}

absl::StatusOr<std::string> SchemaJson(const Services& services, Call* call,
                                       const v1::GetSchemaRequest& request) {
  if (request.has_reference()) {
    call->subject = request.reference().substr(0, 400);
    ASSIGN_OR_RETURN(const Schema schema,
                     SchemaOfVersion(services, call->principal, request.reference()));
    return SchemaToJson(schema);
  }
  call->subject = request.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(request.model()), "schema");
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kRead, request.model()));
  return services.catalog->GetBoundSchema(request.model());
}

absl::Status ServeGetSchema(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(const v1::GetSchemaRequest request, ReadMessage<v1::GetSchemaRequest>(stream));
  ASSIGN_OR_RETURN(const std::string json, SchemaJson(services, call, request));
  return wire::ForEachTextPiece(json, [stream](absl::string_view piece) {
    v1::GetSchemaResponse response;
    response.set_json(std::string(piece));
    return stream->Write(EncodeMessage(response));
  });
}

}  // namespace

void AddSchemaMethods(const Services& services, MethodTable* table) {
  // Schemas and manifests can be large: these wait beside the data streams, not before the
  // control calls.
  const auto add = [&](const char* name, auto serve) {
    (*table)[name] = {[&services, serve](Call* call, FrameStream* stream) {
                        return serve(services, call, stream);
                      },
                      true};
  };
  add("Validate", ServeValidate);
  add("BindSchema", ServeBind);
  add("GetSchema", ServeGetSchema);
  (*table)["UnbindSchema"] = {Unary<v1::UnbindSchemaRequest, v1::UnbindSchemaResponse>(
      [&services](Call* call, const auto& request, auto* response) {
        return ServeUnbind(services, call, request, response);
      })};
}

}  // namespace ballast

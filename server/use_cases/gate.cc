#include "server/use_cases/gate.h"

#include <utility>

#include "server/use_cases/held_manifest.h"
#include "server/use_cases/selection.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {

absl::StatusOr<Schema> SchemaOfVersion(const Services& services, absl::string_view principal,
                                       absl::string_view reference) {
  ASSIGN_OR_RETURN(const Reference parsed, ParseReference(reference));
  RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kRead, parsed.model));
  ASSIGN_OR_RETURN(const VersionInfo version, services.catalog->GetVersion(parsed));
  ASSIGN_OR_RETURN(const HeldManifest held, LoadManifest(services, version));
  return SchemaOf(GatedSpecs(held.manifest));
}

absl::StatusOr<Gate> Gate::Open(const Services& services, absl::string_view principal,
                                absl::string_view model, const GateOptions& options) {
  Gate gate;
  gate.limits_ = services.limits;
  gate.report_.strict = options.strict;
  if (!options.schema_json.empty()) {
    ASSIGN_OR_RETURN(Schema schema, ParseSchema(options.schema_json, services.limits));
    gate.Require(std::move(schema), options.strict);
  }
  if (!options.schema_reference.empty()) {
    ASSIGN_OR_RETURN(Schema schema, SchemaOfVersion(services, principal, options.schema_reference),
                     "schema");
    gate.Require(std::move(schema), options.strict);
  }
  if (!model.empty()) {
    absl::StatusOr<std::string> bound = services.catalog->GetBoundSchema(model);
    if (bound.ok()) {
      ASSIGN_OR_RETURN(Schema schema, ParseSchema(*bound, services.limits), "bound schema");
      gate.Require(std::move(schema), options.bound_strict);
    } else if (!absl::IsNotFound(bound.status())) {
      return bound.status();
    }
  }
  return gate;
}

void Gate::Require(Schema schema, bool strict) {
  required_.push_back(std::make_unique<Required>(Required{std::move(schema), strict}));
}

absl::Status Gate::Check(absl::Span<const TensorSpec> specs) {
  for (const std::unique_ptr<Required>& required : required_) {
    report_ = Validate(required->schema, specs, required->strict, limits_);
    RETURN_IF_ERROR(ReportToStatus(report_));
  }
  return absl::OkStatus();
}

absl::Status Gate::Add(const TensorSpec& spec) {
  if (streaming_.size() < required_.size()) {
    for (const std::unique_ptr<Required>& required : required_) {
      streaming_.push_back(
          std::make_unique<StreamingValidator>(&required->schema, required->strict, limits_));
    }
  }
  for (const std::unique_ptr<StreamingValidator>& validator : streaming_) {
    const absl::Status status = validator->Add(spec);
    if (status.ok()) continue;
    report_ = validator->Finish();
    report_.missing.clear();  // not known before the end of the stream
    return status;
  }
  return absl::OkStatus();
}

absl::Status Gate::Finish() {
  if (streaming_.empty()) return Check({});
  for (const std::unique_ptr<StreamingValidator>& validator : streaming_) {
    report_ = validator->Finish();
    RETURN_IF_ERROR(ReportToStatus(report_));
  }
  return absl::OkStatus();
}

}  // namespace ballast

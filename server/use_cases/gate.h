// The schema gate: the schema bound to a model, the one a caller brings, and the one
// of a version that a caller names.
#ifndef BALLAST_SERVER_USE_CASES_GATE_H_
#define BALLAST_SERVER_USE_CASES_GATE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/services.h"
#include "storage/model/tensor_spec.h"
#include "storage/schema/schema.h"
#include "storage/schema/validate.h"

namespace ballast {

// What a caller asks to be compared with. All empty: only what is bound.
struct GateOptions {
  std::string schema_json;       // "": none
  std::string schema_reference;  // "": none
  bool strict = true;            // of the schemas that the caller brings
  bool bound_strict = true;      // of the bound one: not the caller's to loosen in a push
};

// Not thread-safe.
class Gate {
 public:
  // Reads and parses the schemas. `model`: whose bound schema counts; "" for none.
  // Errors: InvalidArgument  a schema that is not one. NotFound  schema_reference.
  static absl::StatusOr<Gate> Open(const Services& services, absl::string_view principal,
                                   absl::string_view model, const GateOptions& options);

  bool open() const { return required_.empty(); }

  // All specs at once. Errors: FailedPrecondition/SCHEMA_MISMATCH; report() says more.
  absl::Status Check(absl::Span<const TensorSpec> specs);

  // One by one, for streams; Finish decides what is missing. Errors as Check.
  absl::Status Add(const TensorSpec& spec);
  absl::Status Finish();

  // The report of the schema that refused; of the last one checked if none did.
  const Report& report() const { return report_; }

 private:
  struct Required {
    Schema schema;
    bool strict = true;
  };
  void Require(Schema schema, bool strict);

  Limits limits_;
  std::vector<std::unique_ptr<Required>> required_;
  std::vector<std::unique_ptr<StreamingValidator>> streaming_;
  Report report_;
};

// The schema that a reference's version fulfils: that of its weights.
// Errors: NotFound, DataLoss.
absl::StatusOr<Schema> SchemaOfVersion(const Services& services, absl::string_view principal,
                                       absl::string_view reference);

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_GATE_H_

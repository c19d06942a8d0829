#include "storage/base/status.h"
#include "storage/schema/schema.h"
#include "storage/schema/validate.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

// Parsed; and if it is sound, its text gives the same again.
absl::StatusOr<Schema> Parse(absl::string_view json) {
  absl::StatusOr<Schema> schema = ParseSchema(json, SmallLimits());
  if (!schema.ok()) {
    CheckRefusal(schema.status());
    return schema;
  }
  const std::string text = SchemaToJson(*schema);
  CheckJson(text);
  const absl::StatusOr<Schema> again = ParseSchema(text, Limits());
  Require(again.ok() && *again == *schema, "a schema's text is that schema", text);
  return schema;
}

// Tensors that the schema could be about; what it leaves open is 1 or float32.
std::vector<TensorSpec> SpecsOf(const Schema& schema) {
  std::vector<TensorSpec> out;
  for (const SchemaEntry& entry : schema.entries) {
    TensorSpec spec;
    spec.key = entry.key;
    spec.dtype = entry.dtype.value_or(DType::kFloat32);
    for (const SchemaDim& dim : entry.shape) {
      spec.shape.push_back(dim.size < 0 ? 1 : static_cast<uint64_t>(dim.size));
    }
    out.push_back(std::move(spec));
  }
  return out;
}

size_t Items(const Report& report) {
  return report.missing.size() + report.unexpected.size() + report.shape_mismatches.size() +
         report.dtype_mismatches.size();
}

void CheckReport(const Report& report) {
  Require(Items(report) <= SmallLimits().report_items_max * 4, "a report is bounded");
  CheckJson(ReportToJson(report));
  const absl::Status status = ReportToStatus(report);
  Require(status.ok() == report.ok, "a report's status says whether it is good");
  if (!report.ok) Require(GetReason(status) == Reason::kSchemaMismatch, "the reason is the schema");
  Require(Printable(status.message()) == status.message(), "a message is one printable line");
}

void Compare(const Schema& schema, const std::vector<TensorSpec>& specs, bool strict) {
  const Report whole = Validate(schema, specs, strict, SmallLimits());
  CheckReport(whole);
  StreamingValidator stream(&schema, strict, SmallLimits());
  bool refused = false;
  for (const TensorSpec& spec : specs) refused |= !stream.Add(spec).ok();
  const Report report = stream.Finish();
  CheckReport(report);
  Require(report.ok == whole.ok, "entry by entry gives the same answer");
  Require(!refused || !whole.ok, "an entry is refused only by a schema that does not fit");
}

}  // namespace

void FuzzSchema(absl::string_view input) {
  const size_t zero = input.find('\0');
  const absl::StatusOr<Schema> schema = Parse(input.substr(0, zero));
  const absl::StatusOr<Schema> other =
      zero == absl::string_view::npos ? schema : Parse(input.substr(zero + 1));
  if (!schema.ok() || !other.ok()) return;
  const std::vector<TensorSpec> specs = SpecsOf(*other);
  Require(Validate(SchemaOf(specs), specs, true, SmallLimits()).ok, "tensors fit their own schema");
  for (const bool strict : {true, false}) Compare(*schema, specs, strict);
}

}  // namespace ballast::fuzz

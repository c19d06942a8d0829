#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"

namespace ballast {

absl::Status CatalogImpl::BindSchema(absl::string_view model, absl::string_view schema_json,
                                     absl::string_view request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(request_id));
  if (schema_json.empty()) return MalformedError(model, ": schema is empty, want JSON");
  if (schema_json.size() > limits_.schema_bytes_max) {
    return LimitError(model, ": schema is ", schema_json.size(), " bytes, want at most ",
                      limits_.schema_bytes_max, " (schema_bytes_max)");
  }
  const std::string name(model);
  ASSIGN_OR_RETURN(const auto answered, FindRequest(model, request_id, Operation::kBindSchema));
  if (answered.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(Begun begun, BeginIntent(name));
  const std::string intent_key = IntentKey(begun.id);
  const absl::Status status = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const StoredText text, AddText(begun.batch.get(), schema_json), name);
    RETURN_IF_ERROR(begun.batch->Flush(), name);
    return Change(model, request_id, Operation::kBindSchema,
                  [&](const std::string& token, bool) -> absl::StatusOr<Plan> {
                    ASSIGN_OR_RETURN(
                        const auto values,
                        records_->Read(ModelRecord(model), {intent_key, std::string(kSchemaKey)}));
                    const std::string schema = EncodeSchema({token, text});
                    if (values[1] == schema) return Plan{true, 0, {}, {}};
                    if (values[0] != begun.intent) {
                      return absl::UnavailableError(absl::StrCat(
                          name, ": a collection of garbage has fenced this request: try again"));
                    }
                    return Plan{false,
                                0,
                                {{intent_key, begun.intent}},
                                {{std::string(kSchemaKey), schema}, {intent_key, std::nullopt}}};
                  })
        .status();
  }();
  DropIntent(name, begun.id);  // still there after an error, or if another request was first
  return status;
}

absl::Status CatalogImpl::UnbindSchema(absl::string_view model, absl::string_view request_id) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(request_id));
  const std::string key(kSchemaKey);
  return Change(model, request_id, Operation::kUnbindSchema,
                [&](const std::string&, bool maybe_applied) -> absl::StatusOr<Plan> {
                  ASSIGN_OR_RETURN(const auto value, ReadOne(ModelRecord(model), key));
                  if (value.has_value())
                    return Plan{false, 0, {{key, value}}, {{key, std::nullopt}}};
                  if (maybe_applied) return Plan{true, 0, {}, {}};
                  return absl::NotFoundError(absl::StrCat(model, ": no schema is bound"));
                })
      .status();
}

absl::StatusOr<std::string> CatalogImpl::GetBoundSchema(absl::string_view model) {
  RETURN_IF_ERROR(CheckModelName(model));
  ASSIGN_OR_RETURN(const auto value, ReadOne(ModelRecord(model), std::string(kSchemaKey)));
  if (!value.has_value()) {
    RETURN_IF_ERROR(GetModel(model).status());
    return absl::NotFoundError(absl::StrCat(model, ": no schema is bound"));
  }
  ASSIGN_OR_RETURN(const SchemaValue schema, DecodeSchema(*value), model);
  return LoadText(blobs_, schema.text);
}

}  // namespace ballast

#include "storage/schema/schema.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr uint64_t kSchemaVersion = 1;

std::string JsonString(absl::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Follows the events of the JSON parser through the structure in the header; every
// event that the structure does not have stops it with a status.
class SchemaHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit SchemaHandler(const Limits* limits) : limits_(limits) {}

  const absl::Status& status() const { return status_; }
  Schema TakeSchema() { return std::move(schema_); }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool value) override {
    if (state_ != State::kOptional) return Unexpected("a boolean");
    entry_.optional = value;
    return Go(State::kEntry);
  }
  bool number_integer(number_integer_t value) override {
    if (state_ == State::kDims && value == -1) return AddDim({-1, ""});
    return Unexpected("a negative number");
  }
  bool number_unsigned(number_unsigned_t value) override;
  bool number_float(number_float_t, const string_t&) override {
    return Unexpected("a number that is no integer");
  }
  bool binary(binary_t&) override { return Unexpected("binary"); }
  bool string(string_t& text) override;
  bool start_object(std::size_t) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool key(string_t& name) override;
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    return Fail(MalformedError("schema: is not JSON at byte ", position));
  }

 private:
  // What comes next.
  enum class State {
    kStart,    // the schema object
    kTop,      // a member of it, or its end
    kVersion,  // 1
    kEntries,  // the array of entries
    kItems,    // an entry, or the end of the array
    kEntry,    // a member of an entry, or its end
    kKey,
    kDType,
    kShape,  // the array of dims
    kDims,   // a dim, or the end of the array
    kKind,
    kOptional,
  };

  bool Go(State next) {
    state_ = next;
    return true;
  }
  bool Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
    return false;
  }
  std::string Where() const {
    if (state_ == State::kStart || state_ == State::kTop || state_ == State::kVersion ||
        state_ == State::kEntries) {
      return "schema";
    }
    if (entry_.key.empty()) return absl::StrCat("schema: entry ", schema_.entries.size());
    return absl::StrCat("schema: entry ", schema_.entries.size(), " ", QuotedKey(entry_.key));
  }
  bool Unexpected(absl::string_view got);
  static constexpr uint32_t Bit(State field) { return 1u << static_cast<uint32_t>(field); }
  bool Field(absl::string_view name, State field);
  bool CheckHas(absl::string_view name, State field);
  bool EndEntry();
  bool SetKey(std::string* text);
  bool SetDType(const std::string& text);
  bool SetKind(const std::string& text);
  bool AddDim(SchemaDim dim);

  const Limits* limits_;  // Must outlive this.
  absl::Status status_;
  Schema schema_;
  State state_ = State::kStart;
  SchemaEntry entry_;                            // the one being read
  uint32_t seen_ = 0;                            // fields of the schema and of entry_, as Bit
  absl::flat_hash_set<std::string> keys_;
};

bool SchemaHandler::Unexpected(absl::string_view got) {
  const auto fail = [&](absl::string_view thing, absl::string_view want) {
    return Fail(MalformedError(Where(), ": ", thing, " is ", got, ", want ", want));
  };
  switch (state_) {
    case State::kVersion:
      return fail("ballast_schema", "1");
    case State::kEntries:
      return fail("entries", "an array");
    case State::kItems:
      return fail("the entry", "an object");
    case State::kKey:
      return fail("key", "a string");
    case State::kDType:
      return fail("dtype", "the name of a dtype (or leave it out)");
    case State::kShape:
      return fail("shape", "an array");
    case State::kDims:
      return fail("a dim", "an integer from 0, -1, or a name");
    case State::kKind:
      return fail("kind", "\"parameter\", \"buffer\" or \"unknown\"");
    case State::kOptional:
      return fail("optional", "true or false");
    default:
      return fail("it", "an object");
  }
}

bool SchemaHandler::number_unsigned(number_unsigned_t value) {
  if (state_ == State::kDims && value <= INT64_MAX) {
    return AddDim({static_cast<int64_t>(value), ""});
  }
  if (state_ != State::kVersion || value != kSchemaVersion) {
    return Unexpected(absl::StrCat(value));
  }
  return Go(State::kTop);
}

bool SchemaHandler::string(string_t& text) {
  switch (state_) {
    case State::kKey:
      return SetKey(&text);
    case State::kDType:
      return SetDType(text);
    case State::kKind:
      return SetKind(text);
    case State::kDims:
      if (text.empty()) return Unexpected("an empty name");
      if (absl::Status fit = CheckKey(text, *limits_); !fit.ok()) {
        return Fail(WithContext(fit, absl::StrCat(Where(), ": dim")));
      }
      return AddDim({-1, std::move(text)});
    default:
      return Unexpected("a string");
  }
}

bool SchemaHandler::start_object(std::size_t) {
  if (state_ == State::kStart) return Go(State::kTop);
  if (state_ != State::kItems) return Unexpected("an object");
  entry_ = SchemaEntry();
  seen_ &= Bit(State::kVersion) | Bit(State::kEntries);
  if (schema_.entries.size() < limits_->entries_max) return Go(State::kEntry);
  return Fail(LimitError("schema: has more than ", limits_->entries_max, " entries (entries_max)"));
}

bool SchemaHandler::end_object() {
  if (state_ == State::kEntry) return EndEntry();
  return CheckHas("ballast_schema", State::kVersion) && CheckHas("entries", State::kEntries);
}

bool SchemaHandler::start_array(std::size_t) {
  if (state_ == State::kEntries) return Go(State::kItems);
  if (state_ == State::kShape) return Go(State::kDims);
  return Unexpected("an array");
}

bool SchemaHandler::end_array() { return Go(state_ == State::kDims ? State::kEntry : State::kTop); }

bool SchemaHandler::Field(absl::string_view name, State field) {
  if ((seen_ & Bit(field)) != 0) return Fail(MalformedError(Where(), ": has ", name, " twice"));
  seen_ |= Bit(field);
  return Go(field);
}

bool SchemaHandler::CheckHas(absl::string_view name, State field) {
  return (seen_ & Bit(field)) != 0 || Fail(MalformedError(Where(), ": has no ", name));
}

bool SchemaHandler::key(string_t& name) {
  if (state_ == State::kTop) {
    if (name == "ballast_schema") return Field(name, State::kVersion);
    if (name == "entries") return Field(name, State::kEntries);
    return Fail(MalformedError("schema: has the unknown field ", QuotedKey(name),
                               ", want ballast_schema and entries"));
  }
  if (name == "key") return Field(name, State::kKey);
  if (name == "dtype") return Field(name, State::kDType);
  if (name == "shape") return Field(name, State::kShape);
  if (name == "kind") return Field(name, State::kKind);
  if (name == "optional") return Field(name, State::kOptional);
  return Fail(MalformedError(Where(), ": has the unknown field ", QuotedKey(name),
                             ", want key, dtype, shape, kind or optional"));
}

bool SchemaHandler::EndEntry() {
  if (!CheckHas("key", State::kKey) || !CheckHas("shape", State::kShape)) return false;
  schema_.entries.push_back(std::move(entry_));
  return Go(State::kItems);
}

bool SchemaHandler::SetKey(std::string* text) {
  if (absl::Status fit = CheckKey(*text, *limits_); !fit.ok()) {
    return Fail(WithContext(fit, Where()));
  }
  if (!keys_.insert(*text).second) {
    return Fail(MalformedError(Where(), ": key ", QuotedKey(*text), " is there twice"));
  }
  entry_.key = std::move(*text);
  return Go(State::kEntry);
}

bool SchemaHandler::SetDType(const std::string& text) {
  entry_.dtype = DTypeFromName(text);
  if (!entry_.dtype) return Unexpected(QuotedKey(text));
  return Go(State::kEntry);
}

bool SchemaHandler::SetKind(const std::string& text) {
  for (const Kind kind : {Kind::kUnknown, Kind::kParameter, Kind::kBuffer}) {
    if (KindName(kind) != text) continue;
    entry_.kind = kind;
    return Go(State::kEntry);
  }
  return Unexpected(QuotedKey(text));
}

bool SchemaHandler::AddDim(SchemaDim dim) {
  if (entry_.shape.size() == limits_->dims_max) {
    return Fail(LimitError(Where(), ": has more than ", limits_->dims_max, " dims (dims_max)"));
  }
  entry_.shape.push_back(std::move(dim));
  return true;
}

std::string EntryToJson(const SchemaEntry& entry) {
  std::string out = absl::StrCat("{\"key\":", JsonString(entry.key));
  if (entry.dtype) absl::StrAppend(&out, ",\"dtype\":\"", DTypeName(*entry.dtype), "\"");
  absl::StrAppend(&out, ",\"shape\":[");
  for (size_t i = 0; i < entry.shape.size(); ++i) {
    const SchemaDim& dim = entry.shape[i];
    absl::StrAppend(&out, i == 0 ? "" : ",",
                    dim.name.empty() ? absl::StrCat(dim.size) : JsonString(dim.name));
  }
  out += ']';
  if (entry.kind != Kind::kUnknown) {
    absl::StrAppend(&out, ",\"kind\":\"", KindName(entry.kind), "\"");
  }
  if (entry.optional) absl::StrAppend(&out, ",\"optional\":true");
  return out + "}";
}

}  // namespace

absl::StatusOr<Schema> ParseSchema(absl::string_view json, const Limits& limits) {
  if (json.size() > limits.schema_bytes_max) {
    return LimitError("schema: is ", json.size(), " bytes long, want at most ",
                      limits.schema_bytes_max, " (schema_bytes_max)");
  }
  // The JSON parser takes a zero byte for the end of its input.
  if (const size_t zero = json.find('\0'); zero != absl::string_view::npos) {
    return MalformedError("schema: byte ", zero, " is zero, want JSON");
  }
  SchemaHandler handler(&limits);
  const bool done = nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &handler);
  RETURN_IF_ERROR(handler.status());
  if (!done) return MalformedError("schema: is not JSON");
  return handler.TakeSchema();
}

std::string SchemaToJson(const Schema& schema) {
  std::string out = absl::StrCat("{\"ballast_schema\":", kSchemaVersion, ",\"entries\":[");
  for (size_t i = 0; i < schema.entries.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "\n" : ",\n", EntryToJson(schema.entries[i]));
  }
  return out + "\n]}\n";
}

Schema SchemaOf(absl::Span<const TensorSpec> specs) {
  Schema schema;
  schema.entries.reserve(specs.size());
  for (const TensorSpec& spec : specs) {
    SchemaEntry& entry = schema.entries.emplace_back();
    entry.key = spec.key;
    entry.dtype = spec.dtype;
    entry.kind = spec.kind;
    for (const uint64_t dim : spec.shape) entry.shape.push_back({static_cast<int64_t>(dim), ""});
  }
  return schema;
}

}  // namespace ballast

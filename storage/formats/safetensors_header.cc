#include "storage/formats/safetensors_header.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"
#include "storage/formats/safetensors_dtype.h"

namespace ballast {
namespace {

constexpr absl::string_view kWhere = "safetensors header";
constexpr absl::string_view kMetadataKey = "__metadata__";
constexpr int kDepthMax = 8;

// Follows the events of the JSON parser through the structure above; every event
// that the structure does not have stops it with a status.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(const Limits* limits, SafetensorsHeader* out) : limits_(limits), out_(out) {}

  const absl::Status& status() const { return status_; }

  bool null() override {
    if (state_ == State::kMetadataValue) return Go(State::kTop);
    return Scalar("null");
  }
  bool boolean(bool) override { return Scalar("a boolean"); }
  bool number_integer(number_integer_t) override { return Scalar("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return Scalar("a number that is no integer of 64 bits");
  }
  bool binary(binary_t&) override { return Scalar("binary"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShape) return AddDim(value);
    if (state_ == State::kOffsets) return AddOffset(value);
    return Scalar("a number");
  }
  bool string(string_t& text) override {
    if (state_ == State::kDType) return SetDType(text);
    if (state_ == State::kMetadataText) return AddMetadata(&text);
    return Scalar("a string");
  }
  bool start_object(std::size_t) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool key(string_t& name) override;
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& error) override {
    return Fail(MalformedError(kWhere, ": is not JSON at byte ", position, ": ",
                               JsonErrorText(error.what())));
  }

 private:
  // What comes next.
  enum class State {
    kStart,          // the header object
    kTop,            // a name, or the end of the header
    kMetadataValue,  // the object behind "__metadata__"
    kMetadata,       // a metadata name, or its end
    kMetadataText,   // a metadata value
    kInfoValue,      // the object behind a tensor's name
    kInfo,           // a field name, or the end of the info
    kDType,          // a string
    kShapeValue,     // the array behind "shape"
    kShape,          // dims, or the end of the array
    kOffsetsValue,   // the array behind "data_offsets"
    kOffsets,        // offsets, or the end of the array
    kUnknown,        // anything, inside of an unknown field
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
    return absl::StrCat(kWhere, ": tensor ", QuotedKey(tensor_.spec.key));
  }
  bool Scalar(absl::string_view got);
  bool Unexpected(absl::string_view got);
  bool EndUnknown();
  bool AddDim(uint64_t dim);
  bool AddOffset(uint64_t offset);
  bool SetDType(const std::string& code);
  bool AddMetadata(std::string* text);
  bool BeginTensor(std::string* name);
  bool BeginField(const std::string& name);
  bool EndTensor();

  const Limits* limits_;
  SafetensorsHeader* out_;
  absl::Status status_;
  State state_ = State::kStart;
  int unknown_depth_ = 0;
  absl::flat_hash_set<std::string> names_;
  absl::flat_hash_set<std::string> metadata_names_;
  std::string metadata_name_;
  bool metadata_seen_ = false;
  uint64_t unknown_fields_ = 0;
  SafetensorsTensor tensor_;  // the one being read
  bool dtype_seen_ = false;
  bool shape_seen_ = false;
  bool offsets_seen_ = false;
  std::vector<uint64_t> offsets_;
};

bool HeaderHandler::Unexpected(absl::string_view got) {
  switch (state_) {
    case State::kStart:
      return Fail(MalformedError(kWhere, ": is ", got, ", want an object"));
    case State::kMetadataValue:
      return Fail(MalformedError(kWhere, ": __metadata__ is ", got, ", want an object"));
    case State::kMetadataText:
      return Fail(MalformedError(kWhere, ": __metadata__ ", QuotedKey(metadata_name_), " is ", got,
                                 ", want a string"));
    case State::kDType:
      return Fail(MalformedError(Where(), ": dtype is ", got, ", want a string"));
    case State::kShapeValue:
    case State::kShape:
      return Fail(MalformedError(Where(), ": shape holds ", got, ", want an array of integers"));
    case State::kOffsetsValue:
    case State::kOffsets:
      return Fail(MalformedError(Where(), ": data_offsets holds ", got, ", want two integers"));
    default:
      return Fail(MalformedError(Where(), ": is ", got, ", want an object"));
  }
}

bool HeaderHandler::Scalar(absl::string_view got) {
  if (state_ != State::kUnknown) return Unexpected(got);
  return unknown_depth_ == 0 ? Go(State::kInfo) : true;
}

bool HeaderHandler::start_object(std::size_t) {
  switch (state_) {
    case State::kStart:
      return Go(State::kTop);
    case State::kMetadataValue:
      return Go(State::kMetadata);
    case State::kInfoValue:
      return Go(State::kInfo);
    case State::kUnknown:
      return start_array(0);
    default:
      return Unexpected("an object");
  }
}

bool HeaderHandler::start_array(std::size_t) {
  switch (state_) {
    case State::kShapeValue:
      return Go(State::kShape);
    case State::kOffsetsValue:
      return Go(State::kOffsets);
    case State::kUnknown:
      if (++unknown_depth_ <= kDepthMax) return true;
      return Fail(LimitError(Where(), ": an unknown field is nested more than ", kDepthMax,
                             " levels deep"));
    default:
      return Unexpected("an array");
  }
}

bool HeaderHandler::EndUnknown() { return --unknown_depth_ == 0 ? Go(State::kInfo) : true; }

bool HeaderHandler::end_array() {
  if (state_ == State::kUnknown) return EndUnknown();
  if (state_ == State::kOffsets && offsets_.size() != 2) {
    return Fail(
        MalformedError(Where(), ": data_offsets has ", offsets_.size(), " numbers, want two"));
  }
  return Go(State::kInfo);
}

bool HeaderHandler::end_object() {
  if (state_ == State::kUnknown) return EndUnknown();
  if (state_ == State::kInfo) return EndTensor();
  return Go(State::kTop);  // the end of the metadata, or of everything
}

bool HeaderHandler::key(string_t& name) {
  switch (state_) {
    case State::kTop:
      return BeginTensor(&name);
    case State::kMetadata:
      metadata_name_ = std::move(name);
      if (metadata_names_.insert(metadata_name_).second) return Go(State::kMetadataText);
      return Fail(
          MalformedError(kWhere, ": __metadata__ has ", QuotedKey(metadata_name_), " twice"));
    case State::kInfo:
      return BeginField(name);
    default:
      return true;  // inside of an unknown field
  }
}

bool HeaderHandler::BeginTensor(std::string* name) {
  if (*name == kMetadataKey) {
    if (metadata_seen_) return Fail(MalformedError(kWhere, ": has __metadata__ twice"));
    metadata_seen_ = true;
    return Go(State::kMetadataValue);
  }
  if (absl::Status fit = CheckKey(*name, *limits_); !fit.ok()) {
    return Fail(WithContext(fit, kWhere));
  }
  if (!names_.insert(*name).second) {
    return Fail(MalformedError(kWhere, ": tensor ", QuotedKey(*name), " is there twice"));
  }
  if (names_.size() > limits_->entries_max) {
    return Fail(
        LimitError(kWhere, ": has more than ", limits_->entries_max, " tensors (entries_max)"));
  }
  tensor_ = SafetensorsTensor();
  tensor_.spec.key = std::move(*name);
  dtype_seen_ = shape_seen_ = offsets_seen_ = false;
  offsets_.clear();
  return Go(State::kInfoValue);
}

bool HeaderHandler::BeginField(const std::string& name) {
  bool* seen = nullptr;
  if (name == "dtype") {
    seen = &dtype_seen_;
    Go(State::kDType);
  } else if (name == "shape") {
    seen = &shape_seen_;
    Go(State::kShapeValue);
  } else if (name == "data_offsets") {
    seen = &offsets_seen_;
    Go(State::kOffsetsValue);
  } else {
    if (unknown_fields_++ == 0) {
      out_->warnings.push_back(absl::StrCat(Where(), ": unknown field ", QuotedKey(name),
                                            " is ignored, and so are others"));
    }
    unknown_depth_ = 0;
    return Go(State::kUnknown);
  }
  if (*seen) return Fail(MalformedError(Where(), ": has ", name, " twice"));
  return *seen = true;
}

bool HeaderHandler::SetDType(const std::string& code) {
  const std::optional<DType> dtype = DTypeFromSafetensors(code);
  if (!dtype) {
    return Fail(UnsupportedError(Where(), ": dtype is ", QuotedKey(code),
                                 ", which is not a safetensors dtype known here"));
  }
  tensor_.spec.dtype = *dtype;
  return Go(State::kInfo);
}

bool HeaderHandler::AddDim(uint64_t dim) {
  if (tensor_.spec.shape.size() == limits_->dims_max) {
    return Fail(LimitError(Where(), ": has more than ", limits_->dims_max, " dims (dims_max)"));
  }
  tensor_.spec.shape.push_back(dim);
  return true;
}

bool HeaderHandler::AddOffset(uint64_t offset) {
  if (offsets_.size() == 2) {
    return Fail(MalformedError(Where(), ": data_offsets has more than two numbers, want two"));
  }
  offsets_.push_back(offset);
  return true;
}

bool HeaderHandler::AddMetadata(std::string* text) {
  if (out_->metadata.size() == limits_->entries_max) {
    return Fail(LimitError(kWhere, ": __metadata__ has more than ", limits_->entries_max,
                           " members (entries_max)"));
  }
  out_->metadata.emplace_back(std::move(metadata_name_), std::move(*text));
  return Go(State::kMetadata);
}

bool HeaderHandler::EndTensor() {
  const absl::string_view missing = !dtype_seen_     ? "dtype"
                                    : !shape_seen_   ? "shape"
                                    : !offsets_seen_ ? "data_offsets"
                                                     : "";
  if (!missing.empty()) return Fail(MalformedError(Where(), ": has no ", missing));
  tensor_.begin = offsets_[0];
  tensor_.end = offsets_[1];
  out_->tensors.push_back(std::move(tensor_));
  return Go(State::kTop);
}

// F4 shapes count single values, ours count bytes of two.
absl::Status HalveLastDim(Shape* shape) {
  if (shape->empty()) return MalformedError("a 0-dim F4 tensor does not fill whole bytes");
  if (shape->back() % 2 == 0) {
    shape->back() /= 2;
    return absl::OkStatus();
  }
  bool odd = true;
  for (const uint64_t dim : *shape) odd &= dim % 2 != 0;
  if (odd) return MalformedError("F4 shape ", ShapeText(*shape), " does not fill whole bytes");
  return UnsupportedError("the last dim of F4 shape ", ShapeText(*shape),
                          " is odd, want an even one: a byte would cross a row");
}

absl::Status CheckTensor(uint64_t previous_end, const Limits& limits, SafetensorsTensor* tensor) {
  if (tensor->end < tensor->begin) {
    return MalformedError("data_offsets are [", tensor->begin, ", ", tensor->end,
                          "], want begin <= end");
  }
  if (tensor->begin != previous_end) {
    return MalformedError("data begins at ", tensor->begin, ", want ", previous_end,
                          tensor->begin > previous_end ? ": there is a hole before it"
                                                       : ": it overlaps the tensor before it");
  }
  if (tensor->spec.dtype == DType::kFloat4E2m1fnX2) {
    RETURN_IF_ERROR(HalveLastDim(&tensor->spec.shape));
  }
  ASSIGN_OR_RETURN(const uint64_t want,
                   TensorBytes(tensor->spec.dtype, tensor->spec.shape, limits));
  if (tensor->end - tensor->begin == want) return absl::OkStatus();
  return MalformedError("data is ", tensor->end - tensor->begin, " bytes, want ", want, " for ",
                        DTypeName(tensor->spec.dtype), " ", ShapeText(tensor->spec.shape));
}

absl::Status CheckTiling(const Limits& limits, SafetensorsHeader* header) {
  std::vector<SafetensorsTensor>& tensors = header->tensors;
  header->data_order.resize(tensors.size());
  std::iota(header->data_order.begin(), header->data_order.end(), 0);
  std::stable_sort(header->data_order.begin(), header->data_order.end(),
                   [&](uint32_t a, uint32_t b) {
                     return std::pair(tensors[a].begin, tensors[a].end) <
                            std::pair(tensors[b].begin, tensors[b].end);
                   });
  for (const uint32_t index : header->data_order) {
    RETURN_IF_ERROR(CheckTensor(header->data_bytes, limits, &tensors[index]),
                    absl::StrCat(kWhere, ": tensor ", QuotedKey(tensors[index].spec.key)));
    header->data_bytes = tensors[index].end;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSafetensorsLength(uint64_t header_bytes, const Limits& limits) {
  if (header_bytes > limits.header_bytes_max) {
    return LimitError(kWhere, ": is ", header_bytes, " bytes long, want at most ",
                      limits.header_bytes_max, " (header_bytes_max)");
  }
  if (header_bytes < 2) {
    return MalformedError(kWhere, ": is ", header_bytes, " bytes long, want at least 2");
  }
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         const Limits& limits) {
  RETURN_IF_ERROR(CheckJsonObjectText(json, kWhere));
  SafetensorsHeader header;
  HeaderHandler handler(&limits, &header);
  const bool done = nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &handler);
  RETURN_IF_ERROR(handler.status());
  if (!done) return MalformedError(kWhere, ": is not JSON");
  RETURN_IF_ERROR(CheckTiling(limits, &header));
  return header;
}

}  // namespace ballast

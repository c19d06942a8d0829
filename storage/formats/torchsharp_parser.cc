#include "storage/formats/torchsharp_parser.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"

namespace ballast {
namespace {

constexpr int kLebBytesMax = 10;
// What exportsd.py writes for a dtype that it cannot export.
constexpr uint64_t kExportsdBadDType = 4711;

absl::Status DTypeError(uint64_t code) {
  if (code == kExportsdBadDType) {
    return UnsupportedError(
        "dtype is 4711, which exportsd.py writes for a dtype that TorchSharp "
        "does not have; export it as float32, or push the .pth itself");
  }
  if (code >= 12 && code <= 14) {
    return UnsupportedError("dtype is ", code, " (", DTypeName(*DTypeFromNumber(code)),
                            "), whose scale the format does not keep; want a dtype that is not "
                            "quantized");
  }
  if (code > 127) return MalformedError("dtype is ", code, ", want a TorchSharp dtype code");
  return UnsupportedError("dtype is ", code, ", which is not defined by TorchSharp");
}

// exportsd.py writes the number of characters as the length of a key; the key of
// a non-ASCII name then ends too early, and what follows is no dtype.
absl::Status WithKeyHint(const absl::Status& status, absl::string_view key) {
  const bool ascii = std::none_of(key.begin(), key.end(), [](char c) { return (c & 0x80) != 0; });
  if (ascii) return status;
  return MakeError(status.code(), GetReason(status),
                   absl::StrCat(status.message(),
                                " (a non-ASCII key written by exportsd.py? It "
                                "counts characters, not bytes)"));
}

}  // namespace

bool TorchSharpHasDType(DType dtype) {
  const auto code = static_cast<uint8_t>(dtype);
  return code <= 7 || (code >= 9 && code <= 11) || code == 15;
}

absl::StatusOr<uint64_t> ReadLeb128(ForwardInput* input, absl::string_view what) {
  const uint64_t start = input->offset_bytes();
  uint64_t value = 0;
  for (int i = 0; i < kLebBytesMax; ++i) {
    ASSIGN_OR_RETURN(const uint8_t byte, input->Byte(what));
    const uint64_t bits = byte & 0x7F;
    if (i == kLebBytesMax - 1 && bits != 0) {
      return MalformedError("byte ", start, ": ", what, " is above 2^63-1");
    }
    if (i < kLebBytesMax - 1) value |= bits << (7 * i);
    if ((byte & 0x80) == 0) return value;
  }
  return MalformedError("byte ", start, ": ", what, " is longer than ten bytes");
}

absl::StatusOr<std::string> ReadDotNetString(ForwardInput* input, const Limits& limits,
                                             absl::string_view what) {
  const uint64_t start = input->offset_bytes();
  uint64_t length = 0;
  for (int i = 0;; ++i) {
    ASSIGN_OR_RETURN(const uint8_t byte, input->Byte(absl::StrCat("the length of ", what)));
    length |= uint64_t{byte & 0x7Fu} << (7 * i);
    if ((byte & 0x80) == 0) break;
    if (i == 4) length = UINT64_MAX;
    if (length == UINT64_MAX) break;
  }
  if (length > INT32_MAX) {
    return MalformedError("byte ", start, ": length of ", what,
                          " is no 7-bit encoded int, want 0 "
                          "to 2^31-1 in at most five bytes");
  }
  if (length > limits.key_bytes_max) {
    return LimitError("byte ", start, ": ", what, " is ", length, " bytes long, want at most ",
                      limits.key_bytes_max, " (key_bytes_max)");
  }
  std::string text;
  RETURN_IF_ERROR(input->Append(length, what, &text));
  return text;
}

absl::StatusOr<uint64_t> ReadTensorHeader(ForwardInput* input, const Limits& limits,
                                          TensorSpec* spec) {
  const uint64_t start = input->offset_bytes();
  ASSIGN_OR_RETURN(const uint64_t code, ReadLeb128(input, "dtype"));
  const std::optional<DType> dtype = DTypeFromNumber(code);
  if (!dtype || !TorchSharpHasDType(*dtype)) {
    return WithContext(DTypeError(code), absl::StrCat("byte ", start));
  }
  spec->dtype = *dtype;
  ASSIGN_OR_RETURN(const uint64_t ndim, ReadLeb128(input, "number of dims"));
  if (ndim > limits.dims_max) {
    return LimitError("byte ", start, ": number of dims is ", ndim, ", want at most ",
                      limits.dims_max, " (dims_max)");
  }
  spec->shape.clear();
  for (uint64_t i = 0; i < ndim; ++i) {
    ASSIGN_OR_RETURN(const uint64_t dim, ReadLeb128(input, "dim"));
    spec->shape.push_back(dim);
  }
  ASSIGN_OR_RETURN(const uint64_t size, TensorBytes(*dtype, spec->shape, limits),
                   absl::StrCat("byte ", start));
  return size;
}

absl::Status TorchSharpParser::ReadCount() {
  ASSIGN_OR_RETURN(const uint64_t count, ReadLeb128(input_, "entry count"));
  if (count > limits_->entries_max) {
    return LimitError("byte 0: number of entries is ", count, ", want at most ",
                      limits_->entries_max, " (entries_max)");
  }
  count_ = count;
  return absl::OkStatus();
}

absl::StatusOr<TensorSpec> TorchSharpParser::ReadEntry() {
  const uint64_t start = input_->offset_bytes();
  const std::string where = absl::StrCat("entry ", read_, " of ", *count_);
  ASSIGN_OR_RETURN(std::string key, ReadDotNetString(input_, *limits_, "key"), where);
  if (absl::Status fit = CheckKey(key, *limits_); !fit.ok()) {
    return WithContext(WithKeyHint(fit, key), absl::StrCat(where, ": byte ", start));
  }
  TensorSpec spec;
  spec.key = std::move(key);
  absl::StatusOr<uint64_t> data_bytes = ReadTensorHeader(input_, *limits_, &spec);
  if (!data_bytes.ok()) {
    return WithContext(WithKeyHint(data_bytes.status(), spec.key),
                       absl::StrCat("key ", QuotedKey(spec.key)));
  }
  data_bytes_ = *data_bytes;
  if (!keys_.insert(spec.key).second) {
    return MalformedError("byte ", start, ": key ", QuotedKey(spec.key), " is there twice");
  }
  return spec;
}

absl::StatusOr<std::optional<TensorSpec>> TorchSharpParser::Next() {
  if (!count_) RETURN_IF_ERROR(ReadCount());
  if (read_ == *count_) {
    ASSIGN_OR_RETURN(const bool at_end, input_->AtEnd());
    if (at_end) return std::optional<TensorSpec>();
    return MalformedError("byte ", input_->offset_bytes(), ": input goes on after the last of ",
                          *count_, " entries, want its end");
  }
  ASSIGN_OR_RETURN(TensorSpec spec, ReadEntry());
  ++read_;
  return std::optional<TensorSpec>(std::move(spec));
}

}  // namespace ballast

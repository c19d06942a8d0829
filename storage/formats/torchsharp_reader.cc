#include "storage/formats/torchsharp_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/bool_bytes.h"
#include "storage/formats/torchsharp_optimizer.h"
#include "storage/formats/torchsharp_parser.h"

namespace ballast {
namespace {

// A stream cannot be read again as something else, so its first bytes have to tell
// what it may be instead of a module.
absl::Status WithHint(const absl::Status& status, const std::string& head) {
  absl::string_view hint;
  StringSource source(head);
  ForwardInput input(&source);
  TensorSpec spec;
  if (BeginsLikeOptimizer(head)) {
    hint = "a TorchSharp optimizer state? It cannot be read front to back";
  } else if (ReadTensorHeader(&input, Limits(), &spec).ok()) {
    hint = "a TorchSharp single-tensor record? It cannot be read front to back";
  } else {
    return status;
  }
  return MakeError(status.code(), GetReason(status),
                   absl::StrCat(status.message(), " (", hint, ")"));
}

class TorchSharpForwardReader : public ForwardReader {
 public:
  TorchSharpForwardReader(ByteStream* stream, const Limits& limits)
      : limits_(limits), input_(stream), parser_(&input_, &limits_) {
    facts_.format = Format::kTorchSharp;
    facts_.writer = "TorchSharp";
  }

  const std::vector<TensorSpec>* known_entries() const override { return nullptr; }

  absl::StatusOr<std::optional<TensorSpec>> Next() override {
    RETURN_IF_ERROR(input_.Skip(left_, DataOf(current_.key)));
    left_ = 0;
    if (input_.offset_bytes() == 0) {
      ASSIGN_OR_RETURN(const absl::string_view head, input_.Peek());
      head_ = std::string(head.substr(0, kDetectBytes));
    }
    absl::StatusOr<std::optional<TensorSpec>> spec = parser_.Next();
    if (!spec.ok()) return first_ ? WithHint(spec.status(), head_) : spec.status();
    first_ = false;
    if (*spec) {
      current_ = **spec;
      left_ = parser_.data_bytes();
      read_ = 0;
    }
    return spec;
  }

  absl::Status Read(absl::Span<char> out) override {
    if (out.size() > left_) {
      return absl::InternalError("read past the end of an entry");
    }
    RETURN_IF_ERROR(input_.Read(out, DataOf(current_.key)));
    left_ -= out.size();
    read_ += out.size();
    if (current_.dtype != DType::kBool) return absl::OkStatus();
    return CheckBoolBytes(current_.key, absl::string_view(out.data(), out.size()),
                          read_ - out.size());
  }

  const SourceStateDict& facts() const override { return facts_; }

 private:
  static std::string DataOf(absl::string_view key) {
    return absl::StrCat("the data of ", QuotedKey(key));
  }

  const Limits limits_;
  ForwardInput input_;
  TorchSharpParser parser_;
  SourceStateDict facts_;
  std::string head_;  // the first bytes, to tell what else it may be
  bool first_ = true;
  TensorSpec current_;
  uint64_t left_ = 0;  // data bytes of current_ not yet taken
  uint64_t read_ = 0;
};

}  // namespace

absl::StatusOr<SourceStateDict> ReadTorchSharp(const ByteSource& source, const Limits& limits) {
  ForwardInput input(&source);
  TorchSharpParser parser(&input, &limits);
  SourceStateDict dict;
  dict.format = Format::kTorchSharp;
  dict.writer = "TorchSharp";
  while (true) {
    ASSIGN_OR_RETURN(std::optional<TensorSpec> spec, parser.Next());
    if (!spec) return dict;
    const uint64_t offset = input.offset_bytes();
    RETURN_IF_ERROR(
        input.Skip(parser.data_bytes(), absl::StrCat("the data of ", QuotedKey(spec->key))));
    AddContiguousEntry(*std::move(spec), offset, parser.data_bytes(), &dict);
  }
}

absl::StatusOr<SourceStateDict> ReadTorchSharpTensor(const ByteSource& source,
                                                     const Limits& limits) {
  ForwardInput input(&source);
  SourceStateDict dict;
  dict.format = Format::kTorchSharpTensor;
  dict.writer = "TorchSharp";
  TensorSpec spec;
  ASSIGN_OR_RETURN(const uint64_t size, ReadTensorHeader(&input, limits, &spec));
  const uint64_t offset = input.offset_bytes();
  RETURN_IF_ERROR(input.Skip(size, "the data of the tensor"));
  if (input.offset_bytes() != source.size_bytes()) {
    return MalformedError("byte ", input.offset_bytes(),
                          ": input goes on after the tensor, want its end");
  }
  AddContiguousEntry(std::move(spec), offset, size, &dict);
  return dict;
}

std::unique_ptr<ForwardReader> OpenTorchSharpForward(ByteStream* stream, const Limits& limits) {
  return std::make_unique<TorchSharpForwardReader>(stream, limits);
}

}  // namespace ballast

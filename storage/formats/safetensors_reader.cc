#include "storage/formats/safetensors_reader.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/bool_bytes.h"
#include "storage/formats/forward_input.h"
#include "storage/formats/safetensors_header.h"
#include "storage/formats/safetensors_metadata.h"

namespace ballast {
namespace {

constexpr absl::string_view kHeader = "the safetensors header";
constexpr uint64_t kCompareBytes = 256 << 10;

absl::StatusOr<SafetensorsHeader> ReadHeader(ForwardInput* input, uint64_t input_bytes,
                                             const Limits& limits) {
  std::array<char, kSafetensorsLengthBytes> length{};
  RETURN_IF_ERROR(input->Read(absl::MakeSpan(length), "the length of the safetensors header"));
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < length.size(); ++i) {
    header_bytes |= uint64_t{static_cast<uint8_t>(length[i])} << (8 * i);
  }
  RETURN_IF_ERROR(CheckSafetensorsLength(header_bytes, limits));
  if (header_bytes > input_bytes - kSafetensorsLengthBytes) {
    return TruncatedError("safetensors header: is ", header_bytes, " bytes long, but only ",
                          input_bytes - kSafetensorsLengthBytes, " are there");
  }
  std::string json;
  RETURN_IF_ERROR(input->Append(header_bytes, kHeader, &json));
  return ParseSafetensorsHeader(json, limits);
}

class SafetensorsForwardReader : public ForwardReader {
 public:
  static absl::StatusOr<std::unique_ptr<ForwardReader>> Open(ByteStream* stream,
                                                             const Limits& limits) {
    auto reader = std::make_unique<SafetensorsForwardReader>(stream);
    ASSIGN_OR_RETURN(SafetensorsHeader header, ReadHeader(&reader->input_, UINT64_MAX, limits));
    reader->facts_.format = Format::kSafetensors;
    reader->facts_.warnings = std::move(header.warnings);
    RETURN_IF_ERROR(ReadSafetensorsMetadata(header, header.data_order, limits, &reader->facts_));
    reader->specs_.reserve(header.tensors.size());
    for (const uint32_t index : header.data_order) {
      reader->specs_.push_back(std::move(header.tensors[index].spec));
    }
    return reader;
  }
  explicit SafetensorsForwardReader(ByteStream* stream) : input_(stream) {}

  const std::vector<TensorSpec>* known_entries() const override { return &specs_; }

  absl::StatusOr<std::optional<TensorSpec>> Next() override {
    RETURN_IF_ERROR(input_.Skip(left_, DataOfCurrent()));
    left_ = 0;
    if (next_ < specs_.size()) {
      left_ = size_ = CheckedTensorBytes(specs_[next_]);
      return std::optional<TensorSpec>(specs_[next_++]);
    }
    ASSIGN_OR_RETURN(const bool at_end, input_.AtEnd());
    if (at_end) return std::optional<TensorSpec>();
    return MalformedError("byte ", input_.offset_bytes(),
                          ": input goes on after the last tensor, want its end");
  }

  absl::Status Read(absl::Span<char> out) override {
    if (out.size() > left_) return absl::InternalError("read past the end of an entry");
    RETURN_IF_ERROR(input_.Read(out, DataOfCurrent()));
    const uint64_t offset = size_ - left_;
    left_ -= out.size();
    if (specs_[next_ - 1].dtype != DType::kBool) return absl::OkStatus();
    return CheckBoolBytes(specs_[next_ - 1].key, absl::string_view(out.data(), out.size()), offset);
  }

  const SourceStateDict& facts() const override { return facts_; }

 private:
  std::string DataOfCurrent() const {
    return next_ == 0 ? "" : absl::StrCat("the data of ", QuotedKey(specs_[next_ - 1].key));
  }

  ForwardInput input_;
  SourceStateDict facts_;
  std::vector<TensorSpec> specs_;  // in data order
  size_t next_ = 0;
  uint64_t size_ = 0;  // of the current entry
  uint64_t left_ = 0;  // of it, not yet taken
};

absl::Status CheckFileSize(uint64_t file_bytes, uint64_t data_start, uint64_t data_bytes) {
  const uint64_t there = file_bytes - data_start;
  if (there < data_bytes) {
    return TruncatedError("byte ", file_bytes, ": file ends inside the tensor data, want ",
                          data_bytes - there, " more bytes");
  }
  if (there > data_bytes) {
    return MalformedError("byte ", data_start + data_bytes, ": file goes on for ",
                          there - data_bytes, " bytes after the last tensor, want its end");
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> SameBytes(const ByteSource& source, const SourceStorage& a,
                               const SourceStorage& b) {
  std::string x, y;
  for (uint64_t done = 0; done < a.size_bytes; done += x.size()) {
    x.resize(std::min(kCompareBytes, a.size_bytes - done));
    y.resize(x.size());
    RETURN_IF_ERROR(source.ReadAt(a.offset_bytes + done, absl::MakeSpan(&x[0], x.size())));
    RETURN_IF_ERROR(source.ReadAt(b.offset_bytes + done, absl::MakeSpan(&y[0], y.size())));
    if (x != y) return false;
  }
  return true;
}

// Who takes a tie at its word writes one tensor's bytes for the other's, so a group of
// tensors that differ goes. Reads tied tensors only; storage i is entry i's.
absl::Status KeepTrueTies(const ByteSource& source, SourceStateDict* dict) {
  size_t dropped = 0;
  std::string first_dropped;
  Ties kept;
  for (std::vector<uint32_t>& group : dict->ties) {
    bool equal = true;
    for (size_t i = 1; i < group.size() && equal; ++i) {
      ASSIGN_OR_RETURN(equal,
                       SameBytes(source, dict->storages[group[0]], dict->storages[group[i]]));
    }
    if (equal) {
      kept.push_back(std::move(group));
    } else if (++dropped == 1) {
      first_dropped = QuotedKey(dict->entries[group[0]].spec.key);
    }
  }
  dict->ties = std::move(kept);
  if (dropped > 0) {
    dict->warnings.push_back(absl::StrCat(dropped,
                                          " of the declared ties were dropped, the first is of ",
                                          first_dropped, ": the tensors differ"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SourceStateDict> ReadSafetensors(const ByteSource& source, const Limits& limits) {
  ForwardInput input(&source);
  ASSIGN_OR_RETURN(SafetensorsHeader header, ReadHeader(&input, source.size_bytes(), limits));
  const uint64_t data_start = input.offset_bytes();
  RETURN_IF_ERROR(CheckFileSize(source.size_bytes(), data_start, header.data_bytes));
  SourceStateDict dict;
  dict.format = Format::kSafetensors;
  dict.warnings = std::move(header.warnings);
  dict.container.push_back({"data_offset", absl::StrCat(data_start)});
  std::vector<uint32_t> order(header.tensors.size());
  std::iota(order.begin(), order.end(), 0);
  RETURN_IF_ERROR(ReadSafetensorsMetadata(header, order, limits, &dict));
  dict.entries.reserve(header.tensors.size());
  dict.storages.reserve(header.tensors.size());
  for (SafetensorsTensor& tensor : header.tensors) {
    AddContiguousEntry(std::move(tensor.spec), data_start + tensor.begin, tensor.end - tensor.begin,
                       &dict);
  }
  RETURN_IF_ERROR(KeepTrueTies(source, &dict));
  return dict;
}

absl::StatusOr<std::unique_ptr<ForwardReader>> OpenSafetensorsForward(ByteStream* stream,
                                                                      const Limits& limits) {
  return SafetensorsForwardReader::Open(stream, limits);
}

}  // namespace ballast

// What the tests of this room share: bytes by hand, and reading a state dict whole.
#ifndef BALLAST_TESTS_FORMATS_FORMATS_TESTING_H_
#define BALLAST_TESTS_FORMATS_FORMATS_TESTING_H_

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "storage/base/status.h"
#include "storage/formats/layout.h"
#include "storage/formats/reader.h"
#include "storage/formats/tensor_source.h"

namespace ballast {

// "01 77" → two bytes. Spaces are for the eye.
inline std::string Hex(absl::string_view digits) {
  return absl::HexStringToBytes(absl::StrReplaceAll(digits, {{" ", ""}}));
}

inline std::string LittleEndian(uint64_t value, size_t width) {
  std::string out;
  for (size_t i = 0; i < width; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

// A safetensors file of this header text and data.
inline std::string Safetensors(absl::string_view json, absl::string_view data = "") {
  return absl::StrCat(LittleEndian(json.size(), 8), json, data);
}

// A key, its dtype and shape, and all of its bytes.
struct Tensor {
  TensorSpec spec;
  std::string bytes;
};

inline absl::StatusOr<std::string> ReadEntry(TensorSource* source, uint32_t entry,
                                             uint64_t size_bytes, uint64_t step = UINT64_MAX) {
  std::string out;
  while (out.size() < size_bytes) {
    ASSIGN_OR_RETURN(const Chunk chunk, source->Read(entry, out.size(), step));
    out.append(chunk.bytes.data(), chunk.bytes.size());
  }
  return out;
}

// Everything in a container, in the order of its entries, CRCs checked.
inline absl::StatusOr<std::vector<Tensor>> ReadAll(const ByteSource& file,
                                                   Format format = Format::kUnknown,
                                                   const Limits& limits = Limits()) {
  ASSIGN_OR_RETURN(const SourceStateDict dict, ReadStateDict(file, format, limits));
  auto source = MakeFileTensorSource(&file, &dict, ::testing::TempDir(), limits);
  std::vector<Tensor> out;
  for (uint32_t i = 0; i < dict.entries.size(); ++i) {
    const TensorSpec& spec = dict.entries[i].spec;
    ASSIGN_OR_RETURN(std::string bytes, ReadEntry(source.get(), i, CheckedTensorBytes(spec)));
    out.push_back({spec, std::move(bytes)});
  }
  RETURN_IF_ERROR(source->VerifyRest());
  return out;
}

inline absl::StatusOr<std::vector<Tensor>> ReadAll(const std::string& file,
                                                   Format format = Format::kUnknown,
                                                   const Limits& limits = Limits()) {
  return ReadAll(StringSource(file), format, limits);
}

// Everything in a container that is read front to back, in data order.
inline absl::StatusOr<std::vector<Tensor>> ReadAllForward(const std::string& file, Format format,
                                                          const Limits& limits = Limits()) {
  StringSource source(file);
  SourceStream stream(&source);
  ASSIGN_OR_RETURN(const auto reader, OpenForwardReader(format, &stream, limits));
  std::vector<Tensor> out;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<TensorSpec> spec, reader->Next());
    if (!spec) return out;
    std::string bytes;
    for (uint64_t left = CheckedTensorBytes(*spec); left > 0;) {
      // Never in proportion to what is claimed.
      const size_t step = left < 4096 ? left : 4096;
      std::string piece(step, '\0');
      RETURN_IF_ERROR(reader->Read(absl::MakeSpan(&piece[0], step)));
      bytes += piece;
      left -= step;
    }
    out.push_back({*std::move(spec), std::move(bytes)});
  }
}

// Tensors in memory as a source of bytes.
class MemorySource : public TensorSource {
 public:
  explicit MemorySource(const std::vector<Tensor>* tensors) : tensors_(tensors) {}
  absl::StatusOr<Chunk> Read(uint32_t entry, uint64_t offset, uint64_t max_bytes) override {
    return Chunk{absl::string_view((*tensors_)[entry].bytes).substr(offset, max_bytes), nullptr};
  }
  bool RawRange(uint32_t, uint64_t*) const override { return false; }

 private:
  const std::vector<Tensor>* tensors_;  // Must outlive this.
};

// A laid-out file whose tensors are zeros, of any size.
class ZerosFile : public ByteSource {
 public:
  explicit ZerosFile(const FileLayout* layout) : layout_(layout) {}
  uint64_t size_bytes() const override { return layout_->size_bytes; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override {
    uint64_t begin = 0;
    std::fill(out.begin(), out.end(), '\0');
    for (const Extent& extent : layout_->extents) {
      const uint64_t end = begin + extent.size_bytes;
      const uint64_t from = std::max(begin, offset);
      const uint64_t to = std::min(end, offset + out.size());
      if (extent.kind == Extent::Kind::kLiteral && from < to) {
        layout_->literals.copy(out.data() + (from - offset), to - from,
                               extent.offset + (from - begin));
      }
      begin = end;
    }
    return absl::OkStatus();
  }

 private:
  const FileLayout* layout_;  // Must outlive this.
};

inline LayoutInput InputOf(const std::vector<Tensor>& tensors) {
  LayoutInput input;
  for (const Tensor& tensor : tensors) {
    input.tensors.push_back(
        {tensor.spec, static_cast<uint32_t>(input.tensors.size()), std::nullopt});
  }
  return input;
}

inline absl::StatusOr<std::string> WriteAll(Format format, const std::vector<Tensor>& tensors,
                                            LayoutInput input, const Limits& limits = Limits()) {
  ASSIGN_OR_RETURN(const FileLayout layout, LayOut(format, input, limits));
  MemorySource source(&tensors);
  std::string out;
  StringSink sink(&out);
  RETURN_IF_ERROR(WriteLayout(layout, &source, &sink));
  return out;
}

inline absl::StatusOr<std::string> WriteAll(Format format, const std::vector<Tensor>& tensors) {
  return WriteAll(format, tensors, InputOf(tensors));
}

// A tensor of `dtype` with bytes that differ from one another (0 and 1 for bool).
inline Tensor MakeTensor(absl::string_view key, DType dtype, Shape shape, uint8_t seed = 1) {
  Tensor tensor;
  tensor.spec.key = std::string(key);
  tensor.spec.dtype = dtype;
  tensor.spec.shape = std::move(shape);
  for (uint64_t i = 0; i < CheckedTensorBytes(tensor.spec); ++i) {
    const auto byte = static_cast<uint8_t>(i * 7 + i / 251 + seed);
    tensor.bytes += static_cast<char>(dtype == DType::kBool ? byte & 1 : byte);
  }
  return tensor;
}

// `status` failed with this reason, and its one line has `part` in it.
inline ::testing::AssertionResult FailsWith(const absl::Status& status, Reason reason,
                                            absl::string_view part) {
  if (!status.ok() && GetReason(status) == reason &&
      status.message().find(part) != absl::string_view::npos &&
      status.message().find('\n') == absl::string_view::npos) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure()
         << "status is " << ReasonName(GetReason(status)) << " " << status.ToString() << ", want "
         << ReasonName(reason) << " with '" << part << "'";
}

}  // namespace ballast

#endif  // BALLAST_TESTS_FORMATS_FORMATS_TESTING_H_

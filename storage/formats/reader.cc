#include "storage/formats/reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/pytorch_bare_pickle.h"
#include "storage/formats/pytorch_legacy.h"
#include "storage/formats/pytorch_reader.h"
#include "storage/formats/pytorch_tar.h"
#include "storage/formats/safetensors_reader.h"
#include "storage/formats/storage_reader.h"
#include "storage/formats/torchsharp_optimizer.h"
#include "storage/formats/torchsharp_reader.h"
#include "storage/formats/zip_directory.h"

namespace ballast {
namespace {

using ReadFunction = absl::StatusOr<SourceStateDict> (*)(const ByteSource&, const Limits&);

struct Container {
  Format format;
  absl::string_view what;  // "this is …"
  ReadFunction read;
};

// The one table: a new format adds its line, and its signature in detect.cc.
constexpr std::array kContainers = {
    Container{Format::kTorchSharp, "a TorchSharp module file", ReadTorchSharp},
    Container{Format::kTorchSharpTensor, "a TorchSharp single-tensor record", ReadTorchSharpTensor},
    Container{Format::kTorchSharpOptimizer, "a TorchSharp optimizer state",
              ReadTorchSharpOptimizer},
    Container{Format::kSafetensors, "a safetensors file", ReadSafetensors},
    Container{Format::kPyTorch, "a zip archive (PyTorch?)", ReadPyTorch},
    Container{Format::kTorchScript, "a TorchScript archive", ReadPyTorch},
    Container{Format::kPyTorchLegacy, "a PyTorch file from before 1.6 (a stream of pickles)",
              ReadPyTorchLegacy},
    Container{Format::kPyTorchTar, "a tar archive", ReadPyTorchTar},
    Container{Format::kPickle, "a bare pickle, not written by torch.save", ReadBarePickle},
};

const Container* Find(Format format) {
  const auto it = std::find_if(kContainers.begin(), kContainers.end(),
                               [&](const Container& c) { return c.format == format; });
  return it == kContainers.end() ? nullptr : &*it;
}

absl::StatusOr<std::string> Head(const ByteSource& source) {
  std::string head(std::min<uint64_t>(kDetectBytes, source.size_bytes()), '\0');
  if (!head.empty()) RETURN_IF_ERROR(source.ReadAt(0, absl::MakeSpan(&head[0], head.size())));
  return head;
}

bool IsTorchSharp(Format format) {
  return format == Format::kTorchSharp || format == Format::kTorchSharpTensor ||
         format == Format::kTorchSharpOptimizer;
}

// TorchSharp's files have no signature: which of them it is shows only by reading
// it to the end. nullopt if it is none of them.
std::optional<SourceStateDict> ReadOtherTorchSharp(Format tried, const ByteSource& source,
                                                   const Limits& limits) {
  for (const Container& container : kContainers) {
    if (!IsTorchSharp(container.format) || container.format == tried) continue;
    absl::StatusOr<SourceStateDict> dict = container.read(source, limits);
    if (dict.ok()) return *std::move(dict);
  }
  return std::nullopt;
}

absl::StatusOr<SourceStateDict> ReadTorchSharpByContent(const ByteSource& source,
                                                        absl::string_view head,
                                                        const Limits& limits) {
  absl::StatusOr<SourceStateDict> module = ReadTorchSharp(source, limits);
  if (module.ok()) return module;
  if (auto other = ReadOtherTorchSharp(Format::kTorchSharp, source, limits)) {
    return *std::move(other);
  }
  if (EndsLikeZip(source)) return ReadPyTorch(source, limits);  // says what stands before it
  if (BeginsLikeOptimizer(head)) {
    return WithContext(ReadTorchSharpOptimizer(source, limits).status(),
                       "this begins like a TorchSharp optimizer state");
  }
  return WithContext(module.status(), "this is not a known weight file; read as TorchSharp .dat");
}

// Why reading as `asked` failed, if the content says that it is something else.
absl::Status Explain(absl::Status failure, Format asked, const ByteSource& source,
                     absl::string_view head, const Limits& limits) {
  const absl::string_view name = FormatName(asked);
  if (head.empty()) return failure;
  const absl::StatusOr<Format> detected = DetectFormat(head);
  if (!detected.ok()) {
    return WrongFormatError(detected.status().message(), ", want ", name);
  }
  if (IsTorchSharp(*detected)) {
    if (!IsTorchSharp(asked)) return failure;
    const auto other = ReadOtherTorchSharp(asked, source, limits);
    if (!other) return failure;
    return WrongFormatError("this is ", Find(other->format)->what, ", want ", name);
  }
  if (*detected == asked || Find(asked)->read == Find(*detected)->read) return failure;
  return WrongFormatError("this is ", Find(*detected)->what, ", want ", name);
}

// As ReadStateDict, but for what it says of every file.
absl::StatusOr<SourceStateDict> ReadContainer(const ByteSource& source, Format format,
                                              const Limits& limits) {
  ASSIGN_OR_RETURN(const std::string head, Head(source));
  if (format == Format::kUnknown) {
    ASSIGN_OR_RETURN(const Format detected, DetectFormat(head));
    if (detected == Format::kTorchSharp) return ReadTorchSharpByContent(source, head, limits);
    return Find(detected)->read(source, limits);
  }
  const Container* container = Find(format);
  if (container == nullptr) {
    return UnsupportedError("format is ", FormatName(format), ", which is no file format");
  }
  absl::StatusOr<SourceStateDict> dict = container->read(source, limits);
  if (dict.ok()) return dict;
  return Explain(dict.status(), format, source, head, limits);
}

}  // namespace

absl::StatusOr<SourceStateDict> ReadStateDict(const ByteSource& source, Format format,
                                              const Limits& limits) {
  absl::StatusOr<SourceStateDict> dict = ReadContainer(source, format, limits);
  if (!dict.ok()) return dict;
  dict->container.insert(dict->container.begin(),
                         {"file_bytes", absl::StrCat(source.size_bytes())});
  return dict;
}

absl::Status VerifyStorages(const ByteSource& source, const SourceStateDict& dict,
                            const Limits& limits) {
  StorageReader reader(&source, &dict, "", limits);
  return reader.VerifyRest();
}

absl::StatusOr<std::unique_ptr<ForwardReader>> OpenForwardReader(Format format, ByteStream* stream,
                                                                 const Limits& limits) {
  switch (format) {
    case Format::kTorchSharp:
      return OpenTorchSharpForward(stream, limits);
    case Format::kSafetensors:
      return OpenSafetensorsForward(stream, limits);
    default:
      return UnsupportedError("format is ", FormatName(format),
                              ", which cannot be read front to back; want torchsharp or "
                              "safetensors");
  }
}

absl::StatusOr<size_t> PrefixedStream::Read(absl::Span<char> out) {
  if (used_ == head_.size()) return rest_->Read(out);
  const size_t n = std::min(out.size(), head_.size() - used_);
  std::memcpy(out.data(), head_.data() + used_, n);
  used_ += n;
  return n;
}

}  // namespace ballast

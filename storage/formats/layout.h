// A version in a format is a virtual file: a list of extents whose total size
// is known before a tensor byte is touched.
//
// Deterministic: the same input, format and options give the same extents, and
// so the same bytes, within one writer revision.
#ifndef BALLAST_STORAGE_FORMATS_LAYOUT_H_
#define BALLAST_STORAGE_FORMATS_LAYOUT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/chunk.h"
#include "storage/base/digest.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"
#include "storage/formats/tensor_source.h"
#include "storage/model/format.h"
#include "storage/model/manifest.h"

namespace ballast {

struct LayoutTensor {
  TensorSpec spec;
  uint32_t entry = 0;             // what the TensorSource calls it
  std::optional<uint32_t> crc32;  // of the whole tensor, if known before
};

// What a writer needs to know; no tensor bytes.
struct LayoutInput {
  std::vector<LayoutTensor> tensors;  // in the version's order
  Ties ties;                          // indices into tensors
  std::string metadata_json;          // see Manifest
  // The pickled object is a plain dict, which LibTorch's torch::pickle_load reads, and no
  // OrderedDict, which it does not. For the formats that HasPlainDict.
  bool plain_dict = false;
};

// entry i of the manifest becomes TensorSource entry i.
LayoutInput LayoutInputOf(const Manifest& manifest);
LayoutInput LayoutInputOf(const SourceStateDict& dict);

struct Extent {
  enum class Kind : uint8_t { kLiteral, kTensor, kZeros };
  Kind kind = Kind::kLiteral;
  uint32_t entry = 0;       // kTensor: which
  uint64_t offset = 0;      // kLiteral: in FileLayout::literals; kTensor: in the tensor's bytes
  uint64_t size_bytes = 0;  // > 0
};

// A CRC-32 that was not known when the layout was made: four little-endian bytes
// in the literals, to be filled with the CRC of what was written for `entry`.
// Every hole lies behind its entry's bytes in the file.
struct CrcHole {
  uint64_t literal_offset = 0;
  uint32_t entry = 0;
};

struct FileLayout {
  Format format = Format::kUnknown;
  std::string literals;               // the bytes of every literal extent
  std::vector<Extent> extents;        // in file order, no gaps
  std::vector<CrcHole> crc_holes;     // ascending literal_offset; empty if all CRCs were known
  uint64_t size_bytes = 0;            // of the file
  std::vector<std::string> warnings;  // what the file does not hold, one line each

  // SHA-256 over the writer revision, the format and the extents (with literal
  // bytes and `tensor_digests[entry]` for tensor extents). Guards resumed pulls.
  Digest LayoutDigest(const std::vector<Digest>& tensor_digests) const;
};

// Lays the state dict out as `format` (kTorchSharp, kPyTorch, kPyTorchLegacy,
// kSafetensors or kTensors).
// Errors: Unimplemented/UNSUPPORTED  dtypes or keys that the format lacks: names
//         the first few of them and how many there are. ResourceExhausted.
//         InvalidArgument            plain_dict for a format without one.
absl::StatusOr<FileLayout> LayOut(Format format, const LayoutInput& input, const Limits& limits);

// What a version is written as when nobody says: as it was pushed if that can be written (with
// a plain dict, if asked for) and has its dtypes, else safetensors (plain dict: pytorch).
Format DefaultFormat(const Manifest& manifest, bool plain_dict);

// True if the format can be written at all; for messages and capabilities.
bool CanWrite(Format format);
// True if the format has this dtype.
bool FormatHasDType(Format format, DType dtype);
// True if LayoutInput::plain_dict means something to the format.
bool HasPlainDict(Format format);

// Streams a layout's bytes from any offset. Needs a layout without CRC holes.
// Not thread-safe.
class LayoutReader {
 public:
  // `layout` and `source` must outlive this.
  LayoutReader(const FileLayout* layout, TensorSource* source) : layout_(layout), source_(source) {}
  // Errors: OutOfRange  offset > size_bytes.
  absl::Status Seek(uint64_t offset);
  // The next piece, at most max_bytes; empty at the end. Literal chunks borrow
  // from the layout (no owner).
  absl::StatusOr<Chunk> Next(uint64_t max_bytes);
  uint64_t position() const { return position_; }
  // The extent and the offset in it that Next will read from; for callers that
  // know more about the bytes (their CRC). Null at the end.
  const Extent* extent() const;
  uint64_t extent_offset() const { return extent_offset_; }

 private:
  const FileLayout* layout_;  // Must outlive this.
  TensorSource* source_;      // Must outlive this.
  size_t index_ = 0;
  uint64_t extent_offset_ = 0;
  uint64_t position_ = 0;
  std::vector<uint64_t> starts_;  // of the extents in the file; made by the first Seek
};

// Writes a whole layout to a sink, front to back, filling CRC holes with what
// was written. `progress`, if set, is called with the bytes written so far; it
// returns false to cancel (Cancelled).
absl::Status WriteLayout(const FileLayout& layout, TensorSource* source, ByteSink* sink,
                         const std::function<bool(uint64_t)>& progress = nullptr);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_LAYOUT_H_

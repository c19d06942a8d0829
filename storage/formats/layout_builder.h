// Puts a FileLayout together, front to back.
#ifndef BALLAST_STORAGE_FORMATS_LAYOUT_BUILDER_H_
#define BALLAST_STORAGE_FORMATS_LAYOUT_BUILDER_H_

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"
#include "storage/formats/layout.h"

namespace ballast {

class LayoutBuilder {
 public:
  explicit LayoutBuilder(Format format) { layout_.format = format; }

  // Literals next to each other become one extent.
  void AddLiteral(absl::string_view bytes) {
    if (bytes.empty()) return;
    if (!layout_.extents.empty() && layout_.extents.back().kind == Extent::Kind::kLiteral) {
      layout_.extents.back().size_bytes += bytes.size();
      Grow(bytes.size());
    } else {
      Add({Extent::Kind::kLiteral, 0, layout_.literals.size(), bytes.size()});
    }
    layout_.literals.append(bytes.data(), bytes.size());
  }
  // All bytes of the tensor, if it has any.
  void AddTensor(const LayoutTensor& tensor) {
    Add({Extent::Kind::kTensor, tensor.entry, 0, CheckedTensorBytes(tensor.spec)});
  }
  // A literal of four bytes for the CRC-32 of `entry`, whose bytes come before.
  void AddCrcHole(uint32_t entry) {
    layout_.crc_holes.push_back({layout_.literals.size(), entry});
    AddLiteral(absl::string_view("\0\0\0\0", 4));
  }
  void AddZeros(uint64_t size_bytes) { Add({Extent::Kind::kZeros, 0, 0, size_bytes}); }

  // Of what has been added so far.
  uint64_t size_bytes() const { return layout_.size_bytes; }

  // Errors: ResourceExhausted  the file would have more than 2^64-1 bytes.
  absl::StatusOr<FileLayout> Build() {
    if (overflow_) return LimitError("the file would be larger than 2^64-1 bytes");
    return std::move(layout_);
  }

 private:
  void Add(Extent extent) {
    if (extent.size_bytes == 0) return;
    Grow(extent.size_bytes);
    layout_.extents.push_back(extent);
  }
  void Grow(uint64_t size_bytes) {
    overflow_ |= !CheckedAdd(layout_.size_bytes, size_bytes, &layout_.size_bytes);
  }

  FileLayout layout_;
  bool overflow_ = false;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_LAYOUT_BUILDER_H_

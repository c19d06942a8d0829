// Brings a strided tensor into C order without holding its storage in memory.
//
// Work goes in panels: runs of the *output* that fit a memory bound. For a panel,
// the storage is read in ascending order, in windows of up to 1 MiB that cover
// neighbouring elements; a gap of more than 2 KiB between elements is skipped
// rather than read, and the runs between gaps are gathered into one window. A transposed tensor of R rows in the storage needs about
// (its size / panel size) passes with reads of (panel size / rows of output) bytes.
#ifndef BALLAST_STORAGE_FORMATS_GATHER_H_
#define BALLAST_STORAGE_FORMATS_GATHER_H_

#include <cstdint>
#include <functional>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// Reads storage bytes at an offset.
using StorageReadFunction = std::function<absl::Status(uint64_t offset_bytes, absl::Span<char>)>;

// One tensor's way from storage to C order. Immutable.
class Gather {
 public:
  // A run of output bytes.
  struct Panel {
    uint64_t begin_bytes = 0;
    uint64_t size_bytes = 0;
  };

  // The entry must lie in its storage, not be empty, and have whole-byte elements.
  explicit Gather(const SourceEntry& entry);

  // True if the elements lie one after the other in C order already.
  bool contiguous() const { return axes_.empty() || (axes_.size() == 1 && axes_[0].stride == 1); }

  // The panel of at most `max_bytes` (at least one element) with this byte of output.
  Panel PanelAt(uint64_t offset_bytes, uint64_t max_bytes) const;

  // Fills `out` (panel.size_bytes) with a panel that PanelAt returned for the same
  // max_bytes. Errors: those of `read`.
  absl::Status Fill(const Panel& panel, uint64_t max_bytes, const StorageReadFunction& read,
                    char* out) const;

 private:
  // A dimension of more than one element, neighbours merged where possible.
  struct Axis {
    uint64_t count = 1;
    uint64_t stride = 0;     // in elements of the storage
    uint64_t row_bytes = 0;  // output bytes from one index to the next
  };
  // The outermost axis whose rows fit `max_bytes`.
  size_t PanelAxis(uint64_t max_bytes) const;

  uint64_t element_bytes_;
  uint64_t base_bytes_;  // of the first element in the storage
  absl::InlinedVector<Axis, 4> axes_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_GATHER_H_

// A file being written in any order: what is not a tensor at once, tensors as they come.
#ifndef BALLAST_CLIENT_LAID_OUT_FILE_H_
#define BALLAST_CLIENT_LAID_OUT_FILE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/base/file.h"
#include "storage/formats/layout.h"

namespace ballast {

// Not thread-safe.
class LaidOutFile {
 public:
  // `file` must outlive this and be empty. The layout, of `entries` entries, must have no CRC
  // holes.
  LaidOutFile(AtomicFile* file, FileLayout layout, size_t entries);

  // Everything that is not a tensor. Errors: those of writing.
  absl::Status WriteFrame();
  // Bytes of an entry, to every place that it has in the file; none if it is written as the
  // one that it is tied to. Errors: those of writing.
  absl::Status WriteTensor(uint32_t entry, uint64_t offset, absl::string_view bytes);

  const FileLayout& layout() const { return layout_; }

 private:
  // Where a piece of a tensor goes.
  struct Place {
    uint64_t tensor_offset = 0;
    uint64_t file_offset = 0;
    uint64_t size_bytes = 0;
  };

  absl::Status WriteAt(uint64_t file_offset, absl::string_view bytes);

  AtomicFile* const file_;
  const FileLayout layout_;
  std::vector<std::vector<Place>> places_;  // by entry
  uint64_t dirty_bytes_ = 0;                // written since the disk was last told to begin
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_LAID_OUT_FILE_H_

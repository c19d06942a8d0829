// A file of one tensor, written while the tensor's bytes come.
#ifndef BALLAST_CLIENT_ROWS_FILE_H_
#define BALLAST_CLIENT_ROWS_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/layout.h"

namespace ballast {

// Begin, Write for every piece of the tensor, Finish. Holds no more than the file's header: the
// checksum that a .pth has of the tensor stands behind it. Not thread-safe.
class RowsFile {
 public:
  // `sink` must outlive this.
  explicit RowsFile(ByteSink* sink) : sink_(sink) {}

  // Errors: those of LayOut and of the sink.
  absl::Status Begin(Format format, const TensorSpec& spec, bool plain_dict, const Limits& limits);
  absl::Status Write(absl::string_view bytes);
  absl::Status Finish();

  Format format() const { return layout_.format; }
  uint64_t size_bytes() const { return layout_.size_bytes; }
  const std::vector<std::string>& warnings() const { return layout_.warnings; }

 private:
  absl::Status WriteLiterals();

  ByteSink* sink_;  // Must outlive this.
  FileLayout layout_;
  LayoutReader reader_{&layout_, nullptr};  // of everything but the tensor
  uint64_t tensor_bytes_ = 0;
  uint32_t crc32_ = 0;  // of what was written of the tensor
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_ROWS_FILE_H_

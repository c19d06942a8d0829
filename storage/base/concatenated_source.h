// Several sources read as one: their bytes back to back. The shards of a checkpoint are
// read like this, so that what works on one file works on many.
#ifndef BALLAST_STORAGE_BASE_CONCATENATED_SOURCE_H_
#define BALLAST_STORAGE_BASE_CONCATENATED_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "storage/base/byte_io.h"

namespace ballast {

// Thread-safe.
class ConcatenatedSource : public ByteSource {
 public:
  struct Part {
    std::string name;  // for messages
    std::unique_ptr<ByteSource> source;
    uint64_t begin_bytes = 0;  // of its first byte in the whole; set by the constructor
  };

  // The sizes of the parts together must fit 64 bits, as those of files do.
  explicit ConcatenatedSource(std::vector<Part> parts);

  uint64_t size_bytes() const override { return size_; }
  // Errors: as ByteSource; those of a part begin with its name.
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override;

  const std::vector<Part>& parts() const { return parts_; }

 private:
  std::vector<Part> parts_;
  uint64_t size_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_CONCATENATED_SOURCE_H_

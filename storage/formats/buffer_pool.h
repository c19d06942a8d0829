// Buffers that are used again: the first touch of fresh memory costs more than
// reading a file from the page cache.
#ifndef BALLAST_STORAGE_FORMATS_BUFFER_POOL_H_
#define BALLAST_STORAGE_FORMATS_BUFFER_POOL_H_

#include <cstddef>
#include <memory>

#include "absl/types/span.h"

namespace ballast {

// A buffer's bytes and what keeps them.
struct PooledBuffer {
  absl::Span<char> bytes;
  // Owners: everyone who holds a copy. With the last one the buffer goes back to
  // its pool, on whatever thread that is, even after the pool object is gone.
  std::shared_ptr<void> owner;
};

// Thread-safe.
class BufferPool {
 public:
  // Keeps at most `keep_bytes` of unused buffers.
  explicit BufferPool(size_t keep_bytes);
  // A buffer of `size_bytes` with any content. Small ones are simply allocated, so
  // that many small chunks in flight do not pin big buffers.
  PooledBuffer Get(size_t size_bytes);

 private:
  struct Shelf;
  std::shared_ptr<Shelf> shelf_;  // Owners: the pool and every buffer that is out.
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_BUFFER_POOL_H_

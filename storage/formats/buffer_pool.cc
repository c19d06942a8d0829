#include "storage/formats/buffer_pool.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace ballast {
namespace {

constexpr size_t kSmallBytes = 16 << 10;

// Sizes are rounded up to few classes, so that buffers fit again.
size_t CapacityFor(size_t size_bytes) {
  size_t capacity = kSmallBytes;
  while (capacity < size_bytes) capacity *= 2;
  return capacity;
}

}  // namespace

struct BufferPool::Shelf {
  struct Unused {
    size_t capacity;
    std::unique_ptr<char[]> memory;
  };
  explicit Shelf(size_t keep) : keep_bytes(keep) {}

  std::unique_ptr<char[]> Take(size_t capacity) {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto it = std::find_if(unused.begin(), unused.end(),
                                 [&](const Unused& u) { return u.capacity == capacity; });
    if (it == unused.end()) return nullptr;
    std::unique_ptr<char[]> memory = std::move(it->memory);
    unused_bytes -= capacity;
    *it = std::move(unused.back());
    unused.pop_back();
    return memory;
  }

  void PutBack(std::unique_ptr<char[]> memory, size_t capacity) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (unused_bytes + capacity > keep_bytes) return;
    unused_bytes += capacity;
    unused.push_back({capacity, std::move(memory)});
  }

  const size_t keep_bytes;
  std::mutex mutex;  // guards what follows
  std::vector<Unused> unused;
  size_t unused_bytes = 0;
};

BufferPool::BufferPool(size_t keep_bytes) : shelf_(std::make_shared<Shelf>(keep_bytes)) {}

PooledBuffer BufferPool::Get(size_t size_bytes) {
  if (size_bytes < kSmallBytes) {
    std::shared_ptr<char> memory(new char[std::max<size_t>(size_bytes, 1)],
                                 std::default_delete<char[]>());
    return {absl::MakeSpan(memory.get(), size_bytes), memory};
  }
  const size_t capacity = CapacityFor(size_bytes);
  std::unique_ptr<char[]> memory = shelf_->Take(capacity);
  if (memory == nullptr) memory.reset(new char[capacity]);
  char* const bytes = memory.release();
  std::shared_ptr<void> owner(bytes, [shelf = shelf_, capacity](char* p) {
    shelf->PutBack(std::unique_ptr<char[]>(p), capacity);
  });
  return {absl::MakeSpan(bytes, size_bytes), std::move(owner)};
}

}  // namespace ballast

// The machine's stack with its marks, and its memo.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_STACK_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_STACK_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "storage/formats/pickle_value.h"

namespace ballast {

// Nothing below the innermost mark can be touched. Not thread-safe.
class PickleStack {
 public:
  void Push(PickleRef ref) { values_.push_back(ref); }
  void Mark() { marks_.push_back(values_.size()); }
  bool has_mark() const { return !marks_.empty(); }
  size_t marks() const { return marks_.size(); }
  // Values above the innermost mark (all, without one).
  size_t size() const { return values_.size() - floor(); }
  absl::Span<const PickleRef> above_mark() const {
    return absl::MakeConstSpan(values_).subspan(floor());
  }
  // From the top: Peek(0) is it. `depth` must be below size().
  PickleRef Peek(size_t depth = 0) const { return values_[values_.size() - 1 - depth]; }
  // `count` must be at most size().
  void Drop(size_t count) { values_.resize(values_.size() - count); }
  // Drops what is above the innermost mark, and the mark; there must be one.
  void DropMark() {
    values_.resize(marks_.back());
    marks_.pop_back();
  }
  uint64_t memory_bytes() const {
    return values_.capacity() * sizeof(PickleRef) + marks_.capacity() * sizeof(size_t);
  }

 private:
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  std::vector<PickleRef> values_;
  std::vector<size_t> marks_;
};

// Index → value. Picklers number contiguously, which a vector holds in four
// bytes each; any other index goes to a hash map, so that 0xFFFFFFFF costs what
// 0 costs. Not thread-safe.
class PickleMemo {
 public:
  void Put(uint64_t index, PickleRef ref) {
    if (index < dense_.size()) {
      dense_[index] = ref;
    } else if (index == dense_.size()) {
      dense_.push_back(ref);
      sparse_.erase(index);
    } else {
      sparse_[index] = ref;
    }
  }
  // kNoPickleRef if nothing was put there.
  PickleRef Get(uint64_t index) const {
    if (index < dense_.size()) return dense_[index];
    const auto it = sparse_.find(index);
    return it == sparse_.end() ? kNoPickleRef : it->second;
  }
  uint64_t size() const { return dense_.size() + sparse_.size(); }
  uint64_t memory_bytes() const {
    return dense_.capacity() * sizeof(PickleRef) + sparse_.capacity() * 24;
  }

 private:
  std::vector<PickleRef> dense_;
  absl::flat_hash_map<uint64_t, PickleRef> sparse_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_STACK_H_

#include "storage/store/mark_set.h"

#include <algorithm>

namespace ballast {
namespace {

constexpr uint64_t kMarksMin = 16;

bool Before(const BlockMark& a, const BlockMark& b) { return a.digest < b.digest; }

}  // namespace

MarkSet::MarkSet(uint64_t bytes_max)
    : marks_max_(static_cast<size_t>(std::max(kMarksMin, bytes_max / sizeof(BlockMark)))) {}

void MarkSet::BeginRange() {
  if (end_.has_value()) begin_ = *end_;
  end_.reset();
  marks_.clear();
  marks_.reserve(marks_max_);
}

void MarkSet::Add(const Digest& digest, uint64_t size_bytes, uint32_t owner, BlockUse use) {
  if (!Contains(digest)) return;
  BlockMark& mark = marks_.emplace_back();
  mark.digest = digest;
  mark.owner = owner;
  mark.size_bytes = static_cast<uint32_t>(size_bytes) & 0x3FFFFFFF;
  mark.use = static_cast<uint32_t>(use);
  if (marks_.size() < marks_max_) return;
  Merge();
  if (marks_.size() <= marks_max_ / 4 * 3) return;
  end_ = marks_[marks_.size() / 2].digest;
  marks_.resize(marks_.size() / 2);
}

void MarkSet::Seal() { Merge(); }

const BlockMark* MarkSet::Find(const Digest& digest) const {
  BlockMark wanted;
  wanted.digest = digest;
  const auto it = std::lower_bound(marks_.begin(), marks_.end(), wanted, Before);
  return it == marks_.end() || it->digest != digest ? nullptr : &*it;
}

void MarkSet::Merge() {
  std::sort(marks_.begin(), marks_.end(), Before);
  size_t kept = 0;
  for (const BlockMark& mark : marks_) {
    if (kept == 0 || marks_[kept - 1].digest != mark.digest) {
      marks_[kept++] = mark;
      continue;
    }
    BlockMark& first = marks_[kept - 1];
    // Two that nobody asks about are two all the same, or one twice: no matter.
    if (first.owner != mark.owner) first.owner = BlockMark::kSeveral;
    first.use = std::max<uint32_t>(first.use, mark.use);
  }
  marks_.resize(kept);
}

}  // namespace ballast

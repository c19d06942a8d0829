// The blocks that are in use, in bounded memory: of one range of digests after the
// other. Whoever marks goes through everything once per range.
//
//   MarkSet marks(limits.gc_mark_bytes_max);
//   do {
//     marks.BeginRange();  … Add(every block in use) …  marks.Seal();  … Find(digest) …
//   } while (!marks.last());
#ifndef BALLAST_STORAGE_STORE_MARK_SET_H_
#define BALLAST_STORAGE_STORE_MARK_SET_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "storage/base/digest.h"

namespace ballast {

// What keeps a block: what its users need of it, the strongest wins.
enum class BlockUse : uint8_t {
  kGone,  // only versions that will have been removed: nothing keeps it
  kHeld,  // deleted versions that can be brought back
  kLive,
};

struct BlockMark {
  static constexpr uint32_t kNobody = UINT32_MAX;  // a version that is not asked about
  static constexpr uint32_t kSeveral = UINT32_MAX - 1;

  Digest digest;
  uint32_t owner = kNobody;  // number of the version, chosen by the caller
  uint32_t size_bytes : 30 = 0;
  uint32_t use : 2 = 0;  // BlockUse
};
static_assert(sizeof(BlockMark) == 40);

// Not thread-safe.
class MarkSet {
 public:
  // Holds at least a few marks, however small `bytes_max` is.
  explicit MarkSet(uint64_t bytes_max);

  // Forgets all marks; the range begins where the one before ended, at first at the
  // lowest digest, and has no end.
  void BeginRange();
  // A digest outside the range is left out. When memory is used up the range gets an
  // end: what lies behind it is for the next.
  void Add(const Digest& digest, uint64_t size_bytes, uint32_t owner, BlockUse use);
  // After the last Add: each digest is there once.
  void Seal();

  bool Contains(const Digest& digest) const {  // is it in the range?
    return !(digest < begin_) && (!end_.has_value() || digest < *end_);
  }
  // Nullptr if it is not marked. Only after Seal.
  const BlockMark* Find(const Digest& digest) const;
  const std::vector<BlockMark>& marks() const { return marks_; }
  bool last() const { return !end_.has_value(); }

 private:
  void Merge();

  const size_t marks_max_;
  Digest begin_;
  std::optional<Digest> end_;
  std::vector<BlockMark> marks_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_MARK_SET_H_

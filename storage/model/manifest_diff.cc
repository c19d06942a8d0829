#include "storage/model/manifest_diff.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace ballast {
namespace {

// Positions of the entries, in byte order of their keys.
std::vector<uint32_t> ByKey(const Manifest& manifest) {
  std::vector<uint32_t> order(manifest.entries.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return manifest.entries[a].spec.key < manifest.entries[b].spec.key;
  });
  return order;
}

bool SameBytes(const ManifestEntry& a, const ManifestEntry& b) {
  return std::equal(a.blocks.begin(), a.blocks.end(), b.blocks.begin(), b.blocks.end(),
                    [](const BlockRef& x, const BlockRef& y) { return x.digest == y.digest; });
}

// What a tensor is, apart from its key.
std::string IdentityOf(const ManifestEntry& entry) {
  return std::string(DTypeName(entry.spec.dtype)) + ShapeText(entry.spec.shape) +
         std::string(TensorDigest(entry).View());
}

class Differ {
 public:
  Differ(const Manifest& from, const Manifest& to) : from_(from), to_(to) {}

  ManifestDiff Run() {
    Merge();
    PairRenamed();
    for (const uint32_t index : gone_) {
      diff_.changes.push_back({ChangeKind::kRemoved, index, std::nullopt});
    }
    for (const uint32_t index : come_) {
      diff_.changes.push_back({ChangeKind::kAdded, std::nullopt, index});
    }
    std::sort(diff_.changes.begin(), diff_.changes.end(),
              [this](const TensorChange& a, const TensorChange& b) {
                return std::pair(KeyOf(a), a.kind) < std::pair(KeyOf(b), b.kind);
              });
    CountShared();
    return std::move(diff_);
  }

 private:
  absl::string_view KeyOf(const TensorChange& change) const {
    return change.to ? to_.entries[*change.to].spec.key : from_.entries[*change.from].spec.key;
  }

  // Keys that both have are compared; those of one side go to gone_ and come_.
  void Merge() {
    const std::vector<uint32_t> olds = ByKey(from_), news = ByKey(to_);
    size_t o = 0, n = 0;
    while (o < olds.size() || n < news.size()) {
      const std::string* old_key = o < olds.size() ? &from_.entries[olds[o]].spec.key : nullptr;
      const std::string* new_key = n < news.size() ? &to_.entries[news[n]].spec.key : nullptr;
      if (new_key == nullptr || (old_key != nullptr && *old_key < *new_key)) {
        gone_.push_back(olds[o++]);
      } else if (old_key == nullptr || *new_key < *old_key) {
        come_.push_back(news[n++]);
      } else {
        Compare(olds[o++], news[n++]);
      }
    }
  }

  void Compare(uint32_t from, uint32_t to) {
    const ManifestEntry &a = from_.entries[from], &b = to_.entries[to];
    if (a.spec.shape != b.spec.shape) {
      diff_.changes.push_back({ChangeKind::kReshaped, from, to});
    } else if (a.spec.dtype != b.spec.dtype) {
      diff_.changes.push_back({ChangeKind::kRecast, from, to});
    } else if (!SameBytes(a, b)) {
      diff_.changes.push_back({ChangeKind::kChanged, from, to});
    } else {
      ++diff_.unchanged;
    }
  }

  void PairRenamed() {
    // Last first, so that the first is at the back.
    absl::flat_hash_map<std::string, std::vector<uint32_t>> came;
    for (auto it = come_.rbegin(); it != come_.rend(); ++it) {
      came[IdentityOf(to_.entries[*it])].push_back(*it);
    }
    std::vector<bool> named(to_.entries.size());
    const auto is_renamed = [&](uint32_t from) {
      const auto same = came.find(IdentityOf(from_.entries[from]));
      if (same == came.end() || same->second.empty()) return false;
      const uint32_t to = same->second.back();
      same->second.pop_back();
      named[to] = true;
      diff_.changes.push_back({ChangeKind::kRenamed, from, to});
      return true;
    };
    // Each is looked at once, in order.
    std::vector<uint32_t> still_gone, still_come;
    for (const uint32_t from : gone_) {
      if (!is_renamed(from)) still_gone.push_back(from);
    }
    for (const uint32_t to : come_) {
      if (!named[to]) still_come.push_back(to);
    }
    gone_ = std::move(still_gone);
    come_ = std::move(still_come);
  }

  void CountShared() {
    absl::flat_hash_map<Digest, uint64_t> sizes;  // of blocks that are still to be met
    for (const ManifestEntry& entry : from_.entries) {
      const uint64_t size = CheckedTensorBytes(entry.spec);
      for (size_t i = 0; i < entry.blocks.size(); ++i) {
        sizes[entry.blocks[i].digest] = BlockSize(size, i);
      }
    }
    for (const ManifestEntry& entry : to_.entries) {
      for (const BlockRef& block : entry.blocks) {
        const auto known = sizes.find(block.digest);
        if (known != sizes.end()) diff_.shared_bytes += std::exchange(known->second, 0);
      }
    }
  }

  const Manifest& from_;  // Must outlive this.
  const Manifest& to_;    // Must outlive this.
  std::vector<uint32_t> gone_, come_;
  ManifestDiff diff_;
};

}  // namespace

absl::string_view ChangeKindName(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kAdded:
      return "added";
    case ChangeKind::kRemoved:
      return "removed";
    case ChangeKind::kRenamed:
      return "renamed";
    case ChangeKind::kReshaped:
      return "reshaped";
    case ChangeKind::kRecast:
      return "recast";
    case ChangeKind::kChanged:
      break;
  }
  return "changed";
}

ManifestDiff DiffManifests(const Manifest& from, const Manifest& to) {
  return Differ(from, to).Run();
}

}  // namespace ballast

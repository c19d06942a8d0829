#include "storage/formats/gather.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr uint64_t kWindowBytes = 1 << 20;
// Reading over a gap of this size costs about as much as another read call.
constexpr uint64_t kGapBytes = 2 << 10;

// A dimension of the box that is copied: steps in the window and in the output.
struct BoxAxis {
  uint64_t count;
  uint64_t in_bytes;
  uint64_t out_bytes;
};
using Box = std::vector<BoxAxis>;

// Calls fn(in offset, out offset) for every index of `box`, the last axis fastest.
template <typename F>
absl::Status ForEachIndex(const Box& box, F fn) {
  absl::InlinedVector<uint64_t, 6> index(box.size(), 0);
  uint64_t in = 0;
  uint64_t out = 0;
  while (true) {
    RETURN_IF_ERROR(fn(in, out));
    size_t axis = box.size();
    while (axis > 0) {
      --axis;
      in += box[axis].in_bytes;
      out += box[axis].out_bytes;
      if (++index[axis] < box[axis].count) break;
      in -= box[axis].in_bytes * box[axis].count;
      out -= box[axis].out_bytes * box[axis].count;
      index[axis] = 0;
      if (axis == 0) return absl::OkStatus();
    }
    if (box.empty()) return absl::OkStatus();
  }
}

template <size_t kBytes>
void CopyElements(const char* in, char* out, const BoxAxis& axis) {
  for (uint64_t i = 0; i < axis.count; ++i) {
    std::memcpy(out, in, kBytes);
    in += axis.in_bytes;
    out += axis.out_bytes;
  }
}

void CopyRow(const char* in, char* out, const BoxAxis& axis, uint64_t element_bytes) {
  if (axis.in_bytes == element_bytes && axis.out_bytes == element_bytes) {
    std::memcpy(out, in, axis.count * element_bytes);
    return;
  }
  switch (element_bytes) {
    case 1:
      return CopyElements<1>(in, out, axis);
    case 2:
      return CopyElements<2>(in, out, axis);
    case 4:
      return CopyElements<4>(in, out, axis);
    case 8:
      return CopyElements<8>(in, out, axis);
    default:
      return CopyElements<16>(in, out, axis);
  }
}

// Copies a box out of a window that holds all of it.
void CopyBox(Box box, const char* in, char* out, uint64_t element_bytes) {
  std::sort(box.begin(), box.end(),
            [](const BoxAxis& a, const BoxAxis& b) { return a.out_bytes > b.out_bytes; });
  if (box.empty()) box.push_back({1, element_bytes, element_bytes});
  const BoxAxis last = box.back();
  box.pop_back();
  (void)ForEachIndex(box, [&](uint64_t in_offset, uint64_t out_offset) {
    CopyRow(in + in_offset, out + out_offset, last, element_bytes);
    return absl::OkStatus();
  });
}

// `box`, cut into windows: `inner` is the part that one read covers, `outer` what
// to repeat it over. The last of `inner` may be cut into pieces of `piece`.
struct Windows {
  Box inner;
  Box outer;
  uint64_t window_bytes = 0;
  bool cut = false;        // the first of `outer` steps over pieces of the last of `inner`
  uint64_t cut_count = 0;  // elements of the axis that was cut
};

Windows CutWindows(Box box, uint64_t element_bytes) {
  std::sort(box.begin(), box.end(), [](const BoxAxis& a, const BoxAxis& b) {
    return a.in_bytes != b.in_bytes ? a.in_bytes < b.in_bytes : a.out_bytes < b.out_bytes;
  });
  Windows windows;
  windows.window_bytes = element_bytes;
  size_t i = 0;
  for (; i < box.size(); ++i) {
    const BoxAxis& axis = box[i];
    if (axis.in_bytes > 2 * windows.window_bytes && axis.in_bytes > kGapBytes) break;
    const uint64_t whole = windows.window_bytes + (axis.count - 1) * axis.in_bytes;
    if (whole <= kWindowBytes) {
      windows.inner.push_back(axis);
      windows.window_bytes = whole;
      continue;
    }
    const uint64_t piece = 1 + (kWindowBytes - windows.window_bytes) / axis.in_bytes;
    if (piece == 1) break;
    windows.cut = true;
    windows.cut_count = axis.count;
    windows.inner.push_back({piece, axis.in_bytes, axis.out_bytes});
    windows.outer.push_back(
        {(axis.count + piece - 1) / piece, axis.in_bytes * piece, axis.out_bytes * piece});
    windows.window_bytes += (piece - 1) * axis.in_bytes;
    ++i;
    break;
  }
  windows.outer.insert(windows.outer.begin(), box.rbegin(), box.rend() - i);
  return windows;
}

// The output offset tells the piece of the cut axis only through its index, so the
// cut axis is always the fastest of `outer`: pieces count up, and start anew.
absl::Status CopyWindows(const Windows& windows, uint64_t base_bytes, uint64_t element_bytes,
                         const StorageReadFunction& read, char* out) {
  std::string window(windows.window_bytes, '\0');
  Box inner = windows.inner;
  uint64_t step = 0;
  return ForEachIndex(windows.outer, [&](uint64_t in_offset, uint64_t out_offset) {
    uint64_t bytes = windows.window_bytes;
    if (windows.cut) {
      const uint64_t piece = windows.inner.back().count;
      const uint64_t index = step++ % windows.outer.back().count;
      inner.back().count = std::min(piece, windows.cut_count - index * piece);
      bytes -= (piece - inner.back().count) * inner.back().in_bytes;
    }
    RETURN_IF_ERROR(read(base_bytes + in_offset, absl::MakeSpan(&window[0], bytes)));
    CopyBox(inner, window.data(), out + out_offset, element_bytes);
    return absl::OkStatus();
  });
}

}  // namespace

Gather::Gather(const SourceEntry& entry)
    : element_bytes_(InfoOf(entry.spec.dtype).bits / 8), base_bytes_(entry.offset_bytes) {
  const Shape& shape = entry.spec.shape;
  uint64_t packed = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    const uint64_t stride = entry.strides.empty() ? packed : entry.strides[i];
    packed *= shape[i];
    if (shape[i] == 1) continue;
    if (!axes_.empty() && stride == axes_.back().stride * axes_.back().count) {
      axes_.back().count *= shape[i];
    } else {
      axes_.push_back({shape[i], stride, 0});
    }
  }
  uint64_t row_bytes = element_bytes_;
  for (Axis& axis : axes_) {
    axis.row_bytes = row_bytes;
    row_bytes *= axis.count;
  }
  std::reverse(axes_.begin(), axes_.end());
}

size_t Gather::PanelAxis(uint64_t max_bytes) const {
  size_t axis = 0;
  while (axis + 1 < axes_.size() && axes_[axis].row_bytes > max_bytes) ++axis;
  return axis;
}

Gather::Panel Gather::PanelAt(uint64_t offset_bytes, uint64_t max_bytes) const {
  if (axes_.empty()) return {0, element_bytes_};
  const Axis& axis = axes_[PanelAxis(max_bytes)];
  const uint64_t rows = std::clamp<uint64_t>(max_bytes / axis.row_bytes, 1, axis.count);
  const uint64_t row = offset_bytes / axis.row_bytes;  // counted over all outer indices
  const uint64_t first = row % axis.count / rows * rows;
  const uint64_t count = std::min(rows, axis.count - first);
  return {(row - row % axis.count + first) * axis.row_bytes, count * axis.row_bytes};
}

absl::Status Gather::Fill(const Panel& panel, uint64_t max_bytes, const StorageReadFunction& read,
                          char* out) const {
  if (axes_.empty()) return read(base_bytes_, absl::MakeSpan(out, element_bytes_));
  const size_t panel_axis = PanelAxis(max_bytes);
  uint64_t base = base_bytes_;
  uint64_t left = panel.begin_bytes;
  for (size_t i = 0; i <= panel_axis; ++i) {
    base += left / axes_[i].row_bytes * axes_[i].stride * element_bytes_;
    left %= axes_[i].row_bytes;
  }
  Box box;
  for (size_t i = panel_axis; i < axes_.size(); ++i) {
    const Axis& axis = axes_[i];
    const uint64_t count = i == panel_axis ? panel.size_bytes / axis.row_bytes : axis.count;
    box.push_back({count, axis.stride * element_bytes_, axis.row_bytes});
  }
  return CopyWindows(CutWindows(std::move(box), element_bytes_), base, element_bytes_, read, out);
}

}  // namespace ballast

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

// A plane of elements: `rows` along which they lie close together in the window,
// `columns` along which they go close together in the output. A few rows at a time,
// so that the cache lines of both sides are used up while they are near.
template <size_t kBytes>
void CopyElements(const char* in, char* out, const BoxAxis& rows, const BoxAxis& columns) {
  constexpr uint64_t kRowsAtOnce = 8;
  for (uint64_t row = 0; row < rows.count; row += kRowsAtOnce) {
    const uint64_t n = std::min(kRowsAtOnce, rows.count - row);
    for (uint64_t column = 0; column < columns.count; ++column) {
      const char* from = in + row * rows.in_bytes + column * columns.in_bytes;
      char* to = out + row * rows.out_bytes + column * columns.out_bytes;
      for (uint64_t i = 0; i < n; ++i) {
        std::memcpy(to, from, kBytes);
        from += rows.in_bytes;
        to += rows.out_bytes;
      }
    }
  }
}

void CopyPlane(const char* in, char* out, const BoxAxis& rows, const BoxAxis& columns,
               uint64_t element_bytes) {
  if (columns.in_bytes == element_bytes && columns.out_bytes == element_bytes) {
    for (uint64_t row = 0; row < rows.count; ++row) {
      std::memcpy(out + row * rows.out_bytes, in + row * rows.in_bytes,
                  columns.count * element_bytes);
    }
    return;
  }
  switch (element_bytes) {
    case 1:
      return CopyElements<1>(in, out, rows, columns);
    case 2:
      return CopyElements<2>(in, out, rows, columns);
    case 4:
      return CopyElements<4>(in, out, rows, columns);
    case 8:
      return CopyElements<8>(in, out, rows, columns);
    default:
      return CopyElements<16>(in, out, rows, columns);
  }
}

// Takes the axis of the smallest step out of the box; one of one element if it is
// empty.
template <typename Step>
BoxAxis TakeSmallest(Step step, Box* box) {
  if (box->empty()) return {1, 0, 0};
  const auto smallest =
      std::min_element(box->begin(), box->end(),
                       [&](const BoxAxis& a, const BoxAxis& b) { return a.*step < b.*step; });
  const BoxAxis axis = *smallest;
  box->erase(smallest);
  return axis;
}

// Copies a box out of a window that holds all of it.
void CopyBox(Box box, const char* in, char* out, uint64_t element_bytes) {
  const BoxAxis columns = TakeSmallest(&BoxAxis::out_bytes, &box);
  const BoxAxis rows = TakeSmallest(&BoxAxis::in_bytes, &box);
  (void)ForEachIndex(box, [&](uint64_t in_offset, uint64_t out_offset) {
    CopyPlane(in + in_offset, out + out_offset, rows, columns, element_bytes);
    return absl::OkStatus();
  });
}

// `box`, cut into windows of at most kWindowBytes. A window is one or more runs of
// the storage; `inner` says how its elements lie in memory, where runs stand next to
// each other. The last of `inner` may be cut into pieces: the last of `outer` then
// counts them.
struct Windows {
  Box inner;
  Box outer;
  uint64_t run_bytes = 0;
  bool many_runs = false;   // the last of `inner` counts runs
  uint64_t run_stride = 0;  // from run to run in the storage
  bool cut = false;
  uint64_t cut_count = 0;  // elements of the axis that was cut, all pieces together
};

// Cuts `axis` into pieces of `piece`, of which one is in a window.
void Cut(const BoxAxis& axis, uint64_t piece, uint64_t in_window_bytes, Windows* windows) {
  windows->cut = true;
  windows->cut_count = axis.count;
  windows->inner.push_back({piece, in_window_bytes, axis.out_bytes});
  windows->outer.push_back(
      {(axis.count + piece - 1) / piece, axis.in_bytes * piece, axis.out_bytes * piece});
}

Windows CutWindows(Box box, uint64_t element_bytes) {
  std::sort(box.begin(), box.end(), [](const BoxAxis& a, const BoxAxis& b) {
    return a.in_bytes != b.in_bytes ? a.in_bytes < b.in_bytes : a.out_bytes < b.out_bytes;
  });
  Windows windows;
  windows.run_bytes = element_bytes;
  size_t i = 0;
  for (; i < box.size(); ++i) {
    const BoxAxis& axis = box[i];
    if (axis.in_bytes > 2 * windows.run_bytes && axis.in_bytes > kGapBytes) break;
    const uint64_t whole = windows.run_bytes + (axis.count - 1) * axis.in_bytes;
    if (whole > kWindowBytes) break;
    windows.inner.push_back(axis);
    windows.run_bytes = whole;
  }
  if (i < box.size()) {
    const BoxAxis& axis = box[i];
    const uint64_t step = std::max<uint64_t>(axis.in_bytes, 1);
    const bool dense = axis.in_bytes <= 2 * windows.run_bytes || axis.in_bytes <= kGapBytes;
    const uint64_t piece = 1 + (kWindowBytes - windows.run_bytes) / step;
    if (dense && piece > 1) {
      Cut(axis, piece, axis.in_bytes, &windows);
      windows.run_bytes += (piece - 1) * axis.in_bytes;
    } else {
      windows.many_runs = true;
      windows.run_stride = axis.in_bytes;
      Cut(axis, std::min(axis.count, kWindowBytes / windows.run_bytes), windows.run_bytes,
          &windows);
    }
    ++i;
  }
  // The cut axis stays the fastest.
  windows.outer.insert(windows.outer.begin(), box.rbegin(), box.rend() - i);
  return windows;
}

// Reads one window: `count` runs, or one that is `missing_bytes` shorter at the end.
absl::Status ReadWindow(const Windows& windows, uint64_t offset_bytes, uint64_t count,
                        uint64_t missing_bytes, const StorageReadFunction& read, char* out) {
  if (!windows.many_runs) {
    return read(offset_bytes, absl::MakeSpan(out, windows.run_bytes - missing_bytes));
  }
  for (uint64_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(read(offset_bytes + i * windows.run_stride,
                         absl::MakeSpan(out + i * windows.run_bytes, windows.run_bytes)));
  }
  return absl::OkStatus();
}

absl::Status CopyWindows(const Windows& windows, uint64_t base_bytes, uint64_t element_bytes,
                         const StorageReadFunction& read, char* out) {
  const uint64_t runs = windows.many_runs ? windows.inner.back().count : 1;
  std::string window(windows.run_bytes * runs, '\0');
  Box inner = windows.inner;
  uint64_t step = 0;
  return ForEachIndex(windows.outer, [&](uint64_t in_offset, uint64_t out_offset) {
    uint64_t missing_bytes = 0;
    uint64_t count = 1;
    if (windows.cut) {
      const uint64_t piece = windows.inner.back().count;
      const uint64_t index = step++ % windows.outer.back().count;
      count = std::min(piece, windows.cut_count - index * piece);
      missing_bytes = (piece - count) * inner.back().in_bytes;
      inner.back().count = count;
    }
    RETURN_IF_ERROR(
        ReadWindow(windows, base_bytes + in_offset, count, missing_bytes, read, &window[0]));
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

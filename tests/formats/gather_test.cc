#include "storage/formats/gather.h"

#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

SourceEntry Strided(DType dtype, Shape shape, absl::InlinedVector<uint64_t, 4> strides,
                    uint64_t offset_elements = 0) {
  SourceEntry entry;
  entry.spec.dtype = dtype;
  entry.spec.shape = std::move(shape);
  entry.strides = std::move(strides);
  entry.offset_bytes = offset_elements * InfoOf(dtype).bits / 8;
  return entry;
}

// Element by element, as the definition says.
std::string Naive(const SourceEntry& entry, const std::string& storage) {
  const uint64_t width = InfoOf(entry.spec.dtype).bits / 8;
  const uint64_t count = CheckedTensorBytes(entry.spec) / width;
  std::string out;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t left = i;
    uint64_t at = entry.offset_bytes;
    for (size_t d = entry.spec.shape.size(); d-- > 0;) {
      at += left % entry.spec.shape[d] * entry.strides[d] * width;
      left /= entry.spec.shape[d];
    }
    out += storage.substr(at, width);
  }
  return out;
}

std::string Bytes(size_t n) {
  std::string out(n, '\0');
  uint32_t state = 1;
  for (char& c : out) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return out;
}

// All panels one after the other; counts the reads and what they fetched.
struct Cost {
  uint64_t reads = 0;
  uint64_t bytes = 0;
};
std::string Gathered(const SourceEntry& entry, const std::string& storage, uint64_t panel_bytes,
                     Cost* cost = nullptr) {
  const Gather gather(entry);
  StringSource source(storage);
  const uint64_t size = CheckedTensorBytes(entry.spec);
  std::string out;
  while (out.size() < size) {
    const Gather::Panel panel = gather.PanelAt(out.size(), panel_bytes);
    EXPECT_EQ(panel.begin_bytes, out.size());
    EXPECT_GT(panel.size_bytes, 0u);
    std::string piece(panel.size_bytes, '\0');
    const absl::Status status = gather.Fill(
        panel, panel_bytes,
        [&](uint64_t offset, absl::Span<char> to) {
          if (cost != nullptr) {
            ++cost->reads;
            cost->bytes += to.size();
          }
          return source.ReadAt(offset, to);
        },
        &piece[0]);
    EXPECT_TRUE(status.ok()) << status;
    if (!status.ok()) return "";
    out += piece;
  }
  return out;
}

TEST(Gather, AgreesWithTheDefinition) {
  const std::vector<SourceEntry> cases = {
      Strided(DType::kFloat32, {}, {}, 3),
      Strided(DType::kFloat32, {5}, {1}, 2),
      Strided(DType::kFloat32, {5}, {3}),
      Strided(DType::kFloat32, {5}, {0}, 7),
      Strided(DType::kFloat32, {4, 5}, {1, 4}),
      Strided(DType::kFloat32, {4, 5}, {5, 1}),
      Strided(DType::kInt8, {4, 5}, {1, 4}, 1),
      Strided(DType::kInt16, {2, 3, 4}, {1, 2, 6}),
      Strided(DType::kFloat64, {2, 3, 4}, {12, 1, 3}),
      Strided(DType::kComplex128, {3, 2}, {1, 3}),
      Strided(DType::kFloat32, {2, 3, 4, 5}, {60, 1, 15, 3}),  // channels last
      Strided(DType::kFloat32, {8, 3}, {1, 1}),                // unfold
      Strided(DType::kFloat32, {6, 1, 4}, {0, 999999999, 1}),  // expanded; a size-1 dim
      Strided(DType::kFloat32, {1, 4}, {999999999, 1}),        // C67
      Strided(DType::kFloat32, {3, 4}, {0, 0}, 5),
      Strided(DType::kFloat32, {3, 4}, {100, 7}, 1),
      Strided(DType::kFloat32, {7, 11, 13}, {1, 7 * 13, 7}),
      Strided(DType::kInt8, {3, 5}, {3000, 700}),  // gaps above and below 2 KiB
      Strided(DType::kInt8, {5, 3}, {1, 3000}),
  };
  const std::string storage = Bytes(20'000);
  for (const SourceEntry& entry : cases) {
    const std::string want = Naive(entry, storage);
    for (const uint64_t panel : {16, 17, 40, 100, 1 << 20}) {
      EXPECT_EQ(Gathered(entry, storage, panel), want)
          << DTypeName(entry.spec.dtype) << ShapeText(entry.spec.shape) << " panel " << panel;
    }
  }
}

TEST(Gather, KnowsWhatIsContiguousAlready) {
  EXPECT_TRUE(Gather(Strided(DType::kInt8, {}, {})).contiguous());
  EXPECT_TRUE(Gather(Strided(DType::kInt8, {4, 5}, {5, 1})).contiguous());
  EXPECT_TRUE(Gather(Strided(DType::kInt8, {4, 1, 5}, {5, 77, 1})).contiguous());
  EXPECT_TRUE(Gather(Strided(DType::kInt8, {1, 1}, {9, 9})).contiguous());
  EXPECT_FALSE(Gather(Strided(DType::kInt8, {4, 5}, {1, 4})).contiguous());
  EXPECT_FALSE(Gather(Strided(DType::kInt8, {4, 5}, {6, 1})).contiguous());
  EXPECT_FALSE(Gather(Strided(DType::kInt8, {4}, {0})).contiguous());
}

// 24 MB transposed: with memory for all of it the storage is read once, in windows;
// with panels of 1 MiB in runs, and never an element at a time.
TEST(Gather, ReadsATransposedMatrixInFewPieces) {
  const uint64_t rows = 2000;
  const uint64_t columns = 3000;
  const SourceEntry entry = Strided(DType::kFloat32, {rows, columns}, {1, rows});
  const std::string storage = Bytes(rows * columns * 4);
  Cost once;
  const std::string all = Gathered(entry, storage, 64 << 20, &once);
  EXPECT_EQ(all, Naive(entry, storage));
  EXPECT_EQ(once.bytes, storage.size());
  EXPECT_LT(once.reads, 30u);
  Cost panels;
  EXPECT_EQ(Gathered(entry, storage, 1 << 20, &panels), all);
  EXPECT_EQ(panels.bytes, storage.size());
  EXPECT_LE(panels.reads, 24 * columns);
}

// One column of a wide matrix: gaps of 40 000 bytes are not read.
TEST(Gather, DoesNotReadBigGaps) {
  const SourceEntry entry = Strided(DType::kFloat32, {100}, {10'000});
  const std::string storage = Bytes(100 * 40'000);
  Cost cost;
  EXPECT_EQ(Gathered(entry, storage, 1 << 20, &cost), Naive(entry, storage));
  EXPECT_EQ(cost.bytes, 400u);
}

}  // namespace
}  // namespace ballast

#include "storage/formats/layout.h"

#include "storage/base/crc32.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

std::vector<Tensor> SomeTensors() {
  return {MakeTensor("a", DType::kFloat32, {3}), MakeTensor("empty", DType::kInt8, {0}),
          MakeTensor("b", DType::kInt8, {5}), MakeTensor("c", DType::kFloat64, {})};
}

// Literals, tensors in pieces and zeros.
FileLayout MixedLayout() {
  FileLayout layout;
  layout.format = Format::kPyTorch;
  layout.literals = "headtail";
  layout.extents = {{Extent::Kind::kLiteral, 0, 0, 4}, {Extent::Kind::kZeros, 0, 0, 3},
                    {Extent::Kind::kTensor, 0, 2, 7},  {Extent::Kind::kTensor, 2, 0, 5},
                    {Extent::Kind::kLiteral, 0, 4, 4}, {Extent::Kind::kZeros, 0, 0, 2}};
  layout.size_bytes = 25;
  return layout;
}

TEST(LayoutReader, FromEveryOffsetGivesTheRestOfTheFile) {
  const std::vector<Tensor> tensors = SomeTensors();
  std::vector<FileLayout> layouts = {MixedLayout()};
  for (const Format format : {Format::kTorchSharp, Format::kSafetensors, Format::kTensors}) {
    layouts.push_back(*LayOut(format, InputOf(tensors), Limits()));
  }
  for (const FileLayout& layout : layouts) {
    MemorySource source(&tensors);
    std::string whole;
    StringSink sink(&whole);
    ASSERT_TRUE(WriteLayout(layout, &source, &sink).ok());
    ASSERT_EQ(whole.size(), layout.size_bytes);
    LayoutReader reader(&layout, &source);
    for (const uint64_t step : {uint64_t{1}, uint64_t{3}, UINT64_MAX}) {
      for (uint64_t offset = 0; offset <= layout.size_bytes; ++offset) {
        ASSERT_TRUE(reader.Seek(offset).ok());
        std::string rest;
        while (true) {
          EXPECT_EQ(reader.position(), offset + rest.size());
          const auto chunk = reader.Next(step);
          ASSERT_TRUE(chunk.ok());
          if (chunk->bytes.empty()) break;
          rest.append(chunk->bytes.data(), chunk->bytes.size());
        }
        ASSERT_EQ(rest, whole.substr(offset));
        EXPECT_EQ(reader.extent(), nullptr);
      }
    }
    EXPECT_EQ(reader.Seek(layout.size_bytes + 1).code(), absl::StatusCode::kOutOfRange);
  }
}

TEST(LayoutReader, TellsWhereTheNextBytesComeFrom) {
  const std::vector<Tensor> tensors = SomeTensors();
  const FileLayout layout = MixedLayout();
  MemorySource source(&tensors);
  LayoutReader reader(&layout, &source);
  ASSERT_TRUE(reader.Seek(10).ok());
  EXPECT_EQ(reader.extent(), &layout.extents[2]);
  EXPECT_EQ(reader.extent_offset(), 3u);
}

TEST(WriteLayout, FillsCrcHolesWithWhatWasWritten) {
  const std::vector<Tensor> tensors = {MakeTensor("a", DType::kFloat32, {300'000}),
                                       MakeTensor("b", DType::kInt8, {0})};
  FileLayout layout;
  layout.literals = "h" + std::string(10, 'x');
  layout.extents = {{Extent::Kind::kLiteral, 0, 0, 1},
                    {Extent::Kind::kTensor, 0, 0, 1'200'000},
                    {Extent::Kind::kLiteral, 0, 1, 10}};
  layout.crc_holes = {{2, 0}, {7, 1}};
  layout.size_bytes = 1'200'011;
  MemorySource source(&tensors);
  std::string out;
  StringSink sink(&out);
  ASSERT_TRUE(WriteLayout(layout, &source, &sink).ok());
  EXPECT_EQ(out, "h" + tensors[0].bytes + "x" + LittleEndian(Crc32(tensors[0].bytes), 4) + "x" +
                     LittleEndian(0, 4));
}

TEST(WriteLayout, StopsWhenProgressSaysSo) {
  const std::vector<Tensor> tensors = {MakeTensor("a", DType::kInt8, {3 << 20})};
  const FileLayout layout = *LayOut(Format::kTensors, InputOf(tensors), Limits());
  MemorySource source(&tensors);
  std::string out;
  StringSink sink(&out);
  std::vector<uint64_t> seen;
  const absl::Status status = WriteLayout(layout, &source, &sink, [&](uint64_t done) {
    seen.push_back(done);
    return seen.size() < 2;
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_LT(seen[0], seen[1]);
}

TEST(Layout, IsTheSameEveryTimeAndItsDigestTellsDifferences) {
  const std::vector<Tensor> tensors = SomeTensors();
  std::vector<Digest> digests;
  for (const Tensor& tensor : tensors) digests.push_back(Sha256Of(tensor.bytes));
  std::vector<Digest> seen;
  for (const Format format : {Format::kTorchSharp, Format::kSafetensors, Format::kPyTorch,
                              Format::kPyTorchLegacy, Format::kTensors}) {
    const FileLayout a = *LayOut(format, InputOf(tensors), Limits());
    const FileLayout b = *LayOut(format, InputOf(tensors), Limits());
    EXPECT_EQ(a.literals, b.literals);
    EXPECT_EQ(a.LayoutDigest(digests), b.LayoutDigest(digests));
    seen.push_back(a.LayoutDigest(digests));
  }
  FileLayout layout = MixedLayout();
  seen.push_back(layout.LayoutDigest(digests));
  layout.literals[1] = 'x';
  seen.push_back(layout.LayoutDigest(digests));
  layout = MixedLayout();
  layout.extents[2].offset = 1;
  seen.push_back(layout.LayoutDigest(digests));
  layout = MixedLayout();
  layout.format = Format::kTensors;
  seen.push_back(layout.LayoutDigest(digests));
  digests[0] = Sha256Of("other");
  seen.push_back(MixedLayout().LayoutDigest(digests));
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST(Layout, SafetensorsDependsOnTheVersionAndNotOnItsOrder) {
  const std::vector<Tensor> tensors = SomeTensors();
  std::vector<Tensor> other(tensors.rbegin(), tensors.rend());
  EXPECT_EQ(*WriteAll(Format::kSafetensors, tensors), *WriteAll(Format::kSafetensors, other));
}

TEST(Layout, TensorsAloneAreTheirBytes) {
  const std::vector<Tensor> tensors = SomeTensors();
  EXPECT_EQ(*WriteAll(Format::kTensors, tensors),
            tensors[0].bytes + tensors[2].bytes + tensors[3].bytes);
  const FileLayout layout = *LayOut(Format::kTensors, InputOf(tensors), Limits());
  EXPECT_EQ(layout.extents.size(), 3u);
  EXPECT_EQ(layout.literals, "");
}

// rows F18, F19
TEST(Layout, DatHoldsBfloat16AndNamesAllThatItLacks) {
  const Tensor bf16 = MakeTensor("b", DType::kBfloat16, {1});
  EXPECT_EQ(*WriteAll(Format::kTorchSharp, {bf16}), Hex("01 01 62 0f 01 01") + bf16.bytes);
  EXPECT_TRUE(FailsWith(
      WriteAll(Format::kTorchSharp, {MakeTensor("u", DType::kUint16, {1}), bf16,
                                     MakeTensor("f", DType::kFloat8E5m2, {1})})
          .status(),
      Reason::kUnsupported,
      "2 tensors have a dtype that torchsharp lacks: \"u\" is uint16, \"f\" is float8_e5m2"));
}

// row F21
TEST(Layout, EveryFormatHoldsTheEmptyKey) {
  for (const Format format : {Format::kTorchSharp, Format::kSafetensors, Format::kPyTorch}) {
    const auto file = WriteAll(format, {MakeTensor("", DType::kFloat32, {2})});
    ASSERT_TRUE(file.ok()) << file.status();
    const auto back = ReadAll(*file, format);
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(back->size(), 1u);
    EXPECT_EQ((*back)[0].spec.key, "");
  }
}

TEST(Layout, ComesFromManifests) {
  Manifest manifest;
  manifest.metadata_json = "{}";
  manifest.ties = {{0, 1}};
  for (const char* key : {"a", "b"}) {
    ManifestEntry& entry = manifest.entries.emplace_back();
    entry.spec = MakeTensor(key, DType::kInt8, {3}).spec;
    entry.blocks = {{Sha256Of("xyz"), Crc32("xyz")}};
  }
  const LayoutInput input = LayoutInputOf(manifest);
  ASSERT_EQ(input.tensors.size(), 2u);
  EXPECT_EQ(input.tensors[1].entry, 1u);
  EXPECT_EQ(input.tensors[1].crc32, Crc32("xyz"));
  EXPECT_EQ(input.ties, manifest.ties);
  EXPECT_EQ(input.metadata_json, "{}");
}

TEST(Layout, RefusesFormatsThatAreNotWritten) {
  for (const Format format : AllFormats()) {
    const auto layout = LayOut(format, LayoutInput(), Limits());
    EXPECT_EQ(layout.ok(), CanWrite(format)) << FormatName(format);
    if (!layout.ok()) {
      EXPECT_TRUE(FailsWith(layout.status(), Reason::kUnsupported, FormatName(format)));
      EXPECT_FALSE(FormatHasDType(format, DType::kFloat32));
    }
  }
}

TEST(Layout, RefusesAPlainDictWhereThereIsNone) {
  LayoutInput input;
  input.plain_dict = true;
  for (const Format format : AllFormats()) {
    const auto layout = LayOut(format, input, Limits());
    EXPECT_EQ(layout.ok(), HasPlainDict(format)) << FormatName(format);
    if (!CanWrite(format) || layout.ok()) continue;
    EXPECT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(FailsWith(layout.status(), Reason::kMalformed,
                          absl::StrCat("a plain dict was asked for, which ", FormatName(format))));
  }
}

TEST(Layout, RefusesSizesThatOverflow) {
  LayoutInput input;
  for (uint32_t i = 0; i < 17; ++i) {
    TensorSpec spec;
    spec.key = absl::StrCat(i);
    spec.dtype = DType::kInt8;
    spec.shape = {uint64_t{1} << 60};
    input.tensors.push_back({spec, i, std::nullopt});
  }
  EXPECT_TRUE(
      FailsWith(LayOut(Format::kTensors, input, Limits()).status(), Reason::kLimit, "2^64-1"));
}

TEST(Layout, SeeksInAMillionExtents) {
  FileLayout layout;
  for (uint64_t i = 0; i < 1'000'000; ++i) {
    layout.extents.push_back({Extent::Kind::kZeros, 0, 0, 1 + i % 3});
    layout.size_bytes += 1 + i % 3;
  }
  LayoutReader reader(&layout, nullptr);
  for (uint64_t i = 0; i < 100'000; ++i) {
    ASSERT_TRUE(reader.Seek(i * 19).ok());
    ASSERT_EQ(reader.position(), i * 19);
  }
}

}  // namespace
}  // namespace ballast

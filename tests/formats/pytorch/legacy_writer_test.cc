// Files written for torch's loaders from before 1.6: byte for byte what torch makes, and back.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/file.h"
#include "storage/formats/pytorch_legacy.h"
#include "storage/formats/pytorch_legacy_writer.h"
#include "tests/formats/pytorch/legacy_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;

std::string GoldenFile() {
  const auto file = OpenFile(BALLAST_SOURCE_DIR "/tests/golden/legacy_state_dict.pth");
  if (!file.ok()) return "";
  std::string bytes((*file)->size_bytes(), '\0');
  return (*file)->ReadAt(0, absl::MakeSpan(&bytes[0], bytes.size())).ok() ? bytes : "";
}

// Keys are numbers in it, where torch has addresses.
TEST(PyTorchLegacyWriter, WritesWhatTorchWroteByteForByte) {
  const std::string golden = GoldenFile();
  StringSource source(golden);
  const auto dict = ReadPyTorchLegacy(source, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->ties.size(), 1u);
  EXPECT_NE(dict->metadata_json, "");
  const auto tensors = ReadAll(golden);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  const auto written = WriteAll(Format::kPyTorchLegacy, *tensors, LayoutInputOf(*dict));
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(absl::BytesToHexString(*written), absl::BytesToHexString(golden));
}

TEST(PyTorchLegacyWriter, WritesAnEmptyStateDict) {
  const auto file = WriteAll(Format::kPyTorchLegacy, {});
  ASSERT_TRUE(file.ok()) << file.status();
  const auto back = ReadAll(*file, Format::kPyTorchLegacy);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(back->empty());
}

TEST(PyTorchLegacyWriter, RoundTripsEveryDTypeThatStoragesHave) {
  std::vector<Tensor> tensors;
  for (const DTypeInfo& info : AllDTypes()) {
    if (!FormatHasDType(Format::kPyTorchLegacy, info.dtype)) continue;
    for (const Shape& shape :
         std::vector<Shape>{{}, {0}, {3}, {2, 3}, {2, 0, 3}, {1, 2, 3, 4, 5}}) {
      tensors.push_back(MakeTensor(absl::StrCat(info.name, ShapeText(shape)), info.dtype, shape));
    }
  }
  EXPECT_EQ(tensors.size(), 12u * 6);
  const auto file = WriteAll(Format::kPyTorchLegacy, tensors);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto back = ReadAll(*file);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ((*back)[i].spec, tensors[i].spec);
    EXPECT_EQ((*back)[i].bytes, tensors[i].bytes) << tensors[i].spec.key;
  }
}

TEST(PyTorchLegacyWriter, RefusesOtherDTypesByKey) {
  for (const DTypeInfo& info : AllDTypes()) {
    if (PyTorchLegacyHasDType(info.dtype)) continue;
    const std::vector<Tensor> tensors = {MakeTensor("fine", DType::kInt8, {4}),
                                         MakeTensor("some.key", info.dtype, {4})};
    const absl::Status status = LayOut(Format::kPyTorchLegacy, InputOf(tensors), Limits()).status();
    EXPECT_TRUE(FailsWith(status, Reason::kUnsupported,
                          absl::StrCat("1 tensor has a dtype that pytorch-legacy lacks: "
                                       "\"some.key\" is ",
                                       info.name)));
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  }
}

TEST(PyTorchLegacyWriter, KeepsTiesMetadataAndOrder) {
  const std::vector<Tensor> tensors = {MakeTensor("z", DType::kFloat32, {4}),
                                       MakeTensor("b", DType::kInt16, {4}, 9),
                                       MakeTensor("a", DType::kFloat32, {4})};
  LayoutInput input = InputOf(tensors);
  input.ties = {{0, 2}};
  input.metadata_json = R"({"":{"version":1}})";
  const auto file = WriteAll(Format::kPyTorchLegacy, tensors, input);
  ASSERT_TRUE(file.ok()) << file.status();
  StringSource source(*file);
  const auto dict = ReadPyTorchLegacy(source, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_THAT(dict->ties, ElementsAre(ElementsAre(0u, 2u)));
  EXPECT_EQ(dict->storages.size(), 2u);
  EXPECT_EQ(dict->metadata_json, input.metadata_json);
  EXPECT_EQ(dict->writer, "Ballast");
  EXPECT_THAT(dict->warnings, ElementsAre());
  EXPECT_EQ(dict->entries[0].spec.key, "z");
}

// Data lie in the order of the version: the source is read front to back.
TEST(PyTorchLegacyWriter, SortedKeysAreInTheOrderOfTheVersion) {
  for (const size_t count : {1, 10, 11, 1000, 1001, 2001}) {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < count; ++i) {
      tensors.push_back(MakeTensor(absl::StrCat("k", i), DType::kUint8, {1}));
    }
    const auto layout = LayOutPyTorchLegacy(InputOf(tensors), Limits());
    ASSERT_TRUE(layout.ok()) << layout.status();
    EXPECT_TRUE(layout->crc_holes.empty());
    uint32_t next = 0;
    for (const Extent& extent : layout->extents) {
      if (extent.kind != Extent::Kind::kTensor) continue;
      EXPECT_EQ(extent.entry, next++);
    }
    EXPECT_EQ(next, count);
    const auto file = WriteAll(Format::kPyTorchLegacy, tensors);
    const auto dict = ReadPyTorchLegacy(StringSource(*file), Limits());
    ASSERT_TRUE(dict.ok()) << dict.status();
    for (size_t i = 1; i < count; ++i) {
      EXPECT_LT(dict->storages[i - 1].name, dict->storages[i].name);
      EXPECT_LT(dict->storages[i - 1].offset_bytes, dict->storages[i].offset_bytes);
    }
  }
}

TEST(PyTorchLegacyWriter, HoldsStoragesBeyondFourGibibytes) {
  std::vector<Tensor> none;
  LayoutInput input;
  const uint64_t big = uint64_t{5} << 30;
  input.tensors = {{{"big", DType::kInt16, {big / 2}}, 0, {}},
                   {{"late", DType::kInt8, {8}}, 1, {}}};
  const auto layout = LayOut(Format::kPyTorchLegacy, input, Limits());
  ASSERT_TRUE(layout.ok()) << layout.status();
  // numel is zero in the file of zeros, but for literals: those are what is written.
  const ZerosFile file(&*layout);
  const auto dict = ReadPyTorchLegacy(file, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->entries[0].spec, input.tensors[0].spec);
  EXPECT_EQ(dict->entries[1].spec, input.tensors[1].spec);
  EXPECT_GT(dict->storages[1].offset_bytes, big);
}

}  // namespace
}  // namespace ballast

// Files written for torch.save's readers: bytes by bytes against what torch and
// CPython make, and back through our own reader.
#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/crc32.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/pytorch_pickle.h"
#include "storage/formats/pytorch_reader.h"
#include "storage/formats/pytorch_writer.h"
#include "tests/formats/formats_testing.h"
#include "tests/formats/pytorch/zip_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;

// torch.save of a state dict {w: float32 [2, 3], n: int64 []} with _metadata
// {'': {'version': 1}}, as CPython pickles it.
std::string GoldenPickle() {
  return Hex(
      "800263636f6c6c656374696f6e730a4f726465726564446963740a71002952710128580100000077710263746f72"
      "63682e5f7574696c730a5f72656275696c645f74656e736f725f76320a71032828580700000073746f7261676571"
      "0463746f7263680a466c6f617453746f726167650a71055801000000307106580300000063707571074b06747108"
      "514b004b024b038671094b034b0186710a8968002952710b74710c52710d58010000006e710e6803282868046374"
      "6f7263680a4c6f6e6753746f726167650a710f580100000031711068074b01747111514b00292989680029527112"
      "747113527114757d711558090000005f6d6574616461746171166800295271175800000000"
      "71187d7119580700000076657273696f6e711a4b01737373622e");
}

absl::StatusOr<std::string> PickleOf(const LayoutInput& input) {
  return PickleStateDict(input, NumberStorages(input), {});
}

std::vector<Tensor> GoldenTensors() {
  return {MakeTensor("w", DType::kFloat32, {2, 3}), MakeTensor("n", DType::kInt64, {})};
}

LayoutInput GoldenInput(const std::vector<Tensor>& tensors) {
  LayoutInput input = InputOf(tensors);
  input.metadata_json = R"({"":{"version":1}})";
  return input;
}

TEST(PyTorchWriter, PicklesAsTorchDoes) {
  const std::vector<Tensor> tensors = GoldenTensors();
  const auto pickle = PickleOf(GoldenInput(tensors));
  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_EQ(absl::BytesToHexString(*pickle), absl::BytesToHexString(GoldenPickle()));
}

// The record at `offset` of `file`, built by the rules of torch's writer.
std::string TorchRecord(uint64_t offset, const std::string& name, const std::string& data) {
  const uint64_t pad = (64 - (offset + 30 + name.size() + 4) % 64) % 64;
  std::string out = absl::StrCat("PK\3\4", Le(0, 2), Le(data.empty() ? 0x0800 : 0x0808, 2),
                                 Le(0, 2), Le(0, 4), Le(0, 12), Le(name.size(), 2), Le(4 + pad, 2),
                                 name, "FB", Le(pad, 2), std::string(pad, 'Z'), data);
  if (data.empty()) return out;
  return absl::StrCat(out, "PK\7\10", Le(Crc32(data), 4), Le(data.size(), 4), Le(data.size(), 4));
}

std::string TorchDirectoryEntry(uint64_t offset, const std::string& name, const std::string& data) {
  return absl::StrCat("PK\1\2", Le(0, 4), Le(data.empty() ? 0x0800 : 0x0808, 2), Le(0, 2), Le(0, 4),
                      Le(Crc32(data), 4), Le(data.size(), 4), Le(data.size(), 4),
                      Le(name.size(), 2), Le(0, 12), Le(offset, 4), name);
}

std::string TorchArchive(const std::vector<std::pair<std::string, std::string>>& records) {
  std::string out, directory;
  for (const auto& [name, data] : records) {
    directory += TorchDirectoryEntry(out.size(), "archive/" + name, data);
    out += TorchRecord(out.size(), "archive/" + name, data);
  }
  const uint64_t offset = out.size();
  out += directory;
  const uint64_t end = out.size();
  absl::StrAppend(&out, "PK\6\6", Le(44, 8), Le(0x031E, 2), Le(45, 2), Le(0, 8),
                  Le(records.size(), 8), Le(records.size(), 8), Le(directory.size(), 8),
                  Le(offset, 8), "PK\6\7", Le(0, 4), Le(end, 8), Le(1, 4));
  absl::StrAppend(&out, "PK\5\6", Le(0, 4), Le(records.size(), 2), Le(records.size(), 2),
                  Le(directory.size(), 4), Le(offset, 4), Le(0, 2));
  return out;
}

TEST(PyTorchWriter, LaysTheArchiveOutAsTorchDoes) {
  std::vector<Tensor> tensors = GoldenTensors();
  const std::string want = TorchArchive({{"data.pkl", GoldenPickle()},
                                         {"byteorder", "little"},
                                         {"data/0", tensors[0].bytes},
                                         {"data/1", tensors[1].bytes},
                                         {"version", "3\n"}});
  LayoutInput input = GoldenInput(tensors);
  const auto without_crcs = WriteAll(Format::kPyTorch, tensors, input);
  ASSERT_TRUE(without_crcs.ok()) << without_crcs.status();
  EXPECT_EQ(*without_crcs, want);
  for (size_t i = 0; i < tensors.size(); ++i) input.tensors[i].crc32 = Crc32(tensors[i].bytes);
  const auto layout = LayOutPyTorch(input, Limits());
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_TRUE(layout->crc_holes.empty());
  EXPECT_EQ(layout->size_bytes, want.size());
  const auto with_crcs = WriteAll(Format::kPyTorch, tensors, input);
  ASSERT_TRUE(with_crcs.ok()) << with_crcs.status();
  EXPECT_EQ(*with_crcs, want);
}

TEST(PyTorchWriter, HolesLieBehindTheirData) {
  const std::vector<Tensor> tensors = GoldenTensors();
  const auto layout = LayOutPyTorch(InputOf(tensors), Limits());
  ASSERT_TRUE(layout.ok()) << layout.status();
  ASSERT_EQ(layout->crc_holes.size(), 4u);  // descriptors, then the directory
  EXPECT_TRUE(std::is_sorted(
      layout->crc_holes.begin(), layout->crc_holes.end(),
      [](const CrcHole& a, const CrcHole& b) { return a.literal_offset < b.literal_offset; }));
  for (const CrcHole& hole : layout->crc_holes) {
    bool written = false;
    for (const Extent& extent : layout->extents) {
      if (extent.kind == Extent::Kind::kTensor && extent.entry == hole.entry) written = true;
      const bool here = extent.kind == Extent::Kind::kLiteral &&
                        hole.literal_offset >= extent.offset &&
                        hole.literal_offset < extent.offset + extent.size_bytes;
      if (here) {
        EXPECT_TRUE(written);
      }
    }
  }
}

TEST(PyTorchWriter, RoundTripsEveryDType) {
  std::vector<Tensor> tensors;
  for (const DTypeInfo& info : AllDTypes()) {
    if (!PyTorchHasDType(info.dtype)) continue;
    for (const Shape& shape :
         std::vector<Shape>{{}, {0}, {3}, {2, 3}, {2, 0, 3}, {1, 2, 3, 4, 5}}) {
      tensors.push_back(MakeTensor(absl::StrCat(info.name, ShapeText(shape)), info.dtype, shape));
    }
  }
  const auto file = WriteAll(Format::kPyTorch, tensors);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto back = ReadAll(*file);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ((*back)[i].spec, tensors[i].spec);
    EXPECT_EQ((*back)[i].bytes, tensors[i].bytes) << tensors[i].spec.key;
  }
}

TEST(PyTorchWriter, RefusesDTypesThatTorchLacks) {
  for (const DType dtype : {DType::kFloat6E2m3, DType::kFloat6E3m2, DType::kQint8}) {
    const std::vector<Tensor> tensors = {MakeTensor("some.key", dtype, {4})};
    EXPECT_TRUE(FailsWith(LayOutPyTorch(InputOf(tensors), Limits()).status(), Reason::kUnsupported,
                          "\"some.key\""))
        << DTypeName(dtype);
  }
}

TEST(PyTorchWriter, KeepsTiesAndMetadata) {
  const std::vector<Tensor> tensors = {MakeTensor("a", DType::kFloat32, {4}),
                                       MakeTensor("b", DType::kFloat32, {4}, 9),
                                       MakeTensor("c", DType::kFloat32, {4})};
  LayoutInput input = InputOf(tensors);
  input.ties = {{0, 2}};
  input.metadata_json =
      R"({"":{"version":1},"x":{"version":2,"odd":[1.5,true,null,"s",-7,5000000000]}})";
  const auto file = WriteAll(Format::kPyTorch, tensors, input);
  ASSERT_TRUE(file.ok()) << file.status();
  StringSource source(*file);
  const auto dict = ReadPyTorch(source, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_THAT(dict->ties, ElementsAre(ElementsAre(0u, 2u)));
  EXPECT_EQ(dict->storages.size(), 2u);
  EXPECT_EQ(dict->metadata_json, input.metadata_json);
  EXPECT_EQ(dict->writer, "Ballast");
  EXPECT_THAT(dict->warnings, ElementsAre());
}

TEST(PyTorchWriter, RefusesMetadataThatIsNoJson) {
  for (const std::string& bad :
       std::vector<std::string>{"[]", "{", "{\"a\":18446744073709551615}",
                                "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"}) {
    LayoutInput input;
    input.metadata_json = bad;
    EXPECT_TRUE(FailsWith(LayOutPyTorch(input, Limits()).status(), Reason::kMalformed, "_metadata"))
        << bad;
  }
}

TEST(PyTorchWriter, GroupsItemsByThousands) {
  for (const size_t count : {0, 1, 2, 999, 1000, 1001, 2000, 2001, 2002}) {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < count; ++i) {
      tensors.push_back(MakeTensor(absl::StrCat("k", i), DType::kUint8, {1}));
    }
    const auto pickle = PickleOf(InputOf(tensors));
    ASSERT_TRUE(pickle.ok()) << pickle.status();
    const auto result = RunPickle(*pickle, Limits());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->graph.items(result->graph.root()).size(), 2 * count);
    EXPECT_EQ((*pickle)[pickle->size() - 2], count == 0 ? '\1' : count % 1000 == 1 ? 's' : 'u');
  }
}

TEST(PyTorchWriter, APlainDictIsPickledAsTorchDoes) {
  // torch.save({"w": …}) and of 1000 items, whose batch is followed by an empty one.
  const std::vector<Tensor> one = {MakeTensor("w", DType::kUint8, {1})};
  LayoutInput input = InputOf(one);
  input.plain_dict = true;
  const auto pickle = PickleOf(input);
  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_EQ(absl::BytesToHexString(*pickle),
            absl::BytesToHexString(Hex(
                "80027d7100580100000077710163746f7263682e5f7574696c730a5f72656275696c645f74656e736f"
                "725f76320a71022828580700000073746f72616765710363746f7263680a4279746553746f72616765"
                "0a71045801000000307105580300000063707571064b0174710751"
                "4b004b018571084b018571098963636f6c6c656374696f6e730a4f726465726564446963740a710a29"
                "52710b74710c52710d732e")));
  for (const size_t count : {0, 1, 2, 999, 1000, 1001, 2000}) {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < count; ++i) {
      tensors.push_back(MakeTensor(absl::StrCat("k", i), DType::kUint8, {1}));
    }
    input = InputOf(tensors);
    input.plain_dict = true;
    const auto many = PickleOf(input);
    ASSERT_TRUE(many.ok()) << many.status();
    const auto result = RunPickle(*many, Limits());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->graph.TypeName(result->graph.root()), "dict");
    EXPECT_EQ(result->graph.items(result->graph.root()).size(), 2 * count);
    EXPECT_EQ(many->substr(many->size() - 3) == "(u.", count == 1000 || count == 2000) << count;
  }
}

TEST(PyTorchWriter, APlainDictSaysWhatIsLost) {
  std::vector<Tensor> tensors = {MakeTensor("a", DType::kFloat32, {2}),
                                 MakeTensor("b", DType::kUint16, {2}),
                                 MakeTensor("c", DType::kFloat8E5m2, {2})};
  for (const Format format : {Format::kPyTorch, Format::kPyTorchLegacy}) {
    LayoutInput input = InputOf({tensors[0]});
    input.plain_dict = true;
    EXPECT_THAT(LayOut(format, input, Limits())->warnings, ElementsAre());
    input.metadata_json = "{}";
    EXPECT_THAT(LayOut(format, input, Limits())->warnings, ElementsAre());
    input.metadata_json = R"({"":{"version":1}})";
    EXPECT_THAT(
        LayOut(format, input, Limits())->warnings,
        ElementsAre("_metadata (the modules' versions) is left out: a plain dict has none"));
    input.plain_dict = false;
    EXPECT_THAT(LayOut(format, input, Limits())->warnings, ElementsAre());
  }
  LayoutInput input = InputOf(tensors);
  EXPECT_THAT(LayOut(Format::kPyTorch, input, Limits())->warnings, ElementsAre());
  input.plain_dict = true;
  EXPECT_THAT(LayOut(Format::kPyTorch, input, Limits())->warnings,
              ElementsAre("2 tensors have a dtype that torch.load reads and LibTorch's pickle_load "
                          "does not: \"b\" is uint16"));
}

TEST(PyTorchWriter, APlainDictIsAnotherLayout) {
  const std::vector<Tensor> tensors = GoldenTensors();
  const std::vector<Digest> digests(tensors.size());
  LayoutInput input = InputOf(tensors);
  for (const Format format : {Format::kPyTorch, Format::kPyTorchLegacy}) {
    input.plain_dict = false;
    const Digest usual = LayOut(format, input, Limits())->LayoutDigest(digests);
    input.plain_dict = true;
    EXPECT_NE(LayOut(format, input, Limits())->LayoutDigest(digests), usual);
    const auto file = WriteAll(format, tensors, input);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto back = ReadAll(*file);
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(back->size(), tensors.size());
    EXPECT_EQ((*back)[1].spec, tensors[1].spec);
    EXPECT_EQ((*back)[1].bytes, tensors[1].bytes);
  }
}

// Sizes from 4 GiB on, without touching any bytes.
LayoutInput BigInput(uint64_t big_bytes) {
  LayoutInput input;
  for (const auto& [key, size] :
       std::vector<std::pair<std::string, uint64_t>>{{"big", big_bytes}, {"late", 8}}) {
    LayoutTensor tensor;
    tensor.spec = {key, DType::kUint8, {size}};
    tensor.entry = static_cast<uint32_t>(input.tensors.size());
    tensor.crc32 = 7;
    input.tensors.push_back(tensor);
  }
  return input;
}

TEST(PyTorchWriter, ReadsItsZip64FilesBack) {
  const LayoutInput input = BigInput(uint64_t{5} << 30);
  const auto layout = LayOutPyTorch(input, Limits());
  ASSERT_TRUE(layout.ok()) << layout.status();
  const ZerosFile file(&*layout);
  const auto dict = ReadPyTorch(file, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  ASSERT_EQ(dict->entries.size(), 2u);
  EXPECT_EQ(dict->entries[0].spec, input.tensors[0].spec);
  EXPECT_EQ(dict->entries[1].spec, input.tensors[1].spec);
  EXPECT_GT(dict->storages[1].offset_bytes, uint64_t{5} << 30);
}

TEST(PyTorchWriter, WritesZip64WhereTorchDoes) {
  constexpr uint64_t kBig = uint64_t{5} << 30;
  const auto layout = LayOutPyTorch(BigInput(kBig), Limits());
  ASSERT_TRUE(layout.ok()) << layout.status();
  const std::string& text = layout->literals;
  // The big record's local header has its size, and zero for the stored size.
  EXPECT_NE(text.find(absl::StrCat(Le(1, 2), Le(16, 2), Le(kBig, 8), Le(0, 8), "FB")),
            std::string::npos);
  // Its directory entry has both; descriptors are 24 bytes; numel is LONG1 of 8 bytes.
  EXPECT_NE(text.find(absl::StrCat(Le(1, 2), Le(16, 2), Le(kBig, 8), Le(kBig, 8))),
            std::string::npos);
  EXPECT_NE(text.find(absl::StrCat("PK\7\10", Le(7, 4), Le(kBig, 8), Le(kBig, 8))),
            std::string::npos);
  EXPECT_NE(text.find(absl::StrCat("\x8a\x08", Le(kBig, 8))), std::string::npos);
  // The small record behind 4 GiB has its offset in both places and a wide descriptor.
  EXPECT_NE(text.find(absl::StrCat("PK\7\10", Le(7, 4), Le(8, 8), Le(8, 8))), std::string::npos);
  EXPECT_NE(text.find(absl::StrCat("archive/data/1", Le(1, 2), Le(8, 2))), std::string::npos);
  uint64_t offset = 0;
  for (const Extent& extent : layout->extents) {
    if (extent.kind == Extent::Kind::kTensor) {
      EXPECT_EQ(offset % 64, 0u);
    }
    offset += extent.size_bytes;
  }
  EXPECT_EQ(offset, layout->size_bytes);
}

}  // namespace
}  // namespace ballast

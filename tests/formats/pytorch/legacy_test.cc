// The stream of torch.save before 1.6: what comes out, and what is refused.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/file.h"
#include "storage/formats/pytorch_legacy.h"
#include "tests/formats/pytorch/legacy_testing.h"

namespace ballast {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<SourceStateDict> Read(const std::string& file, const Limits& limits = Limits()) {
  StringSource source(file);
  return ReadPyTorchLegacy(source, limits);
}

absl::StatusOr<SourceStateDict> Read(const LegacyParts& parts) { return Read(parts.File()); }

std::vector<std::string> Lines(const absl::StatusOr<std::vector<Tensor>>& tensors) {
  if (!tensors.ok()) return {std::string(tensors.status().message())};
  std::vector<std::string> out;
  for (const Tensor& tensor : *tensors) {
    out.push_back(absl::StrCat(tensor.spec.key, " ", DTypeName(tensor.spec.dtype), " ",
                               ShapeText(tensor.spec.shape), " ",
                               absl::BytesToHexString(tensor.bytes)));
  }
  return out;
}

TEST(PyTorchLegacy, ReadsWhatTorchWrote) {
  auto file = OpenFile(BALLAST_SOURCE_DIR "/tests/golden/legacy.pth");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(
      Lines(ReadAll(**file)),
      ElementsAre("model.weight float32 [1, 2] 0000003f000000c0", "model.bias float32 [1] 00008040",
                  "weights.view float32 [4] 0000004000004040000080400000a040",
                  "weights.transposed float32 [4, 3] "
                  "000000000000804000000041"
                  "0000803f0000a04000001041"
                  "000000400000c04000002041"
                  "000040400000e04000003041",
                  "weights.shared.a int64 [2] 01000000000000000200000000000000",
                  "weights.shared.b int64 [2] 01000000000000000200000000000000",
                  "weights.half bfloat16 [1] c03f", "weights.scalar bool [] 01",
                  "weights.empty float32 [0, 3] "));
  const auto dict = ReadStateDict(**file, Format::kUnknown, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->format, Format::kPyTorchLegacy);
  EXPECT_EQ(dict->entries[0].spec.kind, Kind::kParameter);
  EXPECT_EQ(dict->entries[2].storage, dict->entries[3].storage);
  EXPECT_THAT(dict->ties, ElementsAre(ElementsAre(4, 5)));
}

TEST(PyTorchLegacy, ReadsAHandmadeStream) {
  const auto dict = Read(LegacyParts());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->format, Format::kPyTorchLegacy);
  EXPECT_EQ(dict->writer, "torch 0.4-1.5");
  EXPECT_THAT(dict->warnings, ElementsAre());
  EXPECT_THAT(Lines(ReadAll(LegacyParts().File())),
              ElementsAre("w float32 [4] " + absl::BytesToHexString(std::string(16, 'x'))));
}

TEST(PyTorchLegacy, TakesStoragesInTheOrderOfTheKeys) {
  LegacyParts parts;
  parts.object = DictOf({Str("b"), LegacyFloats(LegacyPid("20", 4)), Str("a"), LegacyFloats()});
  parts.keys = ListOf({Str("10"), Str("20")});
  parts.data = LegacyData("aaaaaaaaaaaaaaaa") + LegacyData("bbbbbbbbbbbbbbbb");
  const auto tensors = ReadAll(parts.File());
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ((*tensors)[0].bytes, "bbbbbbbbbbbbbbbb");
  EXPECT_EQ((*tensors)[1].bytes, "aaaaaaaaaaaaaaaa");
}

TEST(PyTorchLegacy, ReadsProtocolFourAndPythonTwo) {
  LegacyParts four;
  four.magic = Hex("8004 950d00000000000000 8a0a6cfc9c46f9206aa850192e");
  EXPECT_TRUE(Read(four).ok()) << Read(four).status();
  LegacyParts two;  // str is a byte string, keys are longs
  const std::string pid = TupleOf({"U\7storage", Glob("torch.cuda", "FloatStorage"), Hex("8a010a"),
                                   "U\6cuda:0", Num(4), "N"}) +
                          "Q";
  const std::string v1 = CallOf(Glob("torch._utils", "_rebuild_tensor"),
                                {pid, Num(0), NumsOf({2, 2}), NumsOf({2, 1})});
  two.object = CallOf(Glob("collections", "OrderedDict"), {ListOf({ListOf({"U\1w", v1})})});
  two.keys = ListOf({Hex("8a010a")});
  const auto dict = Read(two);
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->entries[0].spec, (TensorSpec{"w", DType::kFloat32, {2, 2}}));
  EXPECT_EQ(dict->writer, "torch 0.2-0.3");
}

TEST(PyTorchLegacy, ReadsWindowsOfStorages) {
  LegacyParts parts;
  parts.object = DictOf(
      {Str("w"),
       V2{.storage = LegacyPid("10", 4, LegacyView("11", 1, 2)), .size = NumsOf({2})}.Call()});
  parts.data = LegacyData("aaaabbbbccccdddd");
  const auto tensors = ReadAll(parts.File());
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ((*tensors)[0].bytes, "bbbbcccc");
}

// Tensors and parameters as torch 0.1–0.3 made them.
TEST(PyTorchLegacy, ReadsOldTensorClasses) {
  const std::string state = TupleOf({LegacyPid("10", 4), Num(0), NumsOf({4}), NumsOf({1})});
  const std::string reduced = Glob("torch.cuda", "FloatTensor") + ")R" + state + "b";
  const std::string made = Glob("torch", "FloatTensor") + ")\x81" + state + "b";
  const std::string parameter = CallOf(Glob("torch.nn.parameter", "Parameter"), {reduced}) +
                                TupleOf({"\x88", "\x89", OrderedDict()}) + "b";
  const std::string oldest = Glob("torch.nn.parameter", "Parameter") + ")\x81" +
                             TupleOf({made, "N", OrderedDict(), "\x88", "\x89"}) + "b";
  const std::string variable = CallOf(Glob("torch.autograd.variable", "Variable"), {made}) +
                               TupleOf({"\x89", "\x89", OrderedDict()}) + "b";
  for (const std::string& tensor : {reduced, made, parameter, oldest, variable}) {
    LegacyParts parts;
    parts.object = DictOf({Str("w"), tensor});
    const auto dict = Read(parts);
    ASSERT_TRUE(dict.ok()) << dict.status();
    const bool is_parameter = tensor == parameter || tensor == oldest;
    EXPECT_EQ(dict->entries[0].spec.kind, is_parameter ? Kind::kParameter : Kind::kUnknown);
    EXPECT_EQ(dict->entries[0].spec.shape, Shape({4}));
  }
}

TEST(PyTorchLegacy, TakesTheClassOfAModuleFromItsId) {
  const std::string id = TupleOf({Str("module"), Glob("my.code", "Net"), Str("net.py"),
                                  Str("import os; os.system('id')")}) +
                         "Q";
  const std::string state = DictOf({Str("_parameters"), DictOf({Str("p"), LegacyFloats()}),
                                    Str("_buffers"), DictOf({}), Str("_modules"), DictOf({})});
  const std::string reconstructed =
      CallOf(Glob("copy_reg", "_reconstructor"), {id, Glob("__builtin__", "object"), "N"});
  for (const std::string& made : {id + ")\x81", reconstructed}) {
    LegacyParts parts;
    parts.object = made + state + "b";
    const auto dict = Read(parts);
    ASSERT_TRUE(dict.ok()) << dict.status();
    EXPECT_EQ(dict->entries[0].spec, (TensorSpec{"p", DType::kFloat32, {4}, Kind::kParameter}));
  }
  LegacyParts calling;
  calling.object = DictOf({Str("w"), LegacyFloats(), Str("x"), id + ")R"});
  EXPECT_TRUE(FailsWith(Read(calling).status(), Reason::kUnsafe, "calls my.code.Net"));
  LegacyParts hostile;
  hostile.object = TupleOf({Str("module"), Glob("os", "system"), "N", "N"}) + "Q";
  EXPECT_TRUE(FailsWith(Read(hostile).status(), Reason::kUnsafe, "os.system"));
}

TEST(PyTorchLegacy, SaysWhatItLeavesOut) {
  LegacyParts parts;
  parts.system = Pickled(DictOf({Str("little_endian"), "\x89"}));
  parts.object = DictOf({Str("w"), LegacyFloats(), Str("s"), LegacyPid("20", 1)});
  parts.keys = ListOf({Str("10"), Str("20")});
  parts.data += LegacyData("____");
  const auto dict = Read(parts);
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_THAT(dict->warnings, Contains(HasSubstr("big-endian")));
  EXPECT_THAT(dict->warnings, Contains(HasSubstr("1 storages belong to no entry")));
  parts.system = Pickled("N");
  EXPECT_TRUE(Read(parts).ok());
}

TEST(PyTorchLegacy, RefusesWhatTorchWouldNotWrite) {
  const auto with = [](auto change) {
    LegacyParts parts;
    change(&parts);
    return parts.File();
  };
  const auto object = [&](const std::string& tensor) {
    return with([&](LegacyParts* p) { p->object = DictOf({Str("w"), tensor}); });
  };
  const auto keys = [&](const std::vector<std::string>& keys) {
    return with([&](LegacyParts* p) { p->keys = ListOf(keys); });
  };
  const auto data = [&](const std::string& numel) {
    return with([&](LegacyParts* p) { p->data = numel + std::string(16, 'x'); });
  };
  const std::string window = LegacyPid("10", 4, LegacyView("11", 0, 2));
  const std::string two_windows = TupleOf({window, LegacyPid("10", 4, LegacyView("11", 2, 2))});
  const struct {
    std::string file;
    Reason reason;
    std::string part;
  } table[] = {
      {with([](LegacyParts* p) { p->magic = Pickled(Num(1)); }), Reason::kUnsupported, "magic"},
      {with([](LegacyParts* p) { p->magic = Hex("8002 8b0a0000006cfc9c46f9206aa850192e"); }),
       Reason::kUnsupported, "magic"},
      {with([](LegacyParts* p) { p->version = Pickled(Num(1000)); }), Reason::kUnsupported,
       "version is 1000, want 1001"},
      {with([](LegacyParts* p) { p->version = Pickled(Str("1001")); }), Reason::kUnsupported,
       "type str"},
      {with([](LegacyParts* p) { p->system = Pickled(Glob("os", "system")); }), Reason::kUnsafe,
       "os.system"},
      {with([](LegacyParts* p) { p->system = Pickled(Str(std::string(70000, 'x'))); }),
       Reason::kLimit, "pickle of the system at byte 21"},
      {with([](LegacyParts* p) { p->keys = Str("10"); }), Reason::kMalformed, "type str"},
      {keys({Num(10), "N"}), Reason::kMalformed, "type NoneType"},
      {keys({Str("10"), Str("11")}), Reason::kMalformed, "\"11\", which the object does not name"},
      {keys({Str("10"), Str("10")}), Reason::kMalformed, "list 10 twice"},
      {keys({Str("10"), Num(10)}), Reason::kMalformed, "list 10 twice"},
      {keys({}), Reason::kMalformed, "do not list 10"},
      {data(Le(3, 8)), Reason::kMalformed, "numel of storage 10 at byte"},
      {data(Le(5, 8)), Reason::kMalformed, "is 5, want 4"},
      {data(Le(~uint64_t{0}, 8)), Reason::kMalformed, "is -1, want 4"},
      {data(Le(uint64_t{1} << 62, 8)), Reason::kMalformed, "want 4"},
      {object(LegacyFloats(LegacyPid("10", -4))), Reason::kMalformed, "numel of storage 10"},
      {object(LegacyFloats(LegacyPid("10", int64_t{1} << 62))), Reason::kMalformed, "numel"},
      {object(LegacyFloats(LegacyPid("10", int64_t{1} << 40))), Reason::kMalformed, "numel"},
      {object(V2().Call()), Reason::kMalformed, "5 items, want 6"},
      {object(LegacyFloats(LegacyPid("../x", 4))), Reason::kUnsafe, "../x"},
      {object(LegacyFloats(LegacyPid("10", 4, "N", "NoStorage"))), Reason::kUnsupported,
       "torch.NoStorage"},
      {object(LegacyFloats(window)), Reason::kMalformed, "ends behind its storage"},
      {object(LegacyPid("10", 4, LegacyView("11", 3, 2))), Reason::kMalformed, "view"},
      {object(LegacyPid("10", 4, LegacyView("10", 0, 4))), Reason::kMalformed, "and a view's"},
      {object(LegacyPid("10", 4, Num(1))), Reason::kMalformed, "tuple of three"},
      {object(two_windows), Reason::kMalformed, "view 11 is two different windows"},
      {object(TupleOf({LegacyPid("10", 4), LegacyPid("10", 4, "N", "IntStorage")})),
       Reason::kMalformed, "named twice"},
      {object(TupleOf({LegacyPid("10", 4), LegacyPid("10", 5)})), Reason::kMalformed,
       "named twice"},
      {object(Str("thing") + "Q"), Reason::kMalformed, "persistent id"},
      {with([](LegacyParts* p) { p->after = "x"; }), Reason::kMalformed, "1 bytes follow"},
      {with([](LegacyParts* p) { p->after = LegacyParts().File(); }), Reason::kMalformed,
       "a second torch.save was appended"},
  };
  for (const auto& row : table) {
    EXPECT_TRUE(FailsWith(Read(row.file).status(), row.reason, row.part));
  }
}

TEST(PyTorchLegacy, BoundsViews) {
  Limits limits;
  limits.materialized_bytes_max = 1000;
  LegacyParts parts;
  parts.object =
      V2{.storage = LegacyPid("10", 4), .size = NumsOf({1000, 4}), .stride = NumsOf({0, 1})}.Call();
  EXPECT_TRUE(
      FailsWith(Read(parts.File(), limits).status(), Reason::kLimit, "materialized_bytes_max"));
}

TEST(PyTorchLegacy, RefusesEveryTruncation) {
  const std::string file = LegacyParts().File();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_TRUE(FailsWith(Read(file.substr(0, size)).status(), Reason::kTruncated, "legacy stream"))
        << size;
  }
}

// There is no checksum in it: a flipped bit may give other tensors, but never more
// than the file holds.
TEST(PyTorchLegacy, SurvivesEveryFlippedBit) {
  const std::string file = LegacyParts().File();
  size_t read = 0;
  for (size_t i = 0; i < file.size() * 8; ++i) {
    std::string bad = file;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << i % 8));
    Limits limits;
    limits.tensor_bytes_max = 1 << 20;
    const auto tensors = ReadAll(bad, Format::kPyTorchLegacy, limits);
    if (tensors.ok())
      ++read;
    else
      EXPECT_NE(GetReason(tensors.status()), Reason::kNone) << tensors.status();
  }
  EXPECT_GE(read, 16u * 8) << "bits of the data";
}

TEST(PyTorchLegacy, ExplainsWhatIsNotOne) {
  const auto status = [](const std::string& file, Format format) {
    StringSource source(file);
    return ReadStateDict(source, format, Limits()).status();
  };
  EXPECT_TRUE(FailsWith(status(TorchZip(Pickled("}")), Format::kPyTorchLegacy),
                        Reason::kWrongFormat, "zip archive"));
  EXPECT_TRUE(FailsWith(status(LegacyParts().File(), Format::kPyTorch), Reason::kWrongFormat,
                        "before 1.6"));
  EXPECT_TRUE(FailsWith(status(LegacyParts().magic, Format::kUnknown), Reason::kTruncated,
                        "legacy stream"));
}

}  // namespace
}  // namespace ballast

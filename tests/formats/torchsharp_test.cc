// TorchSharp's native files. Rows are named as in the catalogue of hard inputs.
#include "storage/formats/forward_input.h"
#include "storage/formats/torchsharp_optimizer.h"
#include "storage/formats/torchsharp_parser.h"
#include "storage/formats/torchsharp_reader.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

// { "w": f32[2] = {1, -2}, "n": int64 scalar 5 }, from the format's description.
const char kGolden[] = "02 0177 060102 0000803f000000c0 016e 0400 0500000000000000";
// One entry "a" with what follows its key.
std::string One(absl::string_view tensor) { return Hex(absl::StrCat("01 0161", tensor)); }
const char kScalar[] = "0600 00000000";  // f32 []

TEST(TorchSharp, ReadsAndWritesTheGoldenBytes) {
  const auto tensors = ReadAll(Hex(kGolden));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ((*tensors)[0].spec.key, "w");
  EXPECT_EQ((*tensors)[0].spec.shape, Shape({2}));
  EXPECT_EQ((*tensors)[0].bytes, Hex("0000803f000000c0"));
  EXPECT_EQ((*tensors)[1].spec.dtype, DType::kInt64);
  EXPECT_EQ(*WriteAll(Format::kTorchSharp, *tensors), Hex(kGolden));
  EXPECT_EQ(*WriteAll(Format::kTorchSharp, {}), Hex("00"));
}

struct Good {
  const char* row;
  std::string file;
  std::vector<std::string> entries;  // "key dtype shape"
};

std::vector<std::string> Lines(const std::vector<Tensor>& tensors) {
  std::vector<std::string> out;
  for (const Tensor& t : tensors) {
    out.push_back(
        absl::StrCat(t.spec.key, " ", DTypeName(t.spec.dtype), " ", ShapeText(t.spec.shape)));
  }
  return out;
}

TEST(TorchSharp, AcceptsUnusualFiles) {
  const Good cases[] = {
      {"A2", Hex("00"), {}},
      {"A10", Hex("8100 0161") + Hex(kScalar), {"a float32 []"}},
      {"A11", Hex("80808080808080808000"), {}},
      {"A19", Hex("01 00") + Hex(kScalar), {" float32 []"}},
      {"A25", Hex("01 07") + "größe" + Hex(kScalar), {"größe float32 []"}},
      {"A26",
       Hex("01 0c") + "../a:b \xF0\x9F\x98\x80" + "/" + Hex(kScalar),
       {"../a:b \xF0\x9F\x98\x80/ float32 []"}},
      {"A30",
       Hex("02 0161") + Hex(kScalar) + Hex("0141") + Hex(kScalar),
       {"a float32 []", "A float32 []"}},
      {"A36", One("8600 00 00000000"), {"a float32 []"}},
      {"A37", One("0600 00000000"), {"a float32 []"}},
      {"A40", One("0601 00"), {"a float32 [0]"}},
      {"A41", One("0603 030007"), {"a float32 [3, 0, 7]"}},
      {"A51", One("0602 0103 0100a07f 00000080 01000000"), {"a float32 [1, 3]"}},
      {"overlong dims", One("0681 00 8100 00000000"), {"a float32 [1]"}},
  };
  for (const Good& c : cases) {
    const auto tensors = ReadAll(c.file, Format::kTorchSharp);
    ASSERT_TRUE(tensors.ok()) << c.row << ": " << tensors.status();
    EXPECT_EQ(Lines(*tensors), c.entries) << c.row;
    const auto forward = ReadAllForward(c.file, Format::kTorchSharp);
    ASSERT_TRUE(forward.ok()) << c.row << ": " << forward.status();
    EXPECT_EQ(Lines(*forward), c.entries) << c.row;
    for (size_t i = 0; i < tensors->size(); ++i) {
      EXPECT_EQ((*tensors)[i].bytes, (*forward)[i].bytes) << c.row;
    }
  }
}

TEST(TorchSharp, KeepsEveryBit) {  // row A51
  const auto tensors = ReadAll(One("0601 03 0100a07f 00000080 01000000"));
  EXPECT_EQ((*tensors)[0].bytes, Hex("0100a07f 00000080 01000000"));
}

struct Bad {
  const char* row;
  std::string file;
  Reason reason;
  const char* part;
};

std::vector<Bad> BadFiles() {
  const std::string golden = Hex(kGolden);
  const std::string scalar = Hex(kScalar);
  return {
      {"A1", "", Reason::kTruncated, "input ends inside entry count"},
      {"A3", Hex("0000"), Reason::kMalformed, "byte 1: input goes on after the last of 0 entries"},
      {"A4", golden + "x", Reason::kMalformed, "byte 26: input goes on after the last of 2"},
      {"A5", golden + golden, Reason::kMalformed, "byte 26: input goes on"},
      {"A6", Hex("02 0161") + scalar, Reason::kTruncated, "entry 1 of 2"},
      {"A7", Hex("01 0161") + scalar + Hex("0162") + scalar, Reason::kMalformed, "goes on"},
      {"A8", Hex("ffffffffffffffff7f"), Reason::kLimit, "entries_max"},
      {"A9", Hex("80"), Reason::kTruncated, "entry count"},
      {"A12", Hex("8080808080808080808000"), Reason::kMalformed, "longer than ten bytes"},
      {"A13", Hex("ffffffffffffffffff01"), Reason::kMalformed, "above 2^63-1"},
      {"A14", Hex("01 8080808008"), Reason::kMalformed, "no 7-bit encoded int"},
      {"A15", Hex("01 808080808001"), Reason::kMalformed, "no 7-bit encoded int"},
      {"A16", Hex("01 808080801f"), Reason::kMalformed, "no 7-bit encoded int"},
      {"A17", Hex("01 64") + std::string(10, 'a'), Reason::kTruncated, "inside key"},
      {"A18", Hex("01 ffffffff07"), Reason::kLimit, "key_bytes_max"},
      {"A20", Hex("01 02fffe") + scalar, Reason::kMalformed, "not valid UTF-8"},
      {"A21", Hex("02 01ff") + scalar + Hex("01fe") + scalar, Reason::kMalformed, "UTF-8"},
      {"A22", Hex("01 02e282") + scalar, Reason::kMalformed, "UTF-8"},
      {"A23a", Hex("01 02c080") + scalar, Reason::kMalformed, "UTF-8"},
      {"A23b", Hex("01 03eda080") + scalar, Reason::kMalformed, "UTF-8"},
      {"A24", Hex("01 05") + "größe" + scalar, Reason::kMalformed, "written by exportsd.py"},
      {"A24 at a boundary", Hex("01 02") + "éé" + scalar, Reason::kMalformed,
       "written by exportsd.py"},
      {"A27a", Hex("01 0100") + scalar, Reason::kMalformed, "control character"},
      {"A27b", Hex("01 010a") + scalar, Reason::kMalformed, "control character"},
      {"A28", Hex("01 8827") + std::string(5000, 'a') + scalar, Reason::kLimit, "key_bytes_max"},
      {"A29", Hex("02 0161") + scalar + Hex("0161") + scalar, Reason::kMalformed,
       "key \"a\" is there twice"},
      {"A31", One("0800 0000"), Reason::kUnsupported, "key \"a\": byte 3: dtype is 8"},
      {"A32a", One("0c00 00"), Reason::kUnsupported, "dtype is 12 (qint8)"},
      {"A32b", One("0d00 00"), Reason::kUnsupported, "quint8"},
      {"A32c", One("0e00 00000000"), Reason::kUnsupported, "qint32"},
      {"A33a", One("1000 00"), Reason::kUnsupported, "dtype is 16"},
      {"A33b", One("1700 00"), Reason::kUnsupported, "dtype is 23"},
      {"A33c", One("1b00 00"), Reason::kUnsupported, "dtype is 27"},
      {"A33d", One("7f00 00"), Reason::kUnsupported, "dtype is 127"},
      {"A34", One("e72400 00"), Reason::kUnsupported, "exportsd.py"},
      {"A35", One("860200 00000000"), Reason::kMalformed, "dtype is 262"},
      {"A38", One("0641") + std::string(65, '\1') + scalar, Reason::kLimit, "dims_max"},
      {"A39", One("06808080808020"), Reason::kLimit, "dims_max"},
      {"A42", One("0603 00 808080808080808040 808080808080808040"), Reason::kLimit, "2^63-1"},
      {"A43", One("0602 8080808010 8080808010"), Reason::kLimit, "2^63-1"},
      {"A44", One("0601 808080808080808040"), Reason::kLimit, "tensor_bytes_max"},
      {"A46", One("0601 80808080808080808001"), Reason::kMalformed, "dim is above 2^63-1"},
      {"A47", golden.substr(0, 25), Reason::kTruncated, "the data of \"n\", want 1 more byte"},
      {"A48", golden.substr(0, 18), Reason::kTruncated, "the data of \"n\""},
      {"A49", golden.substr(0, 14), Reason::kTruncated, "entry 1 of 2"},
      {"A52", Hex("02 0161") + scalar + Hex("0161") + scalar, Reason::kMalformed, "twice"},
      {"A62", golden.substr(0, 14), Reason::kTruncated, "byte 14"},
      {"A63", std::string(512, '\0'), Reason::kMalformed, "byte 1: input goes on"},
      {"A64", Hex("01 4b") + std::string(75, '\xA7'), Reason::kMalformed, "UTF-8"},
      {"A50 forward", One("0b01 02 0102"), Reason::kMalformed,
       "byte 1 of the bool tensor is 2, want 0"},
  };
}

TEST(TorchSharp, RefusesBadFiles) {
  for (const Bad& c : BadFiles()) {
    EXPECT_TRUE(FailsWith(ReadAllForward(c.file, Format::kTorchSharp).status(), c.reason, c.part))
        << c.row << ", forward";
    if (c.file.empty()) continue;
    const auto whole = ReadAll(c.file, Format::kTorchSharp);
    const bool other = GetReason(whole.status()) == Reason::kWrongFormat;
    EXPECT_TRUE(other || FailsWith(whole.status(), c.reason, c.part)) << c.row;
  }
  EXPECT_TRUE(FailsWith(ReadAll("", Format::kTorchSharp).status(), Reason::kTruncated, "ends"));
}

TEST(TorchSharp, NamesOtherThingsGivenAsModules) {
  const struct {
    const char* row;
    std::string file;
    const char* part;
  } cases[] = {
      {"A53", Hex("06 04 02030405") + std::string(480, '\1'), "TorchSharp single-tensor record"},
      {"A54", Hex("03") + "SGD" + Hex("0000"), "TorchSharp optimizer state"},
      {"A56", "PK\3\4" + std::string(100, '\1'), "zip archive"},
      {"A57", Hex("1f8b08") + std::string(50, '\1'), "gzip"},
      {"safetensors", Safetensors("{}"), "safetensors file"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(
        FailsWith(ReadAll(c.file, Format::kTorchSharp).status(), Reason::kWrongFormat, c.part))
        << c.row;
  }
}

TEST(TorchSharp, SaysWhatAStreamMayBeInstead) {
  const struct {
    std::string file;
    const char* part;
  } cases[] = {
      {Hex("06 04 02030405") + std::string(480, '\1'), "a TorchSharp single-tensor record?"},
      {Hex("04") + "Adam" + Hex("0100") + std::string(80, '\1'), "a TorchSharp optimizer state?"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(FailsWith(ReadAllForward(c.file, Format::kTorchSharp).status(), Reason::kMalformed,
                          c.part));
  }
}

TEST(TorchSharp, ReadsSingleTensors) {
  const auto tensors = ReadAll(Hex("06 02 0102 0000803f 000000c0"));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ(Lines(*tensors), std::vector<std::string>{" float32 [1, 2]"});
  EXPECT_TRUE(FailsWith(ReadAll(Hex("06 01 01 000000"), Format::kTorchSharpTensor).status(),
                        Reason::kTruncated, "data of the tensor"));
  EXPECT_TRUE(FailsWith(ReadAll(Hex("06 01 01 0000000000"), Format::kTorchSharpTensor).status(),
                        Reason::kMalformed, "byte 7: input goes on"));
}

// SGD of one group with two states; the second has no momentum.
std::string Sgd() {
  return Hex("03") + "SGD" + Hex("01 02") + std::string(40, '\0') + Hex("0100") +
         Hex("01 0600 0000803f") + Hex("00");
}

TEST(TorchSharp, ReadsOptimizerStates) {
  StringSource file(Sgd());
  const auto dict = ReadStateDict(file, Format::kUnknown, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->format, Format::kTorchSharpOptimizer);
  ASSERT_EQ(dict->entries.size(), 1u);
  EXPECT_EQ(dict->entries[0].spec.key, "state.0.momentum_buffer");
  EXPECT_EQ(dict->entries[0].spec.role, Role::kOther);
  ASSERT_EQ(dict->leaves.size(), 8u);
  EXPECT_EQ(dict->leaves[0].json, "\"SGD\"");
  EXPECT_EQ(dict->leaves[3].path, "param_groups.0.momentum");
  EXPECT_EQ(dict->leaves[6].json, "true");
}

TEST(TorchSharp, RefusesBadOptimizerStates) {
  const std::string sgd = Sgd();
  const struct {
    std::string file;
    Reason reason;
    const char* part;
  } cases[] = {
      {Hex("05") + "LBFGS" + Hex("0000"), Reason::kWrongFormat, "\"LBFGS\", want one"},
      {sgd + "x", Reason::kMalformed, "goes on after the last of 2 states of SGD"},
      {Hex("03") + "SGD" + Hex("ffffffff7f 00"), Reason::kLimit, "parameter groups"},
      {Hex("03") + "SGD" + Hex("00 01 01 1000"), Reason::kUnsupported, "momentum_buffer"},
  };
  for (const auto& c : cases) {
    StringSource file(c.file);
    EXPECT_TRUE(FailsWith(ReadTorchSharpOptimizer(file, Limits()).status(), c.reason, c.part));
  }
  for (size_t n = 0; n < sgd.size(); ++n) {
    StringSource file(sgd.substr(0, n));
    EXPECT_TRUE(FailsWith(ReadTorchSharpOptimizer(file, Limits()).status(), Reason::kTruncated,
                          "input ends inside"))
        << n;
  }
}

TEST(TorchSharp, RoundTripsEveryDTypeItHas) {
  std::vector<Tensor> tensors;
  for (const DTypeInfo& info : AllDTypes()) {
    const bool has = FormatHasDType(Format::kTorchSharp, info.dtype);
    const Tensor tensor = MakeTensor(info.name, info.dtype, {2, 4}, tensors.size());
    const auto alone = WriteAll(Format::kTorchSharp, {tensor});
    EXPECT_EQ(alone.ok(), has) << info.name;
    if (has) {
      tensors.push_back(tensor);
    } else {
      EXPECT_TRUE(FailsWith(alone.status(), Reason::kUnsupported, info.name));
    }
  }
  EXPECT_EQ(tensors.size(), 12u);
  const auto file = WriteAll(Format::kTorchSharp, tensors);
  for (const auto& back : {ReadAll(*file), ReadAllForward(*file, Format::kTorchSharp)}) {
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(back->size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ((*back)[i].spec, tensors[i].spec);
      EXPECT_EQ((*back)[i].bytes, tensors[i].bytes);
    }
    EXPECT_EQ(*WriteAll(Format::kTorchSharp, *back), *file);
  }
}

// Every proper prefix is refused, and says so.
TEST(TorchSharp, RefusesEveryTruncation) {
  const std::string file =
      *WriteAll(Format::kTorchSharp,
                {MakeTensor("first.weight", DType::kFloat32, {200}),
                 MakeTensor("second", DType::kBool, {3}), MakeTensor("größe", DType::kInt64, {})});
  for (size_t n = 0; n < file.size(); ++n) {
    const std::string cut = file.substr(0, n);
    EXPECT_TRUE(FailsWith(ReadAllForward(cut, Format::kTorchSharp).status(), Reason::kTruncated,
                          "input ends inside"));
    EXPECT_TRUE(FailsWith(ReadAll(cut, Format::kTorchSharp).status(), Reason::kTruncated,
                          "input ends inside"));
  }
}

// No single wrong byte crashes, and both ways of reading agree on it.
TEST(TorchSharp, EveryFlippedByteIsHandledAlikeBothWays) {
  const std::string file =
      *WriteAll(Format::kTorchSharp,
                {MakeTensor("a.b", DType::kFloat16, {2, 3}), MakeTensor("c", DType::kBool, {2})});
  for (size_t at = 0; at < file.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string other = file;
      other[at] = static_cast<char>(value);
      StringSource source(other);
      const auto whole = ReadTorchSharp(source, Limits());
      const auto forward = ReadAllForward(other, Format::kTorchSharp);
      if (!forward.ok()) continue;  // forward checks bool bytes, too
      ASSERT_TRUE(whole.ok()) << at << " " << value << ": " << whole.status();
      ASSERT_EQ(whole->entries.size(), forward->size());
      for (size_t i = 0; i < forward->size(); ++i) {
        EXPECT_EQ(whole->entries[i].spec, (*forward)[i].spec);
      }
    }
  }
}

TEST(TorchSharp, ReadsAMillionScalars) {  // row A59
  std::string file = Hex("c0843d");       // 1 000 000
  for (int i = 0; i < 1'000'000; ++i) {
    const std::string key = absl::StrCat(i);
    file += static_cast<char>(key.size());
    file += key;
    file += std::string("\0\0\7", 3);
  }
  StringSource source(file);
  const auto dict = ReadStateDict(source, Format::kUnknown, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->entries.size(), 1'000'000u);
}

TEST(TorchSharp, SkipsDataOfEntriesThatAreNotRead) {
  const std::string file =
      *WriteAll(Format::kTorchSharp,
                {MakeTensor("a", DType::kFloat32, {100'000}), MakeTensor("b", DType::kInt8, {2})});
  StringSource source(file);
  SourceStream stream(&source);
  auto reader = *OpenForwardReader(Format::kTorchSharp, &stream, Limits());
  EXPECT_EQ(reader->known_entries(), nullptr);
  EXPECT_EQ((*reader->Next())->key, "a");
  std::string piece(10, '\0');
  EXPECT_TRUE(reader->Read(absl::MakeSpan(piece)).ok());
  EXPECT_EQ((*reader->Next())->key, "b");
  EXPECT_FALSE(reader->Read(absl::MakeSpan(piece)).ok());
  piece.resize(2);
  EXPECT_TRUE(reader->Read(absl::MakeSpan(piece)).ok());
  EXPECT_EQ(piece, MakeTensor("b", DType::kInt8, {2}).bytes);
  EXPECT_EQ(*reader->Next(), std::nullopt);
  EXPECT_EQ(reader->facts().format, Format::kTorchSharp);
}

// One byte at a time: no assumption about how a stream cuts its bytes.
class DrippingStream : public ByteStream {
 public:
  explicit DrippingStream(std::string bytes) : bytes_(std::move(bytes)) {}
  absl::StatusOr<size_t> Read(absl::Span<char> out) override {
    if (used_ == bytes_.size()) return 0;
    out[0] = bytes_[used_++];
    return 1;
  }

 private:
  std::string bytes_;
  size_t used_ = 0;
};

TEST(TorchSharp, ReadsStreamsThatDrip) {
  const Tensor big = MakeTensor("a", DType::kFloat32, {5000});
  DrippingStream stream(*WriteAll(Format::kTorchSharp, {big, MakeTensor("b", DType::kInt8, {})}));
  auto reader = *OpenForwardReader(Format::kTorchSharp, &stream, Limits());
  ASSERT_EQ((*reader->Next())->key, "a");
  std::string bytes(20000, '\0');
  ASSERT_TRUE(reader->Read(absl::MakeSpan(bytes)).ok());
  EXPECT_EQ(bytes, big.bytes);
  EXPECT_EQ((*reader->Next())->key, "b");
  EXPECT_EQ(*reader->Next(), std::nullopt);
}

}  // namespace
}  // namespace ballast

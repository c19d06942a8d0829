// safetensors. Rows are named as in the catalogue of hard inputs.
#include "storage/formats/safetensors_dtype.h"
#include "storage/formats/safetensors_header.h"
#include "storage/formats/safetensors_reader.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

// "a" as F32 [1], with other members or another value where a row wants them.
std::string Info(absl::string_view dtype, absl::string_view shape, absl::string_view offsets) {
  return absl::StrCat("{\"dtype\":", dtype, ",\"shape\":", shape, ",\"data_offsets\":", offsets,
                      "}");
}
std::string A(absl::string_view info) { return absl::StrCat("{\"a\":", info, "}"); }
std::string F32(int begin) {
  return Info("\"F32\"", "[1]", absl::StrCat("[", begin, ",", begin + 4, "]"));
}
const std::string kData4(4, '\1');

TEST(Safetensors, WritesTheseBytes) {
  EXPECT_EQ(*WriteAll(Format::kSafetensors, {}),
            LittleEndian(56, 8) + "{\"__metadata__\":{\"format\":\"pt\"}}" + std::string(24, ' '));
  const std::vector<Tensor> tensors = {
      MakeTensor("b\"", DType::kUint8, {3}), MakeTensor("z", DType::kFloat32, {1, 2}),
      MakeTensor("a", DType::kFloat32, {}), MakeTensor("n", DType::kFloat32, {0, 5})};
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"},"
      "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
      "\"n\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[4,4]},"
      "\"z\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[4,12]},"
      "\"b\\\"\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[12,15]}}";
  const std::string file = *WriteAll(Format::kSafetensors, tensors);
  EXPECT_EQ((file.size() - 15) % 64, 0u);
  EXPECT_EQ(file.substr(0, 8), LittleEndian(file.size() - 15 - 8, 8));
  EXPECT_EQ(file.substr(8, header.size()), header);
  EXPECT_EQ(file.substr(8 + header.size(), file.size() - 15 - 8 - header.size()),
            std::string(file.size() - 15 - 8 - header.size(), ' '));
  EXPECT_EQ(file.substr(file.size() - 15), tensors[2].bytes + tensors[1].bytes + tensors[0].bytes);
}

TEST(Safetensors, RoundTripsEveryDTypeItHas) {
  std::vector<Tensor> tensors;
  for (const DTypeInfo& info : AllDTypes()) {
    const Tensor tensor = MakeTensor(info.name, info.dtype, {2, 4}, tensors.size());
    const auto alone = WriteAll(Format::kSafetensors, {tensor});
    const bool has = FormatHasDType(Format::kSafetensors, info.dtype);
    EXPECT_EQ(alone.ok(), has) << info.name;
    if (has) {
      tensors.push_back(tensor);
    } else {
      EXPECT_TRUE(FailsWith(alone.status(), Reason::kUnsupported, info.name));
    }
  }
  EXPECT_EQ(tensors.size(), 22u);
  const std::string file = *WriteAll(Format::kSafetensors, tensors);
  for (const auto& back : {ReadAll(file), ReadAllForward(file, Format::kSafetensors)}) {
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(back->size(), tensors.size());
    for (const Tensor& tensor : *back) {
      const auto want = std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) {
        return t.spec.key == tensor.spec.key;
      });
      ASSERT_NE(want, tensors.end());
      EXPECT_EQ(tensor.spec, want->spec);
      EXPECT_EQ(tensor.bytes, want->bytes);
    }
    EXPECT_EQ(*WriteAll(Format::kSafetensors, *back), file);
  }
}

TEST(Safetensors, CodesAreInvertible) {
  for (const DTypeInfo& info : AllDTypes()) {
    if (const auto code = SafetensorsCode(info.dtype)) {
      EXPECT_EQ(DTypeFromSafetensors(*code), info.dtype);
    }
  }
}

struct Good {
  const char* row;
  std::string file;
  std::string lines;  // "key dtype shape; …" in header order
};

std::string Lines(const std::vector<Tensor>& tensors) {
  std::string out;
  for (const Tensor& t : tensors) {
    absl::StrAppend(&out, t.spec.key, " ", DTypeName(t.spec.dtype), " ", ShapeText(t.spec.shape),
                    ";");
  }
  return out;
}

TEST(Safetensors, AcceptsUnusualFiles) {
  const std::string a = A(F32(0));
  const Good cases[] = {
      {"D7", Safetensors("{}"), ""},
      {"D9 8", Safetensors(a + std::string(3, ' '), kData4), "a float32 [1];"},
      {"D9 4096", Safetensors(a + std::string(4096, ' '), kData4), "a float32 [1];"},
      {"D10", Safetensors(a + "\n\t\r", kData4), "a float32 [1];"},
      {"D11", Safetensors(" \n\t\r" + a, kData4), "a float32 [1];"},
      {"D25",
       Safetensors(A(R"({"x":{"y":[1,null,{"z":2.5}]},"dtype":"F32","shape":[1],)"
                     R"("data_offsets":[0,4]})"),
                   kData4),
       "a float32 [1];"},
      {"D29 F8", Safetensors(A(Info("\"F8_E8M0\"", "[4]", "[0,4]")), kData4),
       "a float8_e8m0fnu [4];"},
      {"D29 F4", Safetensors(A(Info("\"F4\"", "[2,4]", "[0,4]")), kData4),
       "a float4_e2m1fn_x2 [2, 2];"},
      {"D32", Safetensors(A(Info("\"F6_E3M2\"", "[4]", "[0,3]")), "abc"), "a float6_e3m2 [4];"},
      {"D34", Safetensors(A(Info("\"F32\"", "[]", "[0,4]")), kData4), "a float32 [];"},
      {"D35", Safetensors(A(Info("\"F32\"", "[0,0]", "[0,0]"))), "a float32 [0, 0];"},
      {"D50", Safetensors("{\"a\":" + F32(4) + ",\"b\":" + F32(0) + "}", kData4 + kData4),
       "a float32 [1];b float32 [1];"},
      {"D51",
       Safetensors("{\"a\":" + Info("\"F32\"", "[0]", "[0,0]") + ",\"b\":" + F32(0) +
                       ",\"c\":" + Info("\"I8\"", "[0]", "[4,4]") +
                       ",\"d\":" + Info("\"I8\"", "[0]", "[4,4]") + "}",
                   kData4),
       "a float32 [0];b float32 [1];c int8 [0];d int8 [0];"},
      {"D53 {}", Safetensors(R"({"__metadata__":{}})"), ""},
      {"D53 null", Safetensors(R"({"__metadata__":null})"), ""},
      {"D55", Safetensors("{\"__metadata__\":{\"ss\":\"" + std::string(5 << 20, 'x') + "\"}}"), ""},
      {"D56", Safetensors(R"({"__metadata__":{"a":"<script>\u001b[1m"}})"), ""},
      {"D57", Safetensors(R"({"__metadata__":{"format":"tf"}})"), ""},
      {"D60", Safetensors("{\"\":" + F32(0) + "}", kData4), " float32 [1];"},
      {"D61", Safetensors("{\"../../x\":" + F32(0) + "}", kData4), "../../x float32 [1];"},
      {"D62", Safetensors("{\"\\ud83d\\ude00\":" + F32(0) + "}", kData4),
       "\xF0\x9F\x98\x80 float32 [1];"},
      {"D66",
       Safetensors("{\"a\":" + Info("\"U8\"", "[3]", "[0,3]") + ",\"b\":" + F32(3) + "}",
                   std::string(7, '\1')),
       "a uint8 [3];b float32 [1];"},
      {"D58 whole",
       Safetensors("{\"__metadata__\":{\"DCP_SHARDING_INFO\":\"{\\\"a\\\":{"
                   "\\\"saved_offsets\\\":[0,0]}}\"},\"a\":" +
                       F32(0) + "}",
                   kData4),
       "a float32 [1];"},
  };
  for (const Good& c : cases) {
    const auto tensors = ReadAll(c.file);
    ASSERT_TRUE(tensors.ok()) << c.row << ": " << tensors.status();
    EXPECT_EQ(Lines(*tensors), c.lines) << c.row;
    const auto forward = ReadAllForward(c.file, Format::kSafetensors);
    ASSERT_TRUE(forward.ok()) << c.row << ": " << forward.status();
    EXPECT_EQ(forward->size(), tensors->size()) << c.row;
  }
}

TEST(Safetensors, ReadsForwardInDataOrder) {  // row D50
  const std::string file = Safetensors("{\"a\":" + F32(4) + ",\"b\":" + F32(0) + "}", "bbbbaaaa");
  const auto forward = ReadAllForward(file, Format::kSafetensors);
  EXPECT_EQ(Lines(*forward), "b float32 [1];a float32 [1];");
  EXPECT_EQ((*forward)[0].bytes, "bbbb");
  EXPECT_EQ((*ReadAll(file))[0].bytes, "aaaa");
  StringSource source(file);
  SourceStream stream(&source);
  const auto reader = OpenForwardReader(Format::kSafetensors, &stream, Limits());
  ASSERT_EQ((*reader)->known_entries()->size(), 2u);
  EXPECT_EQ((*(*reader)->known_entries())[0].key, "b");
}

struct Bad {
  const char* row;
  std::string file;
  Reason reason;
  const char* part;
};

std::vector<Bad> BadFiles() {
  const std::string a = A(F32(0));
  const auto shape = [](const char* text) {
    return Safetensors(A(Info("\"F32\"", text, "[0,4]")), kData4);
  };
  const auto offsets = [](const char* text) {
    return Safetensors(A(Info("\"F32\"", "[1]", text)), kData4);
  };
  const auto dtype = [](const char* text) {
    return Safetensors(A(Info(text, "[1]", "[0,4]")), kData4);
  };
  const auto metadata = [](const char* text) {
    return Safetensors(absl::StrCat("{\"__metadata__\":", text, "}"));
  };
  const auto json = [](const std::string& text) { return Safetensors(text, kData4); };
  return {
      {"D1", "\1\0\0", Reason::kTruncated, "length of the safetensors header"},
      {"D2", std::string(8, '\0'), Reason::kMalformed, "0 bytes long, want at least 2"},
      {"D3", Safetensors("{"), Reason::kMalformed, "1 bytes long"},
      {"D4a", std::string(8, '\xFF'), Reason::kLimit, "header_bytes_max"},
      {"D4b", LittleEndian(1ull << 63, 8), Reason::kLimit, "header_bytes_max"},
      {"D4c", LittleEndian(-8, 8), Reason::kLimit, "header_bytes_max"},
      {"D5", LittleEndian(100'000'001, 8) + "{}", Reason::kLimit, "header_bytes_max"},
      {"D6", LittleEndian(100'000'000, 8) + "{}", Reason::kTruncated, "header"},
      {"D8", Safetensors("{}", "x"), Reason::kMalformed, "goes on"},
      {"D12", Safetensors("{}" + std::string(6, '\0')), Reason::kMalformed, "padded with zero"},
      {"D12 inside", Safetensors("{" + std::string(1, '\0') + "}"), Reason::kMalformed,
       "byte 1 is zero"},
      {"D13", Safetensors("\xEF\xBB\xBF{}"), Reason::kMalformed, "begins with"},
      {"D14", json("{\"\xFF\":" + F32(0) + "}"), Reason::kMalformed, "not JSON"},
      {"D15a", Safetensors("[]"), Reason::kMalformed, "want a JSON object"},
      {"D15b", Safetensors("\"a\""), Reason::kMalformed, "want a JSON object"},
      {"D15c", Safetensors("12"), Reason::kMalformed, "want a JSON object"},
      {"D16", Safetensors("{}{}"), Reason::kMalformed, "not JSON at byte"},
      {"D17a", Safetensors("{/**/}"), Reason::kMalformed, "not JSON"},
      {"D17b", json("{\"a\":" + F32(0) + ",}"), Reason::kMalformed, "not JSON"},
      {"D17c", Safetensors("{'a':1}"), Reason::kMalformed, "not JSON"},
      {"D17d", shape("[NaN]"), Reason::kMalformed, "not JSON"},
      {"D18", Safetensors(A("{\"x\":" + std::string(1'000'000, '['))), Reason::kLimit, "nested"},
      {"D19", json("{\"a\":" + F32(0) + ",\"a\":" + F32(0) + "}"), Reason::kMalformed,
       "tensor \"a\" is there twice"},
      {"D20", json("{\"a\":" + F32(9) + ",\"a\":" + F32(0) + "}"), Reason::kMalformed, "twice"},
      {"D21", json("{\"a\":" + F32(0) + ",\"\\u0061\":" + F32(0) + "}"), Reason::kMalformed,
       "twice"},
      {"D22", Safetensors(R"({"__metadata__":{},"__metadata__":{}})"), Reason::kMalformed,
       "__metadata__ twice"},
      {"D22 member", metadata(R"({"a":"","a":""})"), Reason::kMalformed, "has \"a\" twice"},
      {"D23a", json(A(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})")),
       Reason::kMalformed, "has dtype twice"},
      {"D23b", json(A(R"({"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]})")),
       Reason::kMalformed, "has shape twice"},
      {"D23c", json(A(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]})")),
       Reason::kMalformed, "has data_offsets twice"},
      {"D24a", json(A(R"({"shape":[1],"data_offsets":[0,4]})")), Reason::kMalformed, "no dtype"},
      {"D24b", json(A(R"({"dtype":"F32","data_offsets":[0,4]})")), Reason::kMalformed, "no shape"},
      {"D24c", json(A(R"({"dtype":"F32","shape":[1]})")), Reason::kMalformed, "no data_offsets"},
      {"D26", json(A(R"(["F32",[1],[0,4]])")), Reason::kMalformed, "is an array, want an object"},
      {"info null", json(A("null")), Reason::kMalformed, "is null, want an object"},
      {"D27", dtype("{\"F32\":null}"), Reason::kMalformed, "dtype is an object"},
      {"D28a", dtype("\"f32\""), Reason::kUnsupported, "dtype is \"f32\""},
      {"D28b", dtype("\"F32 \""), Reason::kUnsupported, "dtype is \"F32 \""},
      {"D28c", dtype("\"FLOAT32\""), Reason::kUnsupported, "FLOAT32"},
      {"D28d", dtype("\"C128\""), Reason::kUnsupported, "C128"},
      {"D28e", dtype("\"\""), Reason::kUnsupported, "dtype is \"\""},
      {"D30", Safetensors(A(Info("\"F4\"", "[3]", "[0,1]")), "x"), Reason::kMalformed,
       "whole bytes"},
      {"D31", Safetensors(A(Info("\"F4\"", "[2,1]", "[0,1]")), "x"), Reason::kUnsupported, "odd"},
      {"D30 F4 []", Safetensors(A(Info("\"F4\"", "[]", "[0,1]")), "x"), Reason::kMalformed,
       "0-dim"},
      {"D30 F6 [3]", Safetensors(A(Info("\"F6_E2M3\"", "[3]", "[0,2]")), "xx"), Reason::kMalformed,
       "whole bytes"},
      {"D33a", shape("[2,-1]"), Reason::kMalformed, "shape holds a negative number"},
      {"D33b", shape("[2.0]"), Reason::kMalformed, "shape holds a number that is no integer"},
      {"D33c", shape("[1e3]"), Reason::kMalformed, "shape holds"},
      {"D33d", shape("[\"2\"]"), Reason::kMalformed, "shape holds a string"},
      {"D33e", shape("[null]"), Reason::kMalformed, "shape holds null"},
      {"D33f", shape("[18446744073709551616]"), Reason::kMalformed, "shape holds"},
      {"D33g", shape("[[1]]"), Reason::kMalformed, "shape holds an array"},
      {"D33h", shape("1"), Reason::kMalformed, "shape holds a number"},
      {"D36", shape("[0,9223372036854775808,9223372036854775808]"), Reason::kLimit, "2^63-1"},
      {"D37", shape("[9223372036854775808,9223372036854775808,0]"), Reason::kLimit, "2^63-1"},
      {"D38", shape("[4294967296,4294967296]"), Reason::kLimit, "2^63-1"},
      {"D38 F64", Safetensors(A(Info("\"F64\"", "[2305843009213693952]", "[0,0]"))), Reason::kLimit,
       "tensor_bytes_max"},
      {"D39",
       shape(("[1" + absl::StrReplaceAll(std::string(9999, 'x'), {{"x", ",1"}}) + "]").c_str()),
       Reason::kLimit, "dims_max"},
      {"D40", offsets("[4,0]"), Reason::kMalformed, "want begin <= end"},
      {"D41a", offsets("[0]"), Reason::kMalformed, "has 1 numbers, want two"},
      {"D41b", offsets("[0,4,8]"), Reason::kMalformed, "more than two"},
      {"D41c", offsets("\"0-4\""), Reason::kMalformed, "data_offsets holds a string"},
      {"D41d", offsets("[]"), Reason::kMalformed, "has 0 numbers"},
      {"D42a", offsets("[0,3]"), Reason::kMalformed, "data is 3 bytes, want 4"},
      {"D42b", offsets("[0,5]"), Reason::kMalformed, "data is 5 bytes, want 4"},
      {"D43", Safetensors("{\"a\":" + F32(0) + ",\"b\":" + F32(12) + "}", std::string(16, '\1')),
       Reason::kMalformed, "hole"},
      {"D44", Safetensors(A(F32(16)), std::string(20, '\1')), Reason::kMalformed, "hole"},
      {"D45", Safetensors("{\"a\":" + F32(0) + ",\"b\":" + F32(0) + "}", kData4),
       Reason::kMalformed, "overlaps"},
      {"D46", Safetensors("{\"a\":" + F32(0) + ",\"b\":" + F32(2) + "}", std::string(6, '\1')),
       Reason::kMalformed, "overlaps"},
      {"D47", Safetensors(a, "abc"), Reason::kTruncated, "ends inside the"},
      {"D48", Safetensors(a, "abcde"), Reason::kMalformed, "goes on"},
      {"D49", Safetensors(A(Info("\"F32\"", "[1]", "[0,18446744073709551615]"))),
       Reason::kMalformed, "want 4"},
      {"D52",
       Safetensors("{\"a\":" + Info("\"F32\"", "[0]", "[2,2]") + ",\"b\":" + F32(0) + "}", kData4),
       Reason::kMalformed, "overlaps"},
      {"D54a", metadata(R"({"a":1})"), Reason::kMalformed, "__metadata__ \"a\" is a number"},
      {"D54b", metadata(R"({"a":{"b":"c"}})"), Reason::kMalformed, "is an object, want a string"},
      {"D54c", metadata("[]"), Reason::kMalformed, "__metadata__ is an array"},
      {"D54d", metadata("\"x\""), Reason::kMalformed, "__metadata__ is a string"},
      {"D54e", metadata(R"({"a":null})"), Reason::kMalformed, "is null, want a string"},
      {"D58",
       Safetensors("{\"__metadata__\":{\"DCP_SHARDING_INFO\":\"{\\\"a\\\":{"
                   "\\\"saved_offsets\\\":[0,8]}}\"},\"a\":" +
                       F32(0) + "}",
                   kData4),
       Reason::kUnsupported, "slices of bigger"},
      {"D58 odd", metadata(R"({"DCP_SHARDING_INFO":"?"})"), Reason::kUnsupported, "slices"},
      {"D61a", json("{\"a\\u0000\":" + F32(0) + "}"), Reason::kMalformed, "control character"},
      {"D61b", json("{\"" + std::string(1 << 20, 'a') + "\":" + F32(0) + "}"), Reason::kLimit,
       "key_bytes_max"},
      {"D63", json("{\"\\ud83d\":" + F32(0) + "}"), Reason::kMalformed, "not JSON"},
      {"D65", Safetensors(A(Info("\"BOOL\"", "[4]", "[0,4]")), Hex("00010200")), Reason::kMalformed,
       "byte 2 of the bool tensor is 2"},
      {"deep header", Safetensors(absl::StrCat("{\"a\":{\"shape\":", std::string(100'000, '['))),
       Reason::kMalformed, "shape holds an array"},
  };
}

TEST(Safetensors, RefusesBadFiles) {
  for (const Bad& c : BadFiles()) {
    EXPECT_TRUE(FailsWith(ReadAll(c.file, Format::kSafetensors).status(), c.reason, c.part))
        << c.row;
    EXPECT_TRUE(FailsWith(ReadAllForward(c.file, Format::kSafetensors).status(), c.reason, c.part))
        << c.row << ", forward";
  }
}

TEST(Safetensors, NamesOtherThingsGivenAsSafetensors) {
  const struct {
    const char* row;
    std::string file;
    const char* part;
  } cases[] = {
      {"D72 gzip", Hex("1f8b0800") + std::string(20, '\1'), "gzip"},
      {"D72 zstd", Hex("28b52ffd") + std::string(20, '\1'), "zstd"},
      {"D73", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS"},
      {"D74", "<!DOCTYPE html><html></html>", "HTML page"},
      {"D75", Hex("80027d71002e") + std::string(20, '\1'), "bare pickle"},
      {"D76", "GGUF" + std::string(20, '\1'), "GGUF"},
      {"zip", "PK\3\4" + std::string(20, '\1'), "zip archive"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(
        FailsWith(ReadAll(c.file, Format::kSafetensors).status(), Reason::kWrongFormat, c.part))
        << c.row;
  }
}

TEST(Safetensors, RefusesEveryTruncation) {  // row D69
  const std::string file = *WriteAll(Format::kSafetensors, {MakeTensor("a", DType::kFloat32, {20}),
                                                            MakeTensor("b", DType::kBool, {3})});
  for (size_t n = 0; n < file.size(); ++n) {
    const std::string cut = file.substr(0, n);
    EXPECT_TRUE(FailsWith(ReadAllForward(cut, Format::kSafetensors).status(), Reason::kTruncated,
                          "input ends inside"));
    if (n == 0) continue;
    EXPECT_TRUE(FailsWith(ReadAll(cut, Format::kSafetensors).status(), Reason::kTruncated, ""));
  }
}

TEST(Safetensors, EveryFlippedByteIsHandledAlikeBothWays) {
  const std::string file =
      *WriteAll(Format::kSafetensors,
                {MakeTensor("a", DType::kFloat16, {2, 3}), MakeTensor("b", DType::kBool, {2})});
  for (size_t at = 0; at < file.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string other = file;
      other[at] = static_cast<char>(value);
      StringSource source(other);
      const auto whole = ReadSafetensors(source, Limits());
      const auto forward = ReadAllForward(other, Format::kSafetensors);
      if (!forward.ok()) continue;
      ASSERT_TRUE(whole.ok()) << at << " " << value << ": " << whole.status();
      ASSERT_EQ(whole->entries.size(), forward->size());
    }
  }
}

LayoutInput TiedInput(const std::vector<Tensor>& tensors, Ties ties) {
  LayoutInput input = InputOf(tensors);
  input.ties = std::move(ties);
  return input;
}

TEST(Safetensors, TiesAndModuleMetadataComeBack) {
  const std::vector<Tensor> tensors = {MakeTensor("z", DType::kFloat32, {2}),
                                       MakeTensor("b", DType::kInt8, {1}),
                                       MakeTensor("a\"", DType::kFloat32, {2})};
  LayoutInput input = TiedInput(tensors, {{0, 2}});
  input.metadata_json = R"({"":{"version":1},"bn":{"version":2}})";
  const std::string file = *WriteAll(Format::kSafetensors, tensors, input);
  StringSource source(file);
  const auto dict = ReadStateDict(source, Format::kUnknown, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->metadata_json, input.metadata_json);
  ASSERT_EQ(dict->ties.size(), 1u);
  EXPECT_EQ(dict->entries[dict->ties[0][0]].spec.key, "a\"");
  EXPECT_EQ(dict->entries[dict->ties[0][1]].spec.key, "z");
  EXPECT_TRUE(dict->warnings.empty());
  EXPECT_TRUE(dict->leaves.empty());
  SourceStream stream(&source);
  const auto reader = OpenForwardReader(Format::kSafetensors, &stream, Limits());
  EXPECT_EQ((*reader)->facts().ties.size(), 1u);
}

TEST(Safetensors, DropsTiesThatCannotHold) {
  const std::string tensors =
      ",\"a\":" + F32(0) + ",\"b\":" + F32(4) + ",\"c\":" + Info("\"I32\"", "[1]", "[8,12]") + "}";
  const struct {
    const char* ties;
    size_t groups;
    const char* warning;
  } cases[] = {
      {R"([[\"a\",\"b\"]])", 1, ""},
      {"[]", 0, ""},
      {R"([[\"a\",\"x\"]])", 0, "there is no tensor \"x\""},
      {R"([[\"a\",\"c\"]])", 0, "differ in dtype or shape"},
      {R"([[\"a\"]])", 0, "two or more"},
      {R"([[\"a\",\"a\"]])", 0, "two or more"},
      {R"([[\"a\",\"b\"],[\"b\",\"a\"]])", 1, "in two groups"},
      {R"([\"a\",\"b\"])", 0, "not an array of arrays"},
      {R"([[[\"a\"]]])", 0, "not an array of arrays"},
      {"{}", 0, "not an array of arrays"},
      {"[[1]]", 0, "not an array of arrays"},
      {"", 0, "not an array of arrays"},
  };
  for (const auto& c : cases) {
    StringSource source(
        Safetensors(absl::StrCat("{\"__metadata__\":{\"ballast.ties\":\"", c.ties, "\"}", tensors),
                    std::string(12, '\1')));
    const auto dict = ReadStateDict(source, Format::kSafetensors, Limits());
    ASSERT_TRUE(dict.ok()) << c.ties << dict.status();
    EXPECT_EQ(dict->ties.size(), c.groups) << c.ties;
    ASSERT_EQ(dict->warnings.empty(), *c.warning == '\0') << c.ties;
    if (!dict->warnings.empty()) {
      EXPECT_NE(dict->warnings[0].find(c.warning), std::string::npos) << dict->warnings[0];
    }
  }
}

// Else a file that lies about ties would have one tensor's values stored for the other.
TEST(Safetensors, DropsTiesOfTensorsThatDiffer) {
  std::vector<Tensor> tensors = {MakeTensor("a", DType::kFloat32, {100'000}, 1),
                                 MakeTensor("b", DType::kFloat32, {100'000}, 1),
                                 MakeTensor("c", DType::kFloat32, {100'000}, 1)};
  tensors[2].bytes.back() ^= 1;
  const std::string file =
      *WriteAll(Format::kSafetensors, tensors, TiedInput(tensors, {{0, 1, 2}}));
  StringSource source(file);
  const auto dict = ReadStateDict(source, Format::kUnknown, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_TRUE(dict->ties.empty());
  ASSERT_EQ(dict->warnings.size(), 1u);
  EXPECT_EQ(dict->warnings[0],
            "1 of the declared ties were dropped, the first is of \"a\": the tensors differ");
}

TEST(Safetensors, KeepsOtherMetadataAsLeaves) {
  StringSource source(
      Safetensors(R"({"__metadata__":{"format":"pt","ss":"a\"b","ballast.metadata":"[1]"}})"));
  const auto dict = ReadStateDict(source, Format::kUnknown, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->writer, "safetensors.torch");
  ASSERT_EQ(dict->leaves.size(), 1u) << "the format is no loss: it is the writer";
  EXPECT_EQ(dict->leaves[0].path, "__metadata__.ss");
  EXPECT_EQ(dict->leaves[0].json, "\"a\\\"b\"");
  EXPECT_EQ(dict->metadata_json, "");
  ASSERT_EQ(dict->warnings.size(), 1u);
  EXPECT_NE(dict->warnings[0].find("ballast.metadata"), std::string::npos);
}

TEST(Safetensors, AnUnknownFormatIsALeafAndALongOneIsCut) {
  StringSource unknown(Safetensors(R"({"__metadata__":{"format":"xyz"}})"));
  const auto dict = ReadStateDict(unknown, Format::kUnknown, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  ASSERT_EQ(dict->leaves.size(), 1u);
  EXPECT_EQ(dict->leaves[0].json, "\"xyz\"");
  StringSource big(Safetensors(
      absl::StrCat("{\"__metadata__\":{\"note\":\"", std::string(70'000, 'x'), "\"}}")));
  const auto cut = ReadStateDict(big, Format::kUnknown, Limits());
  ASSERT_TRUE(cut.ok()) << cut.status();
  ASSERT_EQ(cut->leaves.size(), 1u);
  EXPECT_EQ(cut->leaves[0].json, "");
  EXPECT_EQ(cut->leaves[0].text, std::string(160, 'x') + "… (70000 bytes)");
}

TEST(Safetensors, BoundsTheLeavesItKeeps) {
  Limits limits;
  limits.metadata_bytes_max = 400;
  std::string json = "{\"__metadata__\":{\"k0\":\"\"";
  for (int i = 1; i < 100; ++i) absl::StrAppend(&json, ",\"k", i, "\":\"value\"");
  StringSource source(Safetensors(json + "}}"));
  const auto dict = ReadStateDict(source, Format::kUnknown, limits);
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->leaves.size(), 2u);
  ASSERT_EQ(dict->warnings.size(), 1u);
  EXPECT_NE(dict->warnings[0].find("98 members"), std::string::npos) << dict->warnings[0];
}

TEST(Safetensors, RefusesToWriteWhatItCannotHold) {
  EXPECT_TRUE(FailsWith(
      WriteAll(Format::kSafetensors, {MakeTensor("__metadata__", DType::kInt8, {})}).status(),
      Reason::kUnsupported, "__metadata__"));  // row F20
  std::vector<Tensor> many;
  for (int i = 0; i < 8; ++i) {
    many.push_back(MakeTensor(absl::StrCat("k", i), DType::kComplex128, {}));
  }
  const auto status = WriteAll(Format::kSafetensors, many).status();
  EXPECT_TRUE(FailsWith(status, Reason::kUnsupported,
                        "8 tensors have a dtype that safetensors "
                        "lacks: \"k0\" is complex128"));
  EXPECT_TRUE(FailsWith(status, Reason::kUnsupported, "\"k4\" is complex128 and 3 more"));
  Limits limits;
  limits.header_bytes_max = 50;
  EXPECT_TRUE(FailsWith(WriteAll(Format::kSafetensors, {}, LayoutInput(), limits).status(),
                        Reason::kLimit, "header_bytes_max"));
}

TEST(Safetensors, RefusesHugeRepetitionOfTiesBeforeTheFirstByte) {  // row F22
  LayoutInput input;
  Ties ties(1);
  for (uint32_t i = 0; i < 1000; ++i) {
    TensorSpec spec;
    spec.key = absl::StrCat("k", i);
    spec.dtype = DType::kInt8;
    spec.shape = {uint64_t{2} << 30};
    input.tensors.push_back({spec, i, std::nullopt});
    ties[0].push_back(i);
  }
  input.ties = ties;
  for (const Format format : {Format::kSafetensors, Format::kTorchSharp}) {
    EXPECT_TRUE(FailsWith(LayOut(format, input, Limits()).status(), Reason::kLimit,
                          "materialized_bytes_max"));
  }
}

}  // namespace
}  // namespace ballast

// The pickle machine: what every opcode makes, and what is refused.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/utf8.h"
#include "storage/formats/pickle_json.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/pickle_plain.h"
#include "storage/formats/pickle_repr.h"
#include "storage/formats/pickle_text.h"
#include "tests/formats/formats_testing.h"
#include "tests/formats/pytorch/pickle_testing.h"

namespace ballast {
namespace {

absl::Status StatusOf(const std::string& pickle, const Limits& limits = Limits()) {
  return RunPickle(pickle, limits).status();
}

// The root as JSON, "-" if it has none.
std::string Json(const std::string& pickle) {
  const auto result = RunPickle(pickle, Limits());
  if (!result.ok()) return std::string(result.status().message());
  return PickleJson(result->graph, result->graph.root(), JsonForms::kPlain, 1 << 20)
      .json.value_or("-");
}

// "type value", with the descriptive JSON, or what a person reads if there is none.
std::string Described(const std::string& object, size_t bytes_max = 200) {
  const auto result = RunPickle(Pickled(object), Limits());
  if (!result.ok()) return std::string(result.status().message());
  const PickleGraph& graph = result->graph;
  const PickledJson json = PickleJson(graph, graph.root(), JsonForms::kDescriptive, 1 << 20);
  return absl::StrCat(
      PickledTypeName(graph, graph.root()), " ",
      json.json ? *json.json : absl::StrCat("| ", PickleRepr(graph, graph.root(), bytes_max)));
}

// numpy.dtype(code) with its byte order.
std::string NumpyDTypeOf(const std::string& code, const std::string& order = "<") {
  return CallOf(Glob("numpy", "dtype"), {Str(code), "\x89", "\x88"}) +
         TupleOf({Num(3), Str(order), "N", "N", "N", "J\xff\xff\xff\xff", "J\xff\xff\xff\xff",
                  Num(0)}) +
         "b";
}

std::string BytesOf(const std::string& bytes) {
  return absl::StrCat("C", std::string(1, static_cast<char>(bytes.size())), bytes);
}

std::string NumpyScalarOf(const std::string& dtype, const std::string& bytes) {
  return CallOf(Glob("numpy.core.multiarray", "scalar"), {dtype, bytes});
}

std::string FloatOf(const std::string& big_endian_hex) { return "G" + Hex(big_endian_hex); }

TEST(PickleMachine, MakesPlainValues) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"N", "null"},
      {"\x88", "true"},
      {"\x89", "false"},
      {"I01\n", "true"},
      {"I00\n", "false"},
      {"I-42\n", "-42"},
      {"I99999999999\n", "99999999999"},
      {"L123L\n", "123"},
      {"F1.5\n", "1.5"},
      {"K\xff", "255"},
      {std::string("M\x00\x01", 3), "256"},
      {"J\xff\xff\xff\xff", "-1"},
      {std::string("\x8a\x00", 2), "0"},
      {"\x8a\x01\xff", "-1"},
      {std::string("\x8a\x08\x00\x5e\xd0\xb2\x00\x00\x00\x00", 10), "3000000000"},
      {std::string("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\x00", 11), "9223372036854775807"},
      {std::string("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00", 11), "-"},
      {std::string("\x8b\x01\x00\x00\x00\x05", 6), "5"},
      {std::string("G\x3f\xf8\x00\x00\x00\x00\x00\x00", 9), "1.5"},
      {std::string("G\x3f\xf0\x00\x00\x00\x00\x00\x00", 9), "1.0"},
      {std::string("G\x7f\xf0\x00\x00\x00\x00\x00\x00", 9), "-"},
      {"S'it\\'s \\x41\\n'\n", "\"it's A\\u000a\""},
      {"V\\u00e9\\u20ac\n", "\"é€\""},
      {"U\x03"
       "abc",
       "\"abc\""},
      {std::string("T\x03\x00\x00\x00"
                   "abc",
                   8),
       "\"abc\""},
      {"\x8c\x03"
       "abc",
       "\"abc\""},
      {std::string("\x8d\x03\x00\x00\x00\x00\x00\x00\x00"
                   "abc",
                   12),
       "\"abc\""},
      {Str("größe"), "\"größe\""},
      {Str("\xed\xa0\x80"), "-"},
      {"C\x01z", "-"},
      {")", "[]"},
      {"K\1\x85", "[1]"},
      {"K\1K\2\x86", "[1,2]"},
      {"K\1K\2K\3\x87", "[1,2,3]"},
      {"(K\1K\2K\3K\4t", "[1,2,3,4]"},
      {"(K\1K\2l", "[1,2]"},
      {"]K\1a", "[1]"},
      {"](K\1K\2e", "[1,2]"},
      {"](e", "[]"},
      {"}(u", "{}"},
      {"(" + Str("a") + "K\1d", "{\"a\":1}"},
      {"}" + Str("a") + "K\1s", "{\"a\":1}"},
      {"}(" + Str("a") + "K\1" + Str("b") + "Nu", "{\"a\":1,\"b\":null}"},
      {OrderedDict(), "{}"},
      {CallOf(Glob("collections", "OrderedDict"), {ListOf({ListOf({Str("a"), "K\1"})})}),
       "{\"a\":1}"},
      {CallOf(Glob("collections", "defaultdict"), {Glob("__builtin__", "list")}) + Str("a") + "Ns",
       "{\"a\":null}"},
      {"K\1K\2"
       "0",
       "1"},
      {"K\1(K\2K\3"
       "1",
       "1"},
      {"K\1"
       "2\x86",
       "[1,1]"},
      {"K\7p5\ng5\n\x86", "[7,7]"},
      {"K\7q\5h\5\x86", "[7,7]"},
      {std::string("K\7r\xff\xff\xff\xffj\xff\xff\xff\xff\x86", 13), "[7,7]"},
      {"K\7q\5K\10q\5h\5\x87", "[7,8,8]"},
      {std::string("K\7\x94h\0\x86", 6), "[7,7]"},
      {std::string("\x95\x02\0\0\0\0\0\0\0K\7", 11), "7"},
      {Glob("torch", "float32"), "\"torch.float32\""},
      {Str("torch") + Str("float32") + "\x93", "\"torch.float32\""},
  };
  for (const auto& [object, want] : table) {
    EXPECT_THAT(Json(Pickled(object)), ::testing::HasSubstr(want)) << Printable(object);
  }
}

TEST(PickledPlain, SaysWhatJsonHasAndWhatAPersonReads) {
  const std::string nan = FloatOf("7ff8000000000000");
  const std::string tenth = FloatOf("3fb999999999999a");
  const std::string state = DictOf({Str("lr"), tenth, Str("steps"), ListOf({Num(1), Num(2)})});
  const auto instance = [](const std::string& module, const std::string& name) {
    return Glob(module, name) + ")\x81";
  };
  const std::vector<std::pair<std::string, std::string>> table = {
      // numbers that JSON has not, or not as such
      {nan, "float | nan"},
      {FloatOf("fff0000000000000"), "float | -inf"},
      {tenth, "float 0.1"},
      {std::string("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00", 11),
       "int \"9223372036854775808\""},
      {std::string("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\xff", 11),
       "int \"-9223372036854775809\""},
      {"\x8a\x10" + Hex("000000000000000000000000000000ff"),
       "int \"-1329227995784915872903807060280344576\""},
      {"L123456789012345678901234567890L\n", "int \"123456789012345678901234567890\""},
      {"I-99999999999999999999\n", "int \"-99999999999999999999\""},
      {absl::StrCat("\x8a\xff", std::string(254, '\xff'), "\x7f"), "int | a very long int"},
      {CallOf(Glob("builtins", "complex"), {tenth, nan}), "complex | complex(0.1, nan)"},
      // text and bytes
      {Str("\xed\xa0\x80"), "str | '\\xed\\xa0\\x80'"},
      {BytesOf(std::string("h\0i", 3)), "bytes | b'h\\x00i'"},
      {"C\x50" + std::string(80, 'a'), "bytes | b'" + std::string(64, 'a') + "…' (80 bytes)"},
      {CallOf(Glob("_codecs", "encode"), {Str("\xc3\xbf"), Str("latin1")}), "bytes | b'\\xff'"},
      {CallOf(Glob("__builtin__", "bytes"), {}), "bytes | b''"},
      {CallOf(Glob("builtins", "bytearray"), {BytesOf("x")}), "bytearray | b'x'"},
      {CallOf(Glob("builtins", "bytearray"), {Str("x"), Str("latin-1")}), "bytearray | b'x'"},
      // containers
      {ListOf({Num(1), nan}), "list | [1, nan]"},
      {TupleOf({Num(1), nan, Str("x"), "N", "\x88"}), "tuple | (1, nan, 'x', None, True)"},
      {DictOf({Num(1), nan}), "dict | {1: nan}"},
      {"\x8f(" + Num(1) + Num(2) + "\x90", "set [1,2]"},
      {CallOf(Glob("builtins", "set"), {ListOf({Num(1)})}), "set [1]"},
      {CallOf(Glob("builtins", "frozenset"), {ListOf({nan})}), "frozenset | frozenset([nan])"},
      {ListOf({ListOf({ListOf({ListOf({ListOf({nan})})})})}), "list | [[[[[…]]]]]"},
      // torch's
      {Glob("torch", "float32"), "torch.dtype \"torch.float32\""},
      {Glob("my.code", "Loss"), "type \"my.code.Loss\""},
      {CallOf(Glob("torch", "Size"), {TupleOf({Num(2), Num(3)})}), "torch.Size [2,3]"},
      {CallOf(Glob("torch", "device"), {Str("cuda"), Num(1)}), "torch.device \"cuda:1\""},
      {CallOf(Glob("torch", "device"), {Str("cpu")}), "torch.device \"cpu\""},
      // numpy's
      {NumpyScalarOf(NumpyDTypeOf("f8"), BytesOf(Hex("9a9999999999b93f"))), "numpy.float64 0.1"},
      {NumpyScalarOf(NumpyDTypeOf("f8", ">"), BytesOf(Hex("3fb999999999999a"))),
       "numpy.float64 0.1"},
      {NumpyScalarOf(NumpyDTypeOf("f8"), "U\x08" + Hex("9a9999999999b93f")), "numpy.float64 0.1"},
      {NumpyScalarOf(NumpyDTypeOf("f4"), BytesOf(Hex("cdcccc3d"))), "numpy.float32 0.1"},
      {NumpyScalarOf(NumpyDTypeOf("f2"), BytesOf(Hex("003e"))), "numpy.float16 1.5"},
      {NumpyScalarOf(NumpyDTypeOf("f2"), BytesOf(Hex("0100"))),
       "numpy.float16 5.960464477539063e-08"},
      {NumpyScalarOf(NumpyDTypeOf("f2"), BytesOf(Hex("00fc"))), "numpy.float16 | -inf"},
      {NumpyScalarOf(NumpyDTypeOf("f8"), BytesOf(Hex("000000000000f87f"))), "numpy.float64 | nan"},
      {NumpyScalarOf(NumpyDTypeOf("i8"), BytesOf(Hex("feffffffffffffff"))), "numpy.int64 -2"},
      {NumpyScalarOf(NumpyDTypeOf("i1"), BytesOf(Hex("80"))), "numpy.int8 -128"},
      {NumpyScalarOf(NumpyDTypeOf("u8"), BytesOf(Hex("ffffffffffffffff"))),
       "numpy.uint64 18446744073709551615"},
      {NumpyScalarOf(NumpyDTypeOf("b1"), BytesOf(Hex("01"))), "numpy.bool_ true"},
      {NumpyScalarOf(NumpyDTypeOf("f8"), BytesOf("short")),
       "numpy.core.multiarray.scalar | numpy.core.multiarray.scalar(numpy.dtype("},
      {CallOf(Glob("numpy.core.multiarray", "_reconstruct"),
              {Glob("numpy", "ndarray"), TupleOf({Num(0)}), BytesOf("b")}) +
           TupleOf({Num(1), TupleOf({Num(3), Num(4)}), NumpyDTypeOf("f8"), "\x89", BytesOf("")}) +
           "b",
       "numpy.ndarray | array of float64 [3, 4]"},
      // objects that are their attributes
      {instance("argparse", "Namespace") + state + "b",
       "argparse.Namespace {\"lr\":0.1,\"steps\":[1,2]}"},
      {instance("my.code", "Config") + DictOf({Str("best"), nan}) + "b",
       "my.code.Config | my.code.Config(best=nan)"},
      {instance("my.code", "Empty"), "my.code.Empty | my.code.Empty()"},
      {CallOf(Glob("pathlib", "PosixPath"), {Str("/"), Str("home"), Str("me")}),
       "pathlib.PosixPath \"/home/me\""},
      {CallOf(Glob("decimal", "Decimal"), {Str("1.5")}),
       "decimal.Decimal | decimal.Decimal('1.5')"},
  };
  for (const auto& [object, want] : table) {
    EXPECT_THAT(Described(object), ::testing::StartsWith(want)) << Printable(object);
  }
}

TEST(PickledPlain, IsShortWhateverItDescribes) {
  const std::string nan = FloatOf("7ff8000000000000");
  std::string nested = "N";
  for (int i = 0; i < 1000; ++i) nested = ListOf({nested, nan});
  for (const std::string& object :
       {nested, Str(std::string(100'000, 'x')), Str(std::string(100'000, '\xff')),
        ListOf(std::vector<std::string>(10'000, nan)),
        DictOf(std::vector<std::string>(10'000, Str("größe")))}) {
    const auto result = RunPickle(Pickled(object), Limits());
    ASSERT_TRUE(result.ok()) << result.status();
    for (const size_t bytes_max : {0, 1, 2, 50, 200}) {
      const std::string text = PickleRepr(result->graph, result->graph.root(), bytes_max);
      EXPECT_LE(text.size(), bytes_max + std::string("…").size());
      EXPECT_TRUE(IsUtf8(text)) << text;
    }
  }
}

TEST(PickleMachine, KeepsWhatObjectsWereMadeOf) {
  const std::string object = Glob("lightning", "AttributeDict") + ")\x81(" + Str("a") + "K\1u" +
                             DictOf({Str("s"), "K\2"}) + "b";
  const auto result = RunPickle(Pickled(object), Limits());
  ASSERT_TRUE(result.ok()) << result.status();
  const PickleGraph& graph = result->graph;
  EXPECT_EQ(graph.TypeName(graph.root()), "lightning.AttributeDict");
  EXPECT_EQ(graph.integer(graph.Find(graph.root(), "a")), 1);
  EXPECT_EQ(graph.integer(graph.Find(graph.object(graph.root())->state, "s")), 2);
  EXPECT_TRUE(graph.CalleeIs(graph.root(), "lightning", "AttributeDict"));
}

TEST(PickleMachine, StopsAtStop) {
  const std::string pickle = Pickled("K\1");
  const auto result = RunPickle(pickle + "garbage", Limits());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->size_bytes, pickle.size());
  StringSource source("????" + pickle + pickle);
  SourceStream stream(&source, 4);
  const auto middle = RunPickle(&stream, Limits());
  ASSERT_TRUE(middle.ok()) << middle.status();
  EXPECT_EQ(middle->size_bytes, pickle.size());
}

TEST(PickleMachine, RefusesWhatIsMalformed) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {Pickled("\xff"), "opcode is 255"},
      {std::string("\x80\x06N.", 4), "protocol is 6"},
      {Pickled("N0\x80\x02N"), "middle"},
      {Pickled(""), "STOP with 0 values"},
      {Pickled("NN"), "STOP with 2 values"},
      {Pickled("N("), "MARK left"},
      {Pickled("0"), "finds 0 values"},
      {Pickled("1"), "without a MARK"},
      {Pickled("t"), "without a MARK"},
      {Pickled("]K\1e"), "without a MARK"},
      {Pickled("K\1\x86"), "finds 1 values"},
      {Pickled("K\1(\x85"), "finds 0 values"},
      {Pickled("h\1"), "never put"},
      {Pickled("q\1"), "finds 0 values"},
      {Pickled("I4x\n"), "INT"},
      {Pickled("Lx\n"), "LONG"},
      {Pickled("Fx\n"), "FLOAT"},
      {Pickled("Sabc\n"), "STRING"},
      {Pickled("S'a'b'\n"), "STRING"},
      {Pickled("V\\u00\n"), "UNICODE"},
      {Pickled("px\n"), "PUT"},
      {Pickled("gx\n"), "GET"},
      {Pickled("K\1K\2a"), "APPEND on a value of type int"},
      {Pickled(")K\2a"), "APPEND on a value of type tuple"},
      {Pickled("}K\2a"), "APPEND on a value of type dict"},
      {Pickled("](" + Str("a") + "K\1u"), "SETITEMS on a value of type list"},
      {Pickled("K\1(" + Str("a") + "K\1u"), "SETITEMS on a value of type int"},
      {Pickled(Floats() + Str("a") + "K\1s"), "SETITEM on a value of type torch._utils"},
      {Pickled("}(" + Str("a") + "u"), "odd number"},
      {Pickled("(" + Str("a") + "d"), "odd number"},
      {Pickled("](K\1\x90"), "ADDITEMS on a value of type list"},
      {Pickled("}}b"), "BUILD on a value of type dict"},
      {Pickled("K\1}b"), "BUILD on a value of type int"},
      {Pickled(OrderedDict() + "}b}b"), "BUILD twice"},
      {Pickled(Glob("collections", "OrderedDict") + "]R"), "without a tuple"},
      {Pickled("K\1)\x81"), "NEWOBJ of a value of type int"},
      {Pickled(Glob("a", "B") + "]\x81"), "NEWOBJ without a tuple"},
      {Pickled(Glob("a", "B") + "))\x92"), "NEWOBJ_EX without a dict"},
      {Pickled(Str("os") + "K\1\x93"), "STACK_GLOBAL"},
      {Pickled(Glob("torch\r", "float32")), "name of a global"},
      {Pickled(Glob("", "float32")), "name of a global"},
      {Pickled(Glob(std::string("torch\0", 6), "float32")), "name of a global"},
      {Pickled(Glob(std::string(300, 'm'), "n")), "line is too long"},
  };
  for (const auto& [pickle, part] : table) {
    EXPECT_TRUE(FailsWith(StatusOf(pickle), Reason::kMalformed, part)) << Printable(pickle);
  }
}

TEST(PickleMachine, RefusesWhatRunsCode) {
  const std::vector<std::pair<std::string, std::string>> globals = {
      {"os", "system"},
      {"posix", "system"},
      {"nt", "system"},
      {"os.path", "join"},
      {"subprocess", "Popen"},
      {"sys", "modules"},
      {"builtins", "eval"},
      {"__builtin__", "exec"},
      {"builtins", "compile"},
      {"builtins", "getattr"},
      {"builtins", "__import__"},
      {"builtins", "open"},
      {"__builtin__", "apply"},
      {"builtins", "globals"},
      {"operator", "attrgetter"},
      {"functools", "partial"},
      {"pickle", "loads"},
      {"_pickle", "loads"},
      {"cPickle", "loads"},
      {"importlib", "import_module"},
      {"importlib.util", "spec_from_file_location"},
      {"ctypes", "CDLL"},
      {"socket", "socket"},
      {"shutil", "rmtree"},
      {"webbrowser", "open"},
      {"pty", "spawn"},
      {"bdb", "Bdb"},
      {"code", "interact"},
      {"timeit", "timeit"},
      {"runpy", "run_path"},
      {"pip", "main"},
      {"pip._internal", "main"},
      {"logging", "FileHandler"},
      {"torch", "load"},
      {"torch.storage", "_load_from_bytes"},
      {"torch.hub", "load"},
      {"numpy.testing._private.utils", "runstring"},
      {"commands", "getoutput"},
      {"torch", "os.system"},
      {"torch._utils", "_rebuild_tensor_v2.__globals__"},
  };
  for (const auto& [module, name] : globals) {
    const std::string full = module + "." + name;
    EXPECT_TRUE(FailsWith(StatusOf(Pickled(Glob(module, name))), Reason::kUnsafe, full));
    EXPECT_TRUE(
        FailsWith(StatusOf(Pickled(Str(module) + Str(name) + "\x93")), Reason::kUnsafe, full));
    EXPECT_TRUE(
        FailsWith(StatusOf(Pickled("(i" + module + "\n" + name + "\n")), Reason::kUnsafe, full));
    // The stream that breaks behind the payload is not a smaller crime.
    EXPECT_TRUE(
        FailsWith(StatusOf("\x80\x02" + Glob(module, name) + ")R\xff"), Reason::kUnsafe, full));
  }
}

TEST(PickleMachine, RefusesCallsOfUnknownGlobals) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {CallOf(Glob("my.module", "make"), {}), "my.module.make"},
      {CallOf(Glob("torch", "os"), {}), "torch.os"},
      {CallOf(Glob("torch._utils", "_rebuild_tensor_v9"), {}), "_rebuild_tensor_v9"},
      {CallOf(Glob("collections", "0rderedDict"), {}), "0rderedDict"},
      {CallOf(OrderedDict(), {}), "REDUCE calls a value of type OrderedDict"},
      {"(" + Glob("my", "Class") + "o", "OBJ"},
      {"(imy\nClass\n", "INST"},
  };
  for (const auto& [object, part] : table) {
    EXPECT_TRUE(FailsWith(StatusOf(Pickled(object)), Reason::kUnsafe, part)) << Printable(object);
  }
  // The class of an inert instance may be anything that cannot only run code.
  EXPECT_TRUE(StatusOf(Pickled(Glob("my.module", "Class") + ")\x81}b")).ok());
}

TEST(PickleMachine, RefusesWhatIsOutside) {
  for (const std::string& object :
       std::vector<std::string>{"\x82\x01", std::string("\x83\x01\0", 3),
                                std::string("\x84\x01\0\0\0", 5), "\x97", "N\x98"}) {
    EXPECT_TRUE(FailsWith(StatusOf(Pickled(object)), Reason::kUnsupported, "outside"));
  }
}

TEST(PickleMachine, RefusesEveryTruncation) {
  const std::string pickle = Pickled(DictOf({Str("w"), Floats(), Str("n"), "K\1"}));
  for (size_t size = 0; size < pickle.size(); ++size) {
    EXPECT_TRUE(FailsWith(StatusOf(pickle.substr(0, size)), Reason::kTruncated, "STOP")) << size;
  }
}

TEST(PickleMachine, SurvivesEveryFlippedBit) {
  const std::string pickle = Pickled(DictOf({Str("w"), Floats(), Str("n"), "K\1"}));
  size_t refused = 0;
  for (size_t i = 0; i < pickle.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = pickle;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const absl::Status status = StatusOf(bad);
      if (!status.ok()) {
        ++refused;
        EXPECT_NE(GetReason(status), Reason::kNone) << status;
      }
    }
  }
  EXPECT_GT(refused, pickle.size());
}

TEST(PickleMachine, AllocatesNothingForClaims) {
  const std::string claim = std::string("X\xff\xff\xff\x0f", 5) + "abc";
  EXPECT_TRUE(FailsWith(StatusOf(Pickled(claim)), Reason::kTruncated, "STOP"));
  const std::string beyond = std::string("\x8e\xff\xff\xff\xff\xff\xff\xff\xff", 9) + "abc";
  EXPECT_TRUE(FailsWith(StatusOf(Pickled(beyond)), Reason::kTruncated, "STOP"));
}

TEST(PickleMachine, ObeysLimits) {
  Limits limits;
  limits.pickle_opcodes_max = 100;
  std::string pops;
  for (int i = 0; i < 100; ++i) pops += ")0";
  EXPECT_TRUE(
      FailsWith(StatusOf(Pickled(pops + "N"), limits), Reason::kLimit, "pickle_opcodes_max"));
  limits = Limits();
  limits.pickle_bytes_max = 10;
  EXPECT_TRUE(FailsWith(StatusOf(Pickled(pops + "N"), limits), Reason::kLimit, "pickle_bytes_max"));
  limits = Limits();
  limits.pickle_memory_bytes_max = 1 << 20;
  std::string lists;
  for (int i = 0; i < 100000; ++i) lists += "]";
  EXPECT_TRUE(
      FailsWith(StatusOf(Pickled(lists), limits), Reason::kLimit, "pickle_memory_bytes_max"));
}

TEST(PickleMachine, TakesDepthAndCyclesWithoutRecursion) {
  Limits limits;
  const auto lists = [](size_t levels) {
    return Pickled(std::string(levels, ']') + std::string(levels - 1, 'a'));
  };
  EXPECT_TRUE(StatusOf(lists(limits.pickle_depth_max)).ok());
  EXPECT_TRUE(
      FailsWith(StatusOf(lists(limits.pickle_depth_max + 2)), Reason::kLimit, "pickle_depth_max"));
  limits.pickle_depth_max = 1'000'000;
  EXPECT_TRUE(StatusOf(lists(1'000'000), limits).ok());
  EXPECT_TRUE(StatusOf(Pickled("]q\1h\1a")).ok());
}

TEST(PickleMachine, BoundsEveryWayToNest) {
  const auto repeated = [](const std::string& text) {
    std::string out;
    for (int i = 0; i < 2000; ++i) out += text;
    return out;
  };
  const std::string ordered = Glob("collections", "OrderedDict");
  for (const std::string& object :
       {")" + repeated("\x85"), repeated("(") + repeated("t"), "N" + repeated("Q"),
        repeated("]") + repeated("a"), repeated("}N") + "N" + repeated("s"),
        repeated("](") + repeated("e"), repeated("(") + repeated("l"),
        repeated(ordered + "(") + "N" + repeated("tR"),
        repeated(Glob("a", "B") + ")\x81") + repeated("b"),
        repeated(Glob("a", "B")) + ")" + repeated("\x81\x85")}) {
    EXPECT_TRUE(FailsWith(StatusOf(Pickled(object)), Reason::kLimit, "pickle_depth_max"));
  }
}

TEST(GlobalVerdicts, MatchExactly) {
  EXPECT_EQ(JudgeGlobal("torch._utils", "_rebuild_tensor_v2"), GlobalVerdict::kAllowed);
  EXPECT_EQ(JudgeGlobal("copy_reg", "_reconstructor"), GlobalVerdict::kAllowed);
  EXPECT_EQ(JudgeGlobal("copyreg", "_reconstructor"), GlobalVerdict::kAllowed);
  EXPECT_EQ(JudgeGlobal("torch.cuda", "HalfTensor"), GlobalVerdict::kAllowed);
  EXPECT_EQ(JudgeGlobal("torch._utils", "_rebuild"), GlobalVerdict::kInert);
  EXPECT_EQ(JudgeGlobal("torch._utilsx", "_rebuild_tensor_v2"), GlobalVerdict::kInert);
  EXPECT_EQ(JudgeGlobal("osx", "system"), GlobalVerdict::kInert);
  EXPECT_EQ(JudgeGlobal("os.anything.below", "x"), GlobalVerdict::kUnsafe);
}

}  // namespace
}  // namespace ballast

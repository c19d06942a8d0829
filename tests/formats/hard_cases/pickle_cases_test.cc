// Section C: the pickle stream, and what its tensors mean.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/formats/hard_cases/hard_case.h"
#include "tests/formats/pytorch/legacy_testing.h"
#include "tests/formats/pytorch/pickle_testing.h"

namespace ballast {
namespace {

const char kW[] = "w float32 [4] 78787878787878787878787878787878";
const char kFour[] = "float32 [4] 78787878787878787878787878787878";

std::string Zip(const std::string& pickle) { return TorchZip(pickle); }
// The object in data.pkl; storage 0 has 16 bytes.
std::string Object(const std::string& object) { return Zip(Pickled(object)); }
// {"w": tensor}
std::string Dict(const std::string& tensor) { return Object(DictOf({Str("w"), tensor})); }
// {"w": a good tensor, more…}
std::string Beside(const std::vector<std::string>& more) {
  std::vector<std::string> items = {Str("w"), Floats()};
  items.insert(items.end(), more.begin(), more.end());
  return Object(DictOf(items));
}
std::string Repeated(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string Instance(const std::string& module, const std::string& name, const std::string& state) {
  return Glob(module, name) + ")\x81" + state + "b";
}

// A pickled nn.Module.
std::string Module(const std::vector<std::string>& parameters,
                   const std::vector<std::string>& modules,
                   const std::vector<std::string>& more = {}) {
  std::vector<std::string> state = {Str("_parameters"), DictOf(parameters), Str("_buffers"),
                                    DictOf({}),         Str("_modules"),    DictOf(modules)};
  state.insert(state.end(), more.begin(), more.end());
  return Instance("my.code", "Net", DictOf(state));
}

TEST(HardCases, PickleStream) {
  const std::string good = Pickled(DictOf({Str("w"), Floats()}));
  const std::string text =  // protocol 0
      "(dS'w'\nctorch._utils\n_rebuild_tensor\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\n"
      "I4\ntQI0\n(I4\nt(I1\nttRs.";
  const std::string framed = absl::StrCat("\x80\x04\x95", Le(good.size() - 2, 8), good.substr(2));
  Limits few;
  few.pickle_opcodes_max = 1000;
  RunHardCases({
      {"C1 empty", Zip(""), Reason::kTruncated, "data.pkl: byte 0: pickle ends before its STOP"},
      {"C1 no STOP", Zip(good.substr(0, good.size() - 1)), Reason::kTruncated, "before its STOP"},
      {"C2", Zip(good + good), Reason::kUnsafe, "follow the pickle's STOP"},
      {"C3 protocol 3", Zip("\x80\x03" + good.substr(2)), Reason::kNone, kW},
      {"C3 protocol 4", Zip(framed), Reason::kNone, kW},
      {"C3 protocol 5", Zip("\x80\x05" + framed.substr(2)), Reason::kNone, kW},
      {"C4 255", Zip("\x80\xff" + good.substr(2)), Reason::kMalformed, "pickle protocol is 255"},
      {"C4 in the middle", Object("N0\x80\x02" + good.substr(2)), Reason::kMalformed,
       "PROTO in the middle"},
      {"C4 none", Zip(good.substr(2)), Reason::kNone, kW},
      {"C4 text", Zip(text), Reason::kNone, kW},
      {"C5", Object("\xfe"), Reason::kMalformed, "data.pkl: byte 2: opcode is 254"},
      {"C19", Object("}(" + Str("a") + "u"), Reason::kMalformed, "SETITEMS with an odd number"},
      {"C20", Object("}(u"), Reason::kNone, "pytorch"},
      {"C21 underflow", Object("0"), Reason::kMalformed, "POP finds 0 values"},
      {"C21 TUPLE", Object("Nt"), Reason::kMalformed, "TUPLE without a MARK"},
      {"C21 SETITEMS", Object("}NNu"), Reason::kMalformed, "SETITEMS without a MARK"},
      {"C21 APPENDS", Object("]NNe"), Reason::kMalformed, "APPENDS without a MARK"},
      {"C21 STOP", Object("NN"), Reason::kMalformed, "STOP with 2 values on the stack"},
      {"C22", Object("N("), Reason::kMalformed, "STOP with a MARK left"},
      {"C23", Object("h\7"), Reason::kMalformed, "memo 7 was never put"},
      {"C24", Dict(Floats() + std::string("r\xff\xff\xff\xff", 5)), Reason::kNone, kW},
      {"C25", Object("N" + std::string("q\1") + "0" + Floats() + "q\1" + "0h\1"), Reason::kNone,
       kFour},
      {"C26", Object(Repeated(")0", 500) + "N"), Reason::kLimit, "pickle_opcodes_max", few},
      {"C27", Object(Repeated("]", 1'000'000) + Repeated("a", 999'999)), Reason::kLimit,
       "nested more than 1000 levels deep, want at most pickle_depth_max"},
      {"C27 tuples", Object(")" + Repeated("\x85", 1'000'000)), Reason::kLimit, "nested more than"},
      {"C27 MARKs", Object(Repeated("(", 1'000'000)), Reason::kLimit, "MARKs are open"},
      {"C27 calls",
       Object(Repeated(Glob("collections", "OrderedDict") + "((", 2000) + Repeated("ltR", 2000)),
       Reason::kLimit, "pickle_depth_max"},
      {"C30", Object("X\xff\xff\xff\xff"), Reason::kTruncated, "before its STOP"},
      {"C98", Zip(good), Reason::kLimit, "bytes long, want at most 100 (pickle_bytes_max)",
       [] {
         Limits limits;
         limits.pickle_bytes_max = 100;
         return limits;
       }()},
  });
}

TEST(HardCases, PickleGlobals) {
  const auto call = [](const std::string& module, const std::string& name) {
    return Beside({Str("x"), CallOf(Glob(module, name), {Str("id")})});
  };
  const auto by_stack = [](const std::string& operands) {
    return Beside({Str("x"), operands + "\x93(" + Str("id") + "tR"});
  };
  const std::string os_memo = Str("os") + "q\1" + "0" + Str("system") + "q\2" + "0h\1h\2";
  const auto line = [](const std::string& module) { return Object("c" + module); };
  RunHardCases({
      {"C6", call("os", "system"), Reason::kUnsafe,
       "global is os.system, want none that runs code"},
      {"C7 posix", call("posix", "system"), Reason::kUnsafe, "posix.system"},
      {"C7 nt", call("nt", "system"), Reason::kUnsafe, "nt.system"},
      {"C7 eval", call("builtins", "eval"), Reason::kUnsafe, "builtins.eval"},
      {"C7 exec", call("__builtin__", "exec"), Reason::kUnsafe, "__builtin__.exec"},
      {"C7 runpy", call("runpy", "run_path"), Reason::kUnsafe, "runpy.run_path"},
      {"C7 pip", call("pip", "main"), Reason::kUnsafe, "pip.main"},
      {"C7 logging", call("logging", "FileHandler"), Reason::kUnsafe, "logging.FileHandler"},
      {"C7 numpy", call("numpy.testing._private.utils", "runstring"), Reason::kUnsafe, "runstring"},
      {"C7 unknown", call("some.module", "function"), Reason::kUnsafe,
       "pickle calls some.module.function, want only functions known to rebuild tensors"},
      {"C8 memo", by_stack(os_memo), Reason::kUnsafe, "global is os.system"},
      {"C8 plain", by_stack(Str("os") + Str("system")), Reason::kUnsafe, "global is os.system"},
      {"C8 no strings", by_stack("K\1" + Str("system")), Reason::kMalformed,
       "STACK_GLOBAL of something else than two strings"},
      {"C9 INST", Object("(ios\nsystem\n"), Reason::kUnsafe, "global is os.system"},
      {"C9 INST of a class", Object("(imy.code\nNet\n"), Reason::kUnsafe, "opcode INST"},
      {"C9 OBJ", Object("(" + Glob("my.code", "Net") + "o"), Reason::kUnsafe, "opcode OBJ"},
      {"C10 EXT1", Object("\x82\1"), Reason::kUnsupported, "opcode EXT1 refers to something"},
      {"C10 EXT2", Object(std::string("\x83\1\0", 3)), Reason::kUnsupported, "opcode EXT2"},
      {"C10 EXT4", Object(std::string("\x84\1\0\0\0", 5)), Reason::kUnsupported, "opcode EXT4"},
      {"C11 NEXT_BUFFER", Object("\x97"), Reason::kUnsupported, "NEXT_BUFFER"},
      {"C11 READONLY_BUFFER", Object("N\x98"), Reason::kUnsupported, "READONLY_BUFFER"},
      {"C11 NEWOBJ_EX", Beside({Str("x"), Glob("my.code", "Net") + ")}\x92"}), Reason::kNone, kW},
      {"C11 BYTEARRAY8", Beside({Str("x"), "\x96" + Le(2, 8) + "ab"}), Reason::kNone,
       "leaf: x bytes"},
      {"C12 junk", Object(CallOf(Glob("os", "system"), {Str("id")}) + "\xff"), Reason::kUnsafe,
       "global is os.system"},
      {"C12 memo", Object(CallOf(Glob("os", "system"), {Str("id")}) + "h\7"), Reason::kUnsafe,
       "global is os.system"},
      {"C13 pickle", call("_pickle", "loads"), Reason::kUnsafe, "_pickle.loads"},
      {"C13 torch", call("torch.storage", "_load_from_bytes"), Reason::kUnsafe,
       "torch.storage._load_from_bytes"},
      {"C13 joblib", call("joblib", "load"), Reason::kUnsafe, "joblib.load"},
      {"C13 numpy", call("numpy", "load"), Reason::kUnsafe, "numpy.load"},
      {"C14 getattr", call("builtins", "getattr"), Reason::kUnsafe, "builtins.getattr"},
      {"C14 attrgetter", call("operator", "attrgetter"), Reason::kUnsafe, "operator.attrgetter"},
      {"C14 partial", call("functools", "partial"), Reason::kUnsafe, "functools.partial"},
      {"C14 __import__", call("builtins", "__import__"), Reason::kUnsafe, "builtins.__import__"},
      {"C15 attribute", call("torch._utils", "_rebuild_tensor_v2.__globals__"), Reason::kUnsafe,
       "_rebuild_tensor_v2.__globals__"},
      {"C15 module", call("torch.os", "system"), Reason::kUnsafe, "torch.os.system"},
      {"C15 step", call("torch", "os.system"), Reason::kUnsafe, "torch.os.system"},
      {"C15 submodule", call("asyncio.unix_events", "_UnixSubprocessTransport._start"),
       Reason::kUnsafe, "asyncio.unix_events"},
      {"C16 CR", line("torch._utils\r\n_rebuild_tensor_v2\r\n"), Reason::kMalformed,
       "name of a global is torch._utils\\x0d"},
      {"C16 NUL", line(std::string("torch\0._utils\n_rebuild_tensor_v2\n", 33)), Reason::kMalformed,
       "name of a global"},
      {"C16 no newline", line(std::string(300, 'm')), Reason::kMalformed, "line is too long"},
      {"C17", call("t\xD0\xBErch._utils", "_rebuild_tensor_v2"), Reason::kUnsafe, "pickle calls"},
      {"C18 REDUCE", Object(Glob("collections", "OrderedDict") + "]R"), Reason::kMalformed,
       "REDUCE without a tuple"},
      {"C18 BUILD", Object("}}b"), Reason::kMalformed, "BUILD on a value of type dict"},
      {"C18 SETITEMS on a tensor", Object(Floats() + "(" + Str("a") + "Nu"), Reason::kMalformed,
       "SETITEMS on a value of type torch._utils._rebuild_tensor_v2"},
      {"C18 SETITEMS on an int", Object("K\1(" + Str("a") + "Nu"), Reason::kMalformed,
       "SETITEMS on a value of type int"},
      {"C18 APPENDS", Object(")(Ne"), Reason::kMalformed, "APPENDS on a value of type tuple"},
      {"C96",
       Object(CallOf(Glob("copy_reg", "_reconstructor"),
                     {Glob("my.code", "Net"), Glob("__builtin__", "object"), "N"}) +
              DictOf({Str("_parameters"), DictOf({"U\1w", Floats()}), Str("_buffers"), DictOf({}),
                      Str("_modules"), DictOf({})}) +
              "b"),
       Reason::kNone, kW},
      {"C97",
       "\x80\x02" + CallOf(Glob("__builtin__", "eval"), {Str("0x1950a86a20f9469cfc6c")}) + "." +
           LegacyParts().File().substr(LegacyParts().magic.size()),
       Reason::kUnsafe, "__builtin__.eval"},
      {"C100 dill", call("dill._dill", "_create_function"), Reason::kUnsafe, "dill._dill"},
      {"C100 cloudpickle", call("cloudpickle.cloudpickle", "_make_function"), Reason::kUnsafe,
       "cloudpickle.cloudpickle._make_function"},
  });
}

TEST(HardCases, PickleNumbers) {
  const auto size = [](const std::string& dim) { return Dict(V2{.size = dim + "\x85"}.Call()); };
  const auto numel = [](const std::string& number) {
    return Dict(V2{.storage = TupleOf({Str("storage"), Glob("torch", "FloatStorage"), Str("0"),
                                       Str("cpu"), number}) +
                              "Q"}
                    .Call());
  };
  const std::string huge = "\x8a\xff" + std::string(255, '\x7f');
  RunHardCases({
      {"C31 255 bytes", numel(huge), Reason::kMalformed, "numel of storage 0 is not a number"},
      {"C31 as a dim", size(huge), Reason::kMalformed, "want an int below 2^63"},
      {"C31 LONG4", numel("\x8b" + Le(9, 4) + std::string(9, '\x7f')), Reason::kMalformed, "numel"},
      {"C31 LONG4 beyond", numel("\x8b" + Le(0xFFFFFFFF, 4)), Reason::kTruncated,
       "before its STOP"},
      {"C31 negative", numel("\x8a\1\xff"), Reason::kMalformed, "numel of storage 0"},
      {"C32", size("J\xff\xff\xff\xff"), Reason::kMalformed, "tensor \"w\": size is -1"},
      {"C33 bool", size("\x88"), Reason::kMalformed, "size is a value of type bool"},
      {"C33 float", size("G" + Le(0, 8)), Reason::kMalformed, "size is a value of type float"},
      {"C33 string", size(Str("4")), Reason::kMalformed, "size is a value of type str"},
      {"C34", size("\x8a\x08" + Le(4, 8)), Reason::kNone, kW},
      {"C35", Dict(V2{.offset = std::string("\x8a\0", 2)}.Call()), Reason::kNone, kW},
      {"C50 no tuple", Dict(V2{.storage = Str("0") + "Q"}.Call()), Reason::kMalformed,
       "persistent id is not (\"storage\", class, key, location, numel)"},
      {"C50 arity", Dict(V2{.storage = TupleOf({Str("storage"), Str("0")}) + "Q"}.Call()),
       Reason::kMalformed, "persistent id is not"},
      {"C50 module",
       Dict(V2{.storage = TupleOf({Str("module"), Glob("torch", "FloatStorage"), Str("0"),
                                   Str("cpu"), Num(4)}) +
                          "Q"}
                .Call()),
       Reason::kMalformed, "persistent id is not"},
      {"C50 int key",
       Dict(V2{.storage = TupleOf({Str("storage"), Glob("torch", "FloatStorage"), Num(0),
                                   Str("cpu"), Num(4)}) +
                          "Q"}
                .Call()),
       Reason::kMalformed, "storage key 0 is an int, want a string"},
      {"C51 path", Dict(V2{.storage = StoragePid("FloatStorage", "../../etc/passwd", 4)}.Call()),
       Reason::kUnsafe, "storage key is ../../etc/passwd"},
      {"C51 slash", Dict(V2{.storage = StoragePid("FloatStorage", "0/../1", 4)}.Call()),
       Reason::kUnsafe, "want letters, digits and underscores"},
      {"C51 empty", Dict(V2{.storage = StoragePid("FloatStorage", "", 4)}.Call()), Reason::kUnsafe,
       "storage key is , want"},
      {"C51 long",
       Dict(V2{.storage = StoragePid("FloatStorage", std::string(1 << 20, '0'), 4)}.Call()),
       Reason::kUnsafe, "storage key is 0000"},
  });
}

TEST(HardCases, PickleKeys) {
  const std::string deep = DictOf({Str("b"), Floats()});
  Limits few;
  few.pickle_opcodes_max = 1'000'000;
  const std::string laughs = [] {
    std::string out = "](NNe";
    for (int i = 0; i < 20; ++i) {
      out = TupleOf({out + "q" + static_cast<char>(i),
                     Repeated(absl::StrCat("h", std::string(1, static_cast<char>(i))), 9)});
    }
    return out;
  }();
  RunHardCases({
      {"C28", Object(laughs), Reason::kLimit, "walking the pickled object", few},
      {"C29", Object("}q\1" + Str("h") + "h\1s"), Reason::kMalformed,
       "value at \"h\" contains itself"},
      {"C29 elsewhere", Beside({Str("x"), Instance("my.code", "A", "}q\1" + Str("h") + "h\1s")}),
       Reason::kNone, kW},
      {"C36", Object(Floats()), Reason::kNone, " float32 [4] 7878"},
      {"C37 list", Object(ListOf({Floats(), Floats()})), Reason::kNone, "1 float32 [4]"},
      {"C37 tuple", Object(TupleOf({Floats(), Floats()})), Reason::kNone, "1 float32 [4]"},
      {"C38 int", Object(Num(3)), Reason::kUnsupported,
       "the file holds a value of type int, want a state dict"},
      {"C38 string", Object(Str("x")), Reason::kUnsupported, "type str"},
      {"C38 None", Object("N"), Reason::kUnsupported, "type NoneType"},
      {"C39 ints", Object(DictOf({Num(7), Floats()})), Reason::kNone, "7 float32 [4]"},
      {"C39 tuples", Object(DictOf({TupleOf({Num(7)}), Floats()})), Reason::kUnsupported,
       "stands under a key without text form"},
      {"C40 U", Object(DictOf({"U\1w", Floats()})), Reason::kNone, kW},
      {"C40 T", Object(DictOf({"T" + Le(1, 4) + "w", Floats()})), Reason::kNone, kW},
      {"C40 bad", Object(DictOf({"U\2\xff\xfe", Floats()})), Reason::kMalformed, "UTF-8"},
      {"C41", Object(DictOf({Str("\xed\xa0\x80"), Floats()})), Reason::kUnsupported,
       "has half of a surrogate pair"},
      {"C42", Beside({Str("w"), Floats()}), Reason::kMalformed, "has a key twice: \"w\""},
      {"C43", Object(DictOf({Str("a.b"), Floats(), Str("a"), deep})), Reason::kAmbiguous,
       "two tensors are called \"a.b\""},
      {"C44",
       Object(DictOf({Str("model"), deep, Str("optimizer"), DictOf({Str("m"), Floats()}),
                      Str("epoch"), Num(3)})),
       Reason::kNone, "optimizer.m float32 [4]"},
      {"C44 leaf", Object(DictOf({Str("model"), deep, Str("epoch"), Num(3)})), Reason::kNone,
       "leaf: epoch int 3"},
      {"C45 None", Beside({Str("x"), "N"}), Reason::kNone, "leaf: x NoneType null"},
      {"C45 counter", Beside({Str("bn.num_batches_tracked"), Num(7)}), Reason::kNone,
       "leaf: bn.num_batches_tracked int 7"},
      {"C45 bool", Beside({Str("x"), "\x88"}), Reason::kNone, "leaf: x bool true"},
      {"C45 string", Beside({Str("version"), Str("1.0")}), Reason::kNone,
       "leaf: version str \"1.0\""},
      {"C45 list", Beside({Str("x"), ListOf({Num(1), Num(2)})}), Reason::kNone,
       "leaf: x list [1,2]"},
      {"C45 extra state", Beside({Str("_extra_state"), DictOf({Str("a"), Num(1)})}), Reason::kNone,
       "leaf: _extra_state.a int 1"},
      {"C46", Beside({Str("_extra_state"), Floats()}), Reason::kNone, "_extra_state float32 [4]"},
      {"C48", Beside({Str("_metadata"), DictOf({Str(""), DictOf({Str("version"), Num(1)})})}),
       Reason::kNone, "leaf: _metadata..version int 1"},
      {"C89",
       Beside({Str("lr"),
               CallOf(Glob("numpy.core.multiarray", "scalar"),
                      {CallOf(Glob("numpy", "dtype"), {Str("f8"), "\x89", "\x88"}),
                       CallOf(Glob("_codecs", "encode"), {Str("12345678"), Str("latin1")})})}),
       Reason::kNone, "leaf: lr numpy.float64"},
      {"C90",
       Beside({Str("b"), CallOf(Glob("numpy.core.multiarray", "_reconstruct"),
                                {Glob("numpy", "ndarray"), NumsOf({0}), "C\1b"})}),
       Reason::kNone, "leaf: b numpy.ndarray"},
      {"C91",
       Beside({Str("x"),
               CallOf(Glob("_codecs", "encode"), {Str(std::string(8 << 20, 'z')), Str("latin1")})}),
       Reason::kNone, "leaf: x bytes"},
  });
}

// BUILD states of an OrderedDict.
TEST(HardCases, PickleMetadata) {
  const auto with_state = [](const std::string& state) {
    return Object(OrderedDict() + Str("w") + Floats() + "s" + state + "b");
  };
  const std::string metadata = DictOf({Str(""), DictOf({Str("version"), Num(1)})});
  const std::string file = with_state(DictOf({Str("_metadata"), metadata}));
  RunHardCases({
      {"C47", file, Reason::kNone, kW},
      {"C47 odd", with_state(DictOf({Str("_metadata"), DictOf({Num(1), "N"})})), Reason::kNone,
       "_metadata is not plain enough to be kept"},
      {"C49", with_state(DictOf({Str("other"), Num(1), Str("more"), ListOf({"N"})})), Reason::kNone,
       kW},
  });
  StringSource source(file);
  EXPECT_EQ(ReadStateDict(source, Format::kUnknown, Limits())->metadata_json,
            R"({"":{"version":1}})");
}

TEST(HardCases, PickleStorages) {
  const auto two = [](const std::string& a, const std::string& b) {
    return Object(DictOf({Str("a"), a, Str("b"), b}));
  };
  const auto at = [](absl::string_view location) {
    return Dict(V2{.storage = TupleOf({Str("storage"), Glob("torch", "FloatStorage"), Str("0"),
                                       Str(location), Num(4)}) +
                              "Q"}
                    .Call());
  };
  const std::string other =
      V2{.storage = StoragePid("FloatStorage", "00", 1), .size = NumsOf({1})}.Call();
  RunHardCases({
      {"C52",
       TorchZip(Pickled(DictOf({Str("a"), Floats(), Str("b"), other})),
                {.storages = {{"0", std::string(16, 'x')}, {"00", "yyyy"}}}),
       Reason::kNone, "b float32 [1] 79797979"},
      {"C53",
       two(Floats(), V2{.storage = StoragePid("HalfStorage", "0", 8), .size = NumsOf({8})}.Call()),
       Reason::kMalformed, "storage 0 is named twice with different class or size"},
      {"C54 cuda:0", at("cuda:0"), Reason::kNone, kW},
      {"C54 cuda:7", at("cuda:7"), Reason::kNone, kW},
      {"C54 mps", at("mps"), Reason::kNone, kW},
      {"C54 xla", at("xla:0"), Reason::kNone, kW},
      {"C54 foo", at("foo"), Reason::kNone, kW},
      {"C54 meta", at("meta"), Reason::kUnsupported, "on device meta, which has no data"},
      {"C55", two(Floats(), Floats()), Reason::kNone, "tie of 2"},
      {"C56", two(V2{.size = NumsOf({2})}.Call(), V2{.offset = Num(2), .size = NumsOf({2})}.Call()),
       Reason::kNone, "b float32 [2] 7878787878787878"},
      {"C88",
       TorchZip(
           Pickled(V2{.storage = StoragePid("BoolStorage", "0", 2), .size = NumsOf({2})}.Call()),
           {.storages = {{"0", "\1\2"}}}),
       Reason::kMalformed, "byte 1 of the bool tensor is 2, want 0 or 1"},
  });
}

TEST(HardCases, PickleExtents) {
  struct Extent {
    int64_t offset = 0;
    std::vector<int64_t> size = {4};
    std::vector<int64_t> stride = {1};
  };
  const std::string bytes = "abcdefghij";
  const auto view = [&](const Extent& extent) {
    return TorchZip(Pickled(DictOf({Str("w"), V2{.storage = StoragePid("ByteStorage", "0", 10),
                                                 .offset = Num(extent.offset),
                                                 .size = NumsOf(extent.size),
                                                 .stride = NumsOf(extent.stride)}
                                                  .Call()})),
                    {.storages = {{"0", bytes}}});
  };
  const std::string empty =
      BuildZip({{.name = "a/data.pkl",
                 .data = Pickled(DictOf({Str("w"), V2{.storage = StoragePid("FloatStorage", "0", 0),
                                                      .size = NumsOf({0, 3}),
                                                      .stride = NumsOf({3, 1})}
                                                       .Call()})),
                 .flags = 0x0808},
                {.name = "a/data/0", .data = "", .flags = 0x0800},
                {.name = "a/version", .data = "3\n", .flags = 0x0808}});
  Limits small;
  small.materialized_bytes_max = 1000;
  constexpr int64_t kBig = 1'000'000'000;
  RunHardCases({
      {"C57", view({5, {5}, {1}}), Reason::kNone, "w uint8 [5] 666768696a"},
      {"C59", view({0, {2, 3}, {1, 2}}), Reason::kNone, "w uint8 [2, 3] 616365626466"},
      {"C59 Fortran", view({0, {1, 2, 3}, {1, 1, 2}}), Reason::kNone, "616365626466"},
      {"C60", view({0, {3, 2}, {0, 1}}), Reason::kNone, "w uint8 [3, 2] 616261626162"},
      {"C60 too much", view({0, {1000, 10}, {0, 1}}), Reason::kLimit, "materialized_bytes_max",
       small},
      {"C61", view({0, {kBig, kBig}, {0, 0}}), Reason::kLimit, "tensor_bytes_max"},
      {"C62", view({0, {8, 3}, {1, 1}}), Reason::kNone, "w uint8 [8, 3] 616263626364"},
      {"C63 stride", view({0, {4}, {-1}}), Reason::kMalformed, "stride is -1, want 0 or more"},
      {"C63 offset", view({-1, {4}, {1}}), Reason::kMalformed, "storage offset is -1"},
      {"C64", view({1, {10}, {1}}), Reason::kMalformed,
       "tensor \"w\": tensor of shape [10] at element 1 ends behind its storage 0 of 10 bytes"},
      {"C65 offset", view({INT64_MAX, {1}, {1}}), Reason::kMalformed, "ends behind its storage"},
      {"C65 stride", view({0, {3}, {int64_t{1} << 62}}), Reason::kMalformed, "ends behind"},
      {"C65 both", view({INT64_MAX, {5}, {INT64_MAX}}), Reason::kMalformed, "ends behind"},
      {"C66", view({0, {4}, {1, 1}}), Reason::kMalformed, "tensor has 1 dims and 2 strides"},
      {"C67", view({0, {1, 4}, {999999999, 1}}), Reason::kNone, "w uint8 [1, 4] 61626364"},
      {"C68", empty, Reason::kNone, "w float32 [0, 3] "},
      {"C69", view({99, {0}, {1}}), Reason::kNone, "w uint8 [0] "},
      {"C70", view({3, {}, {}}), Reason::kNone, "w uint8 [] 64"},
      {"C71 Size", Dict(V2{.size = CallOf(Glob("torch", "Size"), {NumsOf({4})})}.Call()),
       Reason::kNone, kW},
      {"C71 list", Dict(V2{.size = ListOf({Num(4)}), .stride = ListOf({Num(1)})}.Call()),
       Reason::kNone, kW},
  });
}

TEST(HardCases, PickleRebuilders) {
  const auto utils = [](const std::string& name, const std::vector<std::string>& args) {
    return Dict(CallOf(Glob("torch._utils", name), args));
  };
  const auto v3 = [](const std::string& dtype, std::vector<int64_t> size, int64_t nbytes = 16) {
    const std::string stride = size.size() == 1 ? NumsOf({1}) : NumsOf({size[1], 1});
    return Dict(CallOf(Glob("torch._utils", "_rebuild_tensor_v3"),
                       {StoragePid("UntypedStorage", "0", nbytes, "torch.storage"), Num(0),
                        NumsOf(size), stride, "\x89", OrderedDict(), dtype}));
  };
  const auto from_type = [](const std::string& module, const std::string& name) {
    return Dict(CallOf(
        Glob("torch._tensor", "_rebuild_from_type_v2"),
        {Glob("torch._utils", "_rebuild_tensor_v2"), Glob(module, name),
         TupleOf({V2().storage, Num(0), NumsOf({4}), NumsOf({1}), "\x89", OrderedDict()}), "N"}));
  };
  const auto metadata = [](const std::string& storage_class, const std::string& key) {
    return Dict(V2{.storage = StoragePid(storage_class, "0", storage_class[0] == 'C' ? 2 : 4),
                   .size = NumsOf({2}),
                   .more = {DictOf({Str(key), "\x88"})}}
                    .Call());
  };
  const std::string state = DictOf({Str("tag"), Num(1)});
  const std::string odd_size = TorchZip(
      Pickled(DictOf({Str("w"), CallOf(Glob("torch._utils", "_rebuild_tensor_v3"),
                                       {StoragePid("UntypedStorage", "0", 7, "torch.storage"),
                                        Num(0), NumsOf({3}), NumsOf({1}), "\x89", OrderedDict(),
                                        Glob("torch", "uint16")})})),
      {.storages = {{"0", "aabbcc_"}}});
  RunHardCases({
      {"C72", Dict(V2{.grad = "\x88"}.Call()), Reason::kNone, kW},
      {"C72 hooks", Dict(V2{.hooks = DictOf({Num(0), Num(1)})}.Call()), Reason::kUnsupported,
       "tensor \"w\": tensor has backward hooks"},
      {"C73 v1", utils("_rebuild_tensor", {V2().storage, Num(0), NumsOf({4}), NumsOf({1})}),
       Reason::kNone, kW},
      {"C73 v2 of 5",
       utils("_rebuild_tensor_v2", {V2().storage, Num(0), NumsOf({4}), NumsOf({1}), "\x89"}),
       Reason::kMalformed, "_rebuild_tensor_v2 has 5 arguments, want 6"},
      {"C73 v2 of 8", Dict(V2{.more = {"N", "N"}}.Call()), Reason::kMalformed, "has 8 arguments"},
      {"C73 v3 of 6",
       utils("_rebuild_tensor_v3",
             {V2().storage, Num(0), NumsOf({4}), NumsOf({1}), "\x89", OrderedDict()}),
       Reason::kMalformed, "_rebuild_tensor_v3 has 6 arguments, want 7"},
      {"C74 conj", metadata("ComplexFloatStorage", "conj"), Reason::kNone,
       "w complex64 [2] 78787878787878f87878787"},
      {"C74 neg", metadata("FloatStorage", "neg"), Reason::kNone, "w float32 [2] 787878f8787878f8"},
      {"C74 unknown", metadata("FloatStorage", "odd"), Reason::kUnsupported,
       "tensor has metadata \"odd\", want conj or neg"},
      {"C75", utils("_rebuild_parameter", {Floats(), "\x88", OrderedDict()}), Reason::kNone, kW},
      {"C76", utils("_rebuild_parameter_with_state", {Floats(), "\x88", OrderedDict(), state}),
       Reason::kNone, kW},
      {"C77 Parameter", from_type("torch.nn.parameter", "Parameter"), Reason::kNone, kW},
      {"C77 Tensor", from_type("torch", "Tensor"), Reason::kNone, kW},
      {"C77 torchao", from_type("torchao.dtypes.affine_quantized_tensor", "AffineQuantizedTensor"),
       Reason::kUnsupported, "tensor is of class torchao.dtypes.affine_quantized_tensor"},
      {"C77 DTensor", from_type("torch.distributed.tensor", "DTensor"), Reason::kUnsupported,
       "tensor is of class torch.distributed.tensor.DTensor, want a plain tensor"},
      {"C78", v3(Glob("torch", "float8_e4m3fn"), {2, 8}), Reason::kNone,
       "w float8_e4m3fn [2, 8] 7878"},
      {"C79 complex32", v3(Glob("torch", "complex32"), {4}), Reason::kNone, "w complex32 [4]"},
      {"C79 bits8", v3(Glob("torch", "bits8"), {4}), Reason::kUnsupported, "dtype is torch.bits8"},
      {"C79 uint4", v3(Glob("torch", "uint4"), {4}), Reason::kUnsupported, "dtype is torch.uint4"},
      {"C80", odd_size, Reason::kNone, "w uint16 [3] 616162626363"},
      {"C81 string", v3(Str("uint8"), {4}), Reason::kMalformed, "dtype is a value of type str"},
      {"C81 class", v3(Glob("torch", "FloatStorage"), {4}), Reason::kMalformed,
       "want a torch dtype"},
      {"C82", Dict(V2{.storage = StoragePid("UntypedStorage", "0", 16, "torch.storage")}.Call()),
       Reason::kMalformed, "_rebuild_tensor_v2 of a storage that is untyped"},
      {"C87 nested", utils("_rebuild_nested_tensor", {Floats(), Floats(), Floats(), Floats()}),
       Reason::kUnsupported, "\"w\""},
      {"C87 wrapper", utils("_rebuild_wrapper_subclass", {Glob("my", "T")}), Reason::kUnsupported,
       "\"w\""},
      {"C87 meta", utils("_rebuild_meta_tensor_no_storage", {Glob("torch", "float32")}),
       Reason::kUnsupported, "\"w\""},
      {"C87 xla", utils("_rebuild_xla_tensor", {"N"}), Reason::kUnsupported, "\"w\""},
  });
  const auto dat = WriteAll(Format::kTorchSharp, {MakeTensor("w", DType::kFloat8E4m3fn, {4})});
  EXPECT_TRUE(FailsWith(dat.status(), Reason::kUnsupported, "float8_e4m3fn"));  // row C78
}

// Tensors that are more than elements of a dtype: named, and refused.
TEST(HardCases, PickleOtherTensors) {
  const auto utils = [](const std::string& name, const std::vector<std::string>& args) {
    return Dict(CallOf(Glob("torch._utils", name), args));
  };
  const auto quantised = [&](const std::string& storage_class, const std::string& parameters) {
    return utils("_rebuild_qtensor", {StoragePid(storage_class, "0", 16), Num(0), NumsOf({16}),
                                      NumsOf({1}), parameters, "\x89", OrderedDict()});
  };
  const std::string half = "G\x3f\xe0" + std::string(6, '\0');
  const std::string per_tensor = TupleOf({Glob("torch", "per_tensor_affine"), half, Num(0)});
  const std::string per_channel =
      TupleOf({Glob("torch", "per_channel_affine"), Floats(), Floats(), Num(0)});
  const auto sparse = [&](const std::string& layout, const std::vector<std::string>& data) {
    return utils(
        "_rebuild_sparse_tensor",
        {CallOf(Glob("torch.serialization", "_get_layout"), {Str(layout)}), TupleOf(data)});
  };
  RunHardCases({
      {"C83 per tensor", quantised("QInt8Storage", per_tensor), Reason::kUnsupported,
       "tensor \"w\": "},
      {"C83 per channel", quantised("QInt8Storage", per_channel), Reason::kUnsupported,
       "tensor \"w\": "},
      {"C84", quantised("QUInt4x2Storage", per_tensor), Reason::kUnsupported, "tensor \"w\": "},
      {"C85", sparse("torch.sparse_coo", {Floats(), Floats(), NumsOf({4})}), Reason::kUnsupported,
       "tensor \"w\": "},
      {"C86", sparse("torch.sparse_csr", {Floats(), Floats(), Floats(), NumsOf({2, 2})}),
       Reason::kUnsupported, "tensor \"w\": "},
  });
}

TEST(HardCases, PickleModules) {
  const std::string parameter =
      CallOf(Glob("torch._utils", "_rebuild_parameter"), {Floats(), "\x88", OrderedDict()});
  const std::string leaf = Module({Str("w"), parameter}, {});
  const std::string net = Module({}, {Str("a"), leaf + "q\7", Str("b"), "h\7"});
  const std::string with_parent =
      Glob("my.code", "Net") + ")\x81q\1" +
      DictOf({Str("_parameters"), DictOf({Str("w"), parameter}), Str("_buffers"), DictOf({}),
              Str("_modules"), DictOf({}), Str("parent"), "h\1"}) +
      "b";
  const std::string own_child =
      Glob("my.code", "Net") + ")\x81q\1" +
      DictOf({Str("_parameters"), DictOf({Str("w"), parameter}), Str("_buffers"), DictOf({}),
              Str("_modules"), DictOf({Str("me"), "h\1"})}) +
      "b";
  RunHardCases({
      {"C92", Object(Module({Str("w"), parameter}, {Str("sub"), leaf})), Reason::kNone,
       "sub.w float32 [4]"},
      {"C92 warning", Object(leaf), Reason::kNone, "1 pickled modules: their state dicts are"},
      {"C93", Object(with_parent), Reason::kNone, kW},
      {"C93 in _modules", Object(own_child), Reason::kMalformed, "contains itself"},
      {"C94", Object(net), Reason::kNone, "b.w float32 [4]"},
      {"C95", Object(DictOf({Str("model"), leaf, Str("ema"), "N", Str("epoch"), Num(3)})),
       Reason::kNone, "model.w float32 [4]"},
  });
}

}  // namespace
}  // namespace ballast

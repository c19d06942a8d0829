// Section E: the old stream, tar, TorchScript, and packages.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/formats/hard_cases/hard_case.h"
#include "tests/formats/pytorch/legacy_testing.h"
#include "tests/formats/pytorch/pickle_testing.h"

namespace ballast {
namespace {

const char kW[] = "w float32 [4] 78787878787878787878787878787878";

template <typename Change>
std::string Legacy(Change change) {
  LegacyParts parts;
  change(parts);
  return parts.File();
}

std::string LegacyObject(const std::string& object) {
  return Legacy([&](LegacyParts& parts) { parts.object = object; });
}

std::string LegacyW(const std::string& storage) {
  return LegacyObject(DictOf({Str("w"), LegacyFloats(storage)}));
}

// A pickle of protocol 4, in one frame.
std::string Framed(const std::string& pickle) {
  return absl::StrCat("\x80\x04\x95", Le(pickle.size() - 2, 8), pickle.substr(2));
}

std::string ScriptObject(const std::string& name, const std::vector<std::string>& attributes) {
  return Glob("__torch__", name) + ")\x81" + DictOf(attributes) + "b";
}

std::string Script(const std::string& root, const std::string& code = "") {
  return TorchZip(Pickled(root),
                  {.more = {{"code/__torch__.py", code}, {"constants.pkl", Pickled(")")}}});
}

std::string OnlyRecord(const std::string& name) { return BuildZip({{name, "x"}}); }

TEST(HardCases, LegacyStreams) {
  const LegacyParts parts;
  const std::string file = parts.File();
  const size_t version = parts.magic.size();
  const size_t system = version + parts.version.size();
  const size_t object = system + parts.system.size();
  const size_t keys = object + Pickled(parts.object).size();
  const size_t data = keys + Pickled(parts.keys).size();
  const auto keys_are = [](const std::vector<std::string>& keys) {
    return Legacy([&](LegacyParts& p) { p.keys = ListOf(keys); });
  };
  const auto numel_is = [](uint64_t numel) {
    return Legacy([&](LegacyParts& p) { p.data = Le(numel, 8) + std::string(16, 'x'); });
  };
  const auto version_is = [](int64_t number) {
    return Legacy([&](LegacyParts& p) { p.version = Pickled(Num(number)); });
  };
  const std::string window =
      V2{.storage = LegacyPid("10", 4, LegacyView("11", 1, 2)), .size = NumsOf({2})}.Call();
  const std::string other_window =
      V2{.storage = LegacyPid("10", 4, LegacyView("11", 2, 2)), .size = NumsOf({2})}.Call();
  RunHardCases({
      {"E1", file, Reason::kNone, kW},
      {"E2 after the magic", file.substr(0, version), Reason::kTruncated, "pickle of the version"},
      {"E2 after the version", file.substr(0, system), Reason::kTruncated, "pickle of the system"},
      {"E2 in sys_info", file.substr(0, system + 5), Reason::kTruncated, "pickle of the system"},
      {"E2 in the object", file.substr(0, object + 9), Reason::kTruncated, "pickle of the object"},
      {"E2 in the keys", file.substr(0, keys + 5), Reason::kTruncated,
       "pickle of the storage keys"},
      {"E2 in the numel", file.substr(0, data + 5), Reason::kTruncated, "the numel of storage 10"},
      {"E2 in the data", file.substr(0, data + 13), Reason::kTruncated, "input ends in storage 10"},
      {"E3 1000", version_is(1000), Reason::kUnsupported, "version is 1000, want 1001"},
      {"E3 1002", version_is(1002), Reason::kUnsupported, "version is 1002, want 1001"},
      {"E4", Legacy([](LegacyParts& p) {
         p.system = Pickled(DictOf({Str("little_endian"), "\x89"}));
       }),
       Reason::kNone, "warning: written on a big-endian machine"},
      {"E5 no dict", Legacy([](LegacyParts& p) { p.system = Pickled("N"); }), Reason::kNone, kW},
      {"E5 no keys", Legacy([](LegacyParts& p) { p.system = Pickled("}"); }), Reason::kNone, kW},
      {"E6", keys_are({Str("10"), Str("11")}), Reason::kMalformed,
       "storage keys list \"11\", which the object does not name"},
      {"E7", keys_are({}), Reason::kMalformed,
       "storage keys do not list 10, which the object names"},
      {"E8", keys_are({Str("10"), Str("10")}), Reason::kMalformed, "storage keys list 10 twice"},
      {"E9 other", numel_is(5), Reason::kMalformed, "numel of storage 10 at byte"},
      {"E9 negative", numel_is(~uint64_t{0}), Reason::kMalformed,
       "is -1, want 4 as the object says"},
      {"E9 2^62", numel_is(uint64_t{1} << 62), Reason::kMalformed, "want 4 as the object says"},
      {"E9 in the object", LegacyW(LegacyPid("10", -4)), Reason::kMalformed, "numel of storage 10"},
      {"E10", LegacyObject(DictOf({Str("w"), window})), Reason::kNone,
       "w float32 [2] 7878787878787878"},
      {"E11", LegacyW(LegacyPid("10", 4, LegacyView("11", 3, 2))), Reason::kMalformed,
       "view of storage 10 ends behind the storage"},
      {"E12", LegacyObject(DictOf({Str("v"), window, Str("w"), other_window})), Reason::kMalformed,
       "view 11 is two different windows"},
      {"E14", file + file, Reason::kMalformed, "a second torch.save was appended to the file"},
      {"E15", Legacy([](LegacyParts& p) {
         p.magic = Framed(p.magic);
         p.version = Framed(p.version);
         p.system = Framed(p.system);
       }),
       Reason::kNone, kW},
      {"E18", Legacy([](LegacyParts& p) {
         const std::string pid = TupleOf({Str("storage"), Glob("torch", "FloatStorage"),
                                          Hex("8a010a"), Str("cpu"), Num(4), "N"}) +
                                 "Q";
         p.object = DictOf({Str("w"), LegacyFloats(pid)});
         p.keys = ListOf({Hex("8a010a")});
       }),
       Reason::kNone, kW},
      {"E34", parts.magic, Reason::kTruncated, "legacy stream: pickle of the version at byte 15"},
      {"E35 LONG4",
       "\x80\x02\x8b" + Le(10, 4) + Hex("6cfc9c46f9206aa85019") + "." + file.substr(version),
       Reason::kUnsupported, "bare pickle"},
      {"E35 INT", "\x80\x02I119547037146038801333356\n." + file.substr(version),
       Reason::kUnsupported, "bare pickle"},
      {"E35 LONG", "\x80\x02L119547037146038801333356L\n." + file.substr(version),
       Reason::kUnsupported, "bare pickle"},
      {"E35 BININT", "\x80\x02J" + Le(0x6cfc9c46, 4) + "." + file.substr(version),
       Reason::kUnsupported, "bare pickle"},
  });
}

TEST(HardCases, LegacyStorages) {
  constexpr int64_t kBig = int64_t{5} << 30;
  LegacyParts big;
  big.object = DictOf({Str("w"), V2{.storage = LegacyPid("10", kBig, "N", "ByteStorage")}.Call()});
  big.data = Le(kBig, 8);
  SparseFile five_gib;
  five_gib.Bytes(big.File()).Zeros(kBig);
  const auto typed = [](const std::string& storage_class, size_t element_bytes) {
    return Legacy([&](LegacyParts& parts) {
      parts.object = DictOf({Str("w"), LegacyFloats(LegacyPid("10", 4, "N", storage_class))});
      parts.data = LegacyData(std::string(4 * element_bytes, 'x'), element_bytes);
    });
  };
  RunHardCases({
      {"E16 BFloat16Storage", typed("BFloat16Storage", 2), Reason::kNone,
       "w bfloat16 [4] 7878787878787878"},
      {"E16 ComplexFloatStorage", typed("ComplexFloatStorage", 8), Reason::kNone,
       "w complex64 [4] 7878787878787878"},
      {"E19", five_gib, Reason::kNone, "5368709120 bytes stored, 4 used"},
  });
}

TEST(HardCases, LegacyModules) {
  const std::string id = TupleOf({Str("module"), Glob("my.code", "Net"), Str("net.py"),
                                  Str("import os; os.system('id')")}) +
                         "Q";
  const std::string module = id + ")\x81" +
                             DictOf({Str("_parameters"), DictOf({Str("w"), LegacyFloats()}),
                                     Str("_buffers"), DictOf({}), Str("_modules"), DictOf({})}) +
                             "b";
  RunHardCases({{"E13", LegacyObject(module), Reason::kNone, kW}});
}

TEST(HardCases, Tars) {
  const auto with = [](const TarPart& part) {
    std::vector<TarPart> members = TarParts().Members();
    members.push_back(part);
    return TarOf(members);
  };
  RunHardCases({
      {"E20", TarParts().File(), Reason::kNone,
       "w float32 [2, 2] 30313233343536373839616263646566"},
      {"E21 traversal", with({.name = "../../.ssh/authorized_keys", .data = "x"}), Reason::kUnsafe,
       "name of a member is ../../.ssh/authorized_keys, want one inside the folder"},
      {"E21 absolute", with({.name = "/etc/passwd", .data = "x"}), Reason::kUnsafe, "/etc/passwd"},
      {"E21 symlink", with({.name = "tensors2", .data = "", .type = '2'}), Reason::kUnsafe,
       "member tensors2 is a link or a device"},
      {"E21 hard link", with({.name = "x", .data = "", .type = '1'}), Reason::kUnsafe, "is a link"},
      {"E21 device", with({.name = "x", .data = "", .type = '3'}), Reason::kUnsafe, "or a device"},
      {"E23", TarOf({{.name = "model_config.yaml", .data = "x"}, {.name = "m.ckpt", .data = "x"}}),
       Reason::kWrongFormat, "if it holds a weight file, unpack it first"},
  });
}

TEST(HardCases, TorchScript) {
  const std::string linear =
      ScriptObject("Linear", {Str("weight"), Floats(), Str("training"), "\x88"});
  const std::string net = ScriptObject("Net", {Str("fc"), linear, Str("w"), Floats()});
  RunHardCases({
      {"E24", Script(net), Reason::kNone, "torchscript; fc.weight float32 [4]"},
      {"E25", Script(net, "import os\nos.system('id')\n"), Reason::kNone, kW},
      {"E26", Script(DictOf({Str("w"), Floats()})), Reason::kUnsafe,
       "record constants.pkl stands beside a data.pkl that holds a value of type dict"},
      {"E27", OnlyRecord("m/model.json"), Reason::kUnsupported,
       "a TorchScript archive of torch 1.0-1.3, which is not read"},
      {"E28", Script(ScriptObject("Module", {Str("0"), Floats()})), Reason::kNone, "0 float32 [4]"},
  });
}

TEST(HardCases, OtherPackages) {
  const std::string nested = "B" + Le(3, 4) + "abc";
  const std::string arrays =
      DictOf({Str("w"), CallOf(Glob("numpy.core.multiarray", "_reconstruct"),
                               {Glob("numpy", "ndarray"), NumsOf({0}), "C\1b"})});
  RunHardCases({
      {"E29 package", OnlyRecord("p/.data/extern_modules"), Reason::kWrongFormat, "torch.package"},
      {"E29 mar", OnlyRecord("MAR-INF/MANIFEST.json"), Reason::kWrongFormat, "TorchServe archive"},
      {"E29 pt2", OnlyRecord("p/archive_format"), Reason::kWrongFormat, "torch.export archive"},
      {"E29 pt2 of torch 2.11", BuildZip({{"p/models/model.json", "x"}, {"p/archive_format", "x"}}),
       Reason::kWrongFormat, "torch.export archive"},
      {"E29 ptl", OnlyRecord("p/bytecode.pkl"), Reason::kWrongFormat, "PyTorch Mobile"},
      {"E30", "PYTORCH1" + std::string(100, '\0'), Reason::kUnsupported,
       "a container of the PyTorch 1.0 preview, which is obsolete and not read"},
      {"E31 no tensor",
       Pickled(DictOf({Str("w"), CallOf(Glob("torch.storage", "_load_from_bytes"), {nested})})),
       Reason::kWrongFormat, "a bare pickle without torch tensors"},
      {"E32 sklearn", Pickled(Glob("sklearn.linear_model", "LinearRegression") + ")\x81}b"),
       Reason::kWrongFormat, "a pickle of scikit-learn or joblib"},
      {"E32 joblib", Pickled(Glob("joblib.numpy_pickle", "NumpyArrayWrapper") + ")\x81}b"),
       Reason::kWrongFormat, "a pickle of scikit-learn or joblib"},
      {"E33", Pickled(arrays), Reason::kWrongFormat, "a pickle of NumPy arrays, want a state dict"},
  });
}

// row E22: what a file is called is never looked at; readers get bytes.
TEST(HardCases, TarByNameOnly) {
  RunHardCases({
      {"E22 zip", TorchZip(Pickled(DictOf({Str("w"), Floats()}))), Reason::kNone, "pytorch; w"},
      {"E22 stream", LegacyParts().File(), Reason::kNone, "pytorch-legacy; w"},
  });
}

}  // namespace
}  // namespace ballast

// What comes out of a file of torch.save, and what is refused.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/formats/pytorch_reader.h"
#include "tests/formats/formats_testing.h"
#include "tests/formats/pytorch/pickle_testing.h"

namespace ballast {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::StatusOr<SourceStateDict> ReadZip(const std::string& file, const Limits& limits = Limits()) {
  StringSource source(file);
  return ReadPyTorch(source, limits);
}

absl::StatusOr<SourceStateDict> ReadObject(const std::string& object,
                                           const TorchZipOptions& options = {},
                                           const Limits& limits = Limits()) {
  return ReadZip(TorchZip(Pickled(object), options), limits);
}

std::vector<std::string> Keys(const absl::StatusOr<SourceStateDict>& dict) {
  if (!dict.ok()) return {std::string(dict.status().message())};
  std::vector<std::string> out;
  for (const SourceEntry& entry : dict->entries) out.push_back(entry.spec.key);
  return out;
}

std::string Leaf(const SourceLeaf& leaf) {
  return absl::StrCat(leaf.path, ":", leaf.type, "=", leaf.json,
                      leaf.text.empty() ? "" : "| " + leaf.text);
}

// A class of ours, with BUILD state.
std::string Instance(const std::string& name, const std::string& state) {
  return Glob("my.code", name) + ")\x81" + state + "b";
}

std::string Module(const std::vector<std::string>& parameters,
                   const std::vector<std::string>& buffers, const std::vector<std::string>& modules,
                   const std::vector<std::string>& more = {}) {
  std::vector<std::string> state = {Str("_parameters"), DictOf(parameters), Str("_buffers"),
                                    DictOf(buffers),    Str("_modules"),    DictOf(modules)};
  state.insert(state.end(), more.begin(), more.end());
  return Instance("Net", DictOf(state));
}

std::string Parameter() {
  return CallOf(Glob("torch._utils", "_rebuild_parameter"), {Floats(), "\x88", OrderedDict()});
}

TEST(PyTorchReader, JoinsNamesOfContainers) {
  const std::string inner = DictOf({Str("w"), Floats(), Num(7), Floats()});
  EXPECT_THAT(Keys(ReadObject(DictOf({Str("a"), Floats(), Str("b"), inner}))),
              ElementsAre("a", "b.w", "b.7"));
  EXPECT_THAT(Keys(ReadObject(ListOf({Floats(), TupleOf({Floats(), Floats()})}))),
              ElementsAre("0", "1.0", "1.1"));
  EXPECT_THAT(Keys(ReadObject(Floats())), ElementsAre(""));
  EXPECT_THAT(Keys(ReadObject(DictOf({}))), ElementsAre());
  EXPECT_THAT(Keys(ReadObject(OrderedDict() + "(" + Str("w") + Floats() + "u")), ElementsAre("w"));
  const std::string attribute_dict = Glob("lightning", "AttributeDict") + ")\x81";
  EXPECT_THAT(Keys(ReadObject(attribute_dict + Str("w") + Floats() + "s")), ElementsAre("w"));
}

TEST(PyTorchReader, FindsWhatStateDictOfAModuleGives) {
  const std::string child = Module({Str("weight"), Parameter(), Str("bias"), "N"}, {}, {});
  const std::string module =
      Module({Str("p"), Parameter()}, {Str("b"), Floats(), Str("tmp"), Floats()},
             {Str("sub"), child, Str("none"), "N"},
             {Str("_non_persistent_buffers_set"),
              CallOf(Glob("__builtin__", "set"), {ListOf({Str("tmp")})}), Str("cache"), Floats()});
  const auto dict = ReadObject(DictOf({Str("net"), module}));
  EXPECT_THAT(Keys(dict), ElementsAre("net.p", "net.b", "net.sub.weight"));
  EXPECT_EQ(dict->entries[0].spec.kind, Kind::kParameter);
  EXPECT_EQ(dict->entries[1].spec.kind, Kind::kBuffer);
  EXPECT_EQ(dict->entries[2].spec.kind, Kind::kParameter);
  EXPECT_THAT(dict->warnings, Contains(HasSubstr("2 pickled modules")));
  EXPECT_THAT(dict->warnings, Contains(HasSubstr("2 tensors inside other objects")));
}

TEST(PyTorchReader, GivesTheRestOfACheckpointAnotherRole) {
  const std::string optimizer =
      DictOf({Str("state"), DictOf({Num(0), DictOf({Str("m"), Floats()})}), Str("param_groups"),
              ListOf({})});
  const auto dict =
      ReadObject(DictOf({Str("state_dict"), DictOf({Str("w"), Floats()}), Str("optimizer_states"),
                         ListOf({optimizer}), Str("opt_d"), optimizer, Str("callbacks"),
                         DictOf({Str("best"), Floats()}), Str("scaler"), Floats()}));
  EXPECT_THAT(Keys(dict), ElementsAre("state_dict.w", "optimizer_states.0.state.0.m",
                                      "opt_d.state.0.m", "callbacks.best", "scaler"));
  const std::vector<Role> want = {Role::kWeights, Role::kOther, Role::kOther, Role::kOther,
                                  Role::kWeights};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(dict->entries[i].spec.role, want[i]) << i;
}

TEST(PyTorchReader, ReportsLeaves) {
  const auto dict = ReadObject(DictOf(
      {Str("w"), Floats(), Str("epoch"), Num(3), Str("lr"), std::string("G\x3f\xf8\0\0\0\0\0\0", 9),
       Str("none"), "N", Str("name"), Str("x\"y"), Str("nested"), ListOf({Num(1), "\x88"}),
       Str("empty"), DictOf({}), Str("args"), Instance("Namespace", DictOf({Str("t"), Floats()})),
       Str("dtype"), Glob("torch", "float32")}));
  ASSERT_TRUE(dict.ok()) << dict.status();
  std::vector<std::string> leaves;
  for (const SourceLeaf& leaf : dict->leaves) leaves.push_back(Leaf(leaf));
  EXPECT_THAT(leaves, ElementsAre("epoch:int=3", "lr:float=1.5", "none:NoneType=null",
                                  "name:str=\"x\\\"y\"", "nested:list=[1,true]", "empty:dict={}",
                                  HasSubstr("args:my.code.Namespace=| my.code.Namespace(t=torch"),
                                  "dtype:torch.dtype=\"torch.float32\""));
}

TEST(PyTorchReader, WalksListsThatAreNoJson) {
  const std::string nan("G\x7f\xf8\0\0\0\0\0\0", 9);
  const std::string text = Str(std::string(40'000, 'a'));
  const auto dict = ReadObject(
      DictOf({Str("w"), Floats(), Str("plain"), TupleOf({Num(1), "N", Str("x")}), Str("mixed"),
              ListOf({Num(1), nan}), Str("deep"), ListOf({ListOf({Num(1)}), Num(2)}), Str("long"),
              ListOf({text, text}), Str("tensors"), ListOf({Num(1), Floats()})}));
  ASSERT_TRUE(dict.ok()) << dict.status();
  std::vector<std::string> leaves;
  for (const SourceLeaf& leaf : dict->leaves) leaves.push_back(Leaf(leaf).substr(0, 40));
  EXPECT_THAT(leaves,
              ElementsAre("plain:tuple=[1,null,\"x\"]", "mixed.0:int=1", "mixed.1:float=| nan",
                          "deep.0:list=[1]", "deep.1:int=2", StartsWith("long.0:str=\"aaa"),
                          StartsWith("long.1:str=\"aaa"), "tensors.0:int=1"));
}

// One long value without JSON form, met very often: the work counts, found or not.
TEST(PyTorchReader, BoundsTheWorkOnLeaves) {
  const std::string nan("G\x7f\xf8\0\0\0\0\0\0", 9);
  std::string object = "](" + ListOf({Str(std::string(60'000, 'x')), nan}) + "q\1";
  for (int i = 0; i < 2'000'000; ++i) object += "h\1";
  const auto dict = ReadObject(DictOf({Str("w"), Floats(), Str("many"), object + "e"}));
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_LT(dict->leaves.size(), 1000u);
  EXPECT_THAT(dict->warnings, Contains(HasSubstr("more values that are no tensors")));
}

TEST(PyTorchReader, KeepsMetadataOfNestedDicts) {
  const auto with_metadata = [](const std::string& items) {
    const std::string metadata = OrderedDict() + Str("") + DictOf({Str("version"), Num(1)}) + "s" +
                                 Str("bn") + DictOf({Str("version"), Num(2)}) + "s";
    return OrderedDict() + items + DictOf({Str("_metadata"), metadata}) + "b";
  };
  EXPECT_EQ(ReadObject(with_metadata(""))->metadata_json,
            R"({"":{"version":1},"bn":{"version":2}})");
  EXPECT_EQ(
      ReadObject(DictOf({Str("model"), with_metadata(Str("w") + Floats() + "s")}))->metadata_json,
      R"({"model":{"version":1},"model.bn":{"version":2}})");
}

TEST(PyTorchReader, ListsGlobals) {
  const auto dict = ReadObject(DictOf({Str("w"), Floats(), Str("a"), Instance("A", DictOf({}))}));
  ASSERT_TRUE(dict.ok()) << dict.status();
  std::vector<std::string> globals;
  for (const SourceGlobal& global : dict->globals) {
    globals.push_back(global.name + " " + global.verdict);
  }
  EXPECT_THAT(globals,
              ElementsAre("torch._utils._rebuild_tensor_v2 allowed", "torch.FloatStorage inert",
                          "collections.OrderedDict allowed", "my.code.A inert"));
}

TEST(PyTorchReader, ReadsEveryWayToRebuildATensor) {
  const std::string v1 = CallOf(Glob("torch._utils", "_rebuild_tensor"),
                                {V2().storage, Num(0), NumsOf({4}), NumsOf({1})});
  const std::string with_state =
      CallOf(Glob("torch._utils", "_rebuild_parameter_with_state"),
             {Floats(), "\x88", OrderedDict(), DictOf({Str("x"), Num(1)})});
  const std::string from_type =
      CallOf(Glob("torch._tensor", "_rebuild_from_type_v2"),
             {Glob("torch._utils", "_rebuild_tensor_v2"), Glob("torch.nn.parameter", "Parameter"),
              TupleOf({V2().storage, Num(0), NumsOf({4}), NumsOf({1}), "\x89", OrderedDict()}),
              DictOf({})});
  const std::string v3 =
      CallOf(Glob("torch._utils", "_rebuild_tensor_v3"),
             {StoragePid("UntypedStorage", "0", 16, "torch.storage"), Num(1), NumsOf({2, 3}),
              NumsOf({3, 1}), "\x89", OrderedDict(), Glob("torch", "uint16")});
  const std::string oldest = Glob("torch.cuda", "FloatTensor") + ")R" +
                             TupleOf({V2().storage, Num(0), NumsOf({4}), NumsOf({1})}) + "b";
  const std::string old_parameter = CallOf(Glob("torch.nn.parameter", "Parameter"), {oldest}) +
                                    TupleOf({"\x88", "\x89", "N"}) + "b";
  const std::string size_object = V2{.size = CallOf(Glob("torch", "Size"), {NumsOf({4})})}.Call();
  for (const std::string& tensor : {v1, Floats(), size_object, oldest}) {
    const auto dict = ReadObject(DictOf({Str("w"), tensor}));
    ASSERT_TRUE(dict.ok()) << dict.status();
    EXPECT_EQ(dict->entries[0].spec, (TensorSpec{"w", DType::kFloat32, {4}}));
  }
  for (const std::string& tensor : {Parameter(), with_state, from_type, old_parameter}) {
    const auto dict = ReadObject(DictOf({Str("w"), tensor}));
    ASSERT_TRUE(dict.ok()) << dict.status();
    EXPECT_EQ(dict->entries[0].spec, (TensorSpec{"w", DType::kFloat32, {4}, Kind::kParameter}));
  }
  const auto dict = ReadObject(DictOf({Str("w"), v3}));
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->entries[0].spec, (TensorSpec{"w", DType::kUint16, {2, 3}}));
  EXPECT_EQ(dict->entries[0].offset_bytes, 2u);
}

TEST(PyTorchReader, ReadsViewsAndLazyBits) {
  const std::string pid = StoragePid("FloatStorage", "0", 4);
  const auto read = [&](int64_t offset, std::vector<int64_t> size, std::vector<int64_t> stride) {
    return ReadObject(DictOf(
        {Str("w"),
         V2{.storage = pid, .offset = Num(offset), .size = NumsOf(size), .stride = NumsOf(stride)}
             .Call()}));
  };
  EXPECT_TRUE(read(0, {2, 2}, {2, 1})->entries[0].strides.empty());
  EXPECT_EQ(read(0, {2, 2}, {1, 2})->entries[0].strides, (Shape{1, 2}));
  EXPECT_EQ(read(3, {}, {})->entries[0].offset_bytes, 12u);
  EXPECT_TRUE(read(1, {1, 3}, {999999999, 1})->entries[0].strides.empty());
  EXPECT_EQ(read(0, {1000, 4}, {0, 1})->entries[0].strides, (Shape{0, 1}));
  EXPECT_EQ(read(0, {3, 2}, {1, 1})->entries[0].strides, (Shape{1, 1}));
  EXPECT_EQ(read(99, {0, 3}, {3, 1})->entries[0].offset_bytes, 0u);
  EXPECT_THAT(read(1, {2}, {1})->warnings, Contains(HasSubstr("16 bytes stored, 8 used")));
  const auto negative =
      ReadObject(DictOf({Str("w"), V2{.more = {DictOf({Str("neg"), "\x88"})}}.Call()}));
  EXPECT_TRUE(negative->entries[0].negative);
  EXPECT_FALSE(negative->entries[0].conjugate);
  const auto conjugate =
      ReadObject(DictOf({Str("w"), V2{.storage = StoragePid("ComplexFloatStorage", "0", 2),
                                      .size = NumsOf({2}),
                                      .more = {DictOf({Str("conj"), "\x88"})}}
                                       .Call()}));
  EXPECT_TRUE(conjugate->entries[0].conjugate);
}

TEST(PyTorchReader, TiesSharedStoragesOnly) {
  const auto dict = ReadObject(
      DictOf({Str("a"), Floats(), Str("b"), V2{.size = NumsOf({2})}.Call(), Str("c"), Floats()}));
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_THAT(dict->ties, ElementsAre(ElementsAre(0u, 2u)));
  EXPECT_EQ(dict->storages.size(), 1u);
}

struct BadTensor {
  std::string name;
  std::string tensor;
  Reason reason;
  std::string part;
};

TEST(PyTorchReader, RefusesTensorsNamingTheKey) {
  const std::string untyped = StoragePid("UntypedStorage", "0", 16, "torch.storage");
  const auto v3 = [&](const std::string& dtype) {
    return CallOf(Glob("torch._utils", "_rebuild_tensor_v3"),
                  {untyped, Num(0), NumsOf({4}), NumsOf({1}), "\x89", OrderedDict(), dtype});
  };
  const auto pid = [](const std::vector<std::string>& items) {
    return V2{.storage = TupleOf(items) + "Q"}.Call();
  };
  const std::string floats = Glob("torch", "FloatStorage");
  const std::vector<BadTensor> table = {
      {"negative dim", V2{.size = NumsOf({-4})}.Call(), Reason::kMalformed, "size is -4"},
      {"negative stride", V2{.stride = NumsOf({-1})}.Call(), Reason::kMalformed, "stride is -1"},
      {"negative offset", V2{.offset = Num(-1)}.Call(), Reason::kMalformed, "offset is -1"},
      {"bool as dim", V2{.size = "\x88\x85"}.Call(), Reason::kMalformed, "type bool"},
      {"float as dim", V2{.size = std::string("G\0\0\0\0\0\0\0\0\x85", 10)}.Call(),
       Reason::kMalformed, "type float"},
      {"string as size", V2{.size = Str("4")}.Call(), Reason::kMalformed, "type str"},
      {"other rank of strides", V2{.stride = NumsOf({1, 1})}.Call(), Reason::kMalformed, "strides"},
      {"one beyond the storage", V2{.size = NumsOf({5})}.Call(), Reason::kMalformed,
       "behind its storage"},
      {"offset beyond the storage", V2{.offset = Num(1)}.Call(), Reason::kMalformed,
       "behind its storage"},
      {"stride overflow", V2{.size = NumsOf({3}), .stride = NumsOf({INT64_MAX})}.Call(),
       Reason::kMalformed, "behind its storage"},
      {"offset overflow", V2{.offset = Num(INT64_MAX), .size = NumsOf({1})}.Call(),
       Reason::kMalformed, "behind its storage"},
      {"size overflow",
       V2{.size = NumsOf({int64_t{1} << 40, int64_t{1} << 40}), .stride = NumsOf({0, 0})}.Call(),
       Reason::kLimit, "2^63"},
      {"tensor too large", V2{.size = NumsOf({int64_t{1} << 40}), .stride = NumsOf({0})}.Call(),
       Reason::kLimit, "tensor_bytes_max"},
      {"too many dims",
       V2{.size = NumsOf(std::vector<int64_t>(65, 1)),
          .stride = NumsOf(std::vector<int64_t>(65, 1))}
           .Call(),
       Reason::kLimit, "dims_max"},
      {"too few arguments", CallOf(V2().function, {V2().storage, Num(0), NumsOf({4})}),
       Reason::kMalformed, "3 arguments"},
      {"too many arguments", V2{.more = {"N", "N"}}.Call(), Reason::kMalformed, "8 arguments"},
      {"hooks", V2{.hooks = DictOf({Num(0), Num(1)})}.Call(), Reason::kUnsupported, "hooks"},
      {"other metadata", V2{.more = {DictOf({Str("x"), "\x88"})}}.Call(), Reason::kUnsupported,
       "metadata"},
      {"conj of real numbers", V2{.more = {DictOf({Str("conj"), "\x88"})}}.Call(),
       Reason::kMalformed, "conj"},
      {"requires_grad no bool", V2{.grad = Num(0)}.Call(), Reason::kMalformed, "requires_grad"},
      {"storage no pid", V2{.storage = Num(0)}.Call(), Reason::kMalformed, "persistent id"},
      {"pid too short", pid({Str("storage"), floats, Str("0")}), Reason::kMalformed,
       "persistent id"},
      {"pid of a module", pid({Str("module"), floats, Str("0"), Str("cpu"), Num(4)}),
       Reason::kMalformed, "persistent id"},
      {"path as key", pid({Str("storage"), floats, Str("../0"), Str("cpu"), Num(4)}),
       Reason::kUnsafe, "storage key"},
      {"empty key", pid({Str("storage"), floats, Str(""), Str("cpu"), Num(4)}), Reason::kUnsafe,
       "storage key"},
      {"negative numel", pid({Str("storage"), floats, Str("0"), Str("cpu"), Num(-4)}),
       Reason::kMalformed, "numel"},
      {"on meta", pid({Str("storage"), floats, Str("0"), Str("meta"), Num(4)}),
       Reason::kUnsupported, "meta"},
      {"no such class", V2{.storage = StoragePid("FooStorage", "0", 4)}.Call(),
       Reason::kUnsupported, "torch.FooStorage"},
      {"quantised", V2{.storage = StoragePid("QInt8Storage", "0", 16)}.Call(), Reason::kUnsupported,
       "qint8"},
      {"v2 untyped", V2{.storage = untyped}.Call(), Reason::kMalformed, "untyped"},
      {"record missing", V2{.storage = StoragePid("FloatStorage", "7", 4)}.Call(),
       Reason::kMalformed, "data/7 is missing"},
      {"record longer",
       V2{.storage = StoragePid("FloatStorage", "0", 3), .size = NumsOf({1})}.Call(),
       Reason::kMalformed, "16 bytes long, want 12"},
      {"record shorter", V2{.storage = StoragePid("FloatStorage", "0", 5)}.Call(),
       Reason::kMalformed, "16 bytes long, want 20"},
      {"dtype unknown", v3(Glob("torch", "bits8")), Reason::kUnsupported, "bits8"},
      {"dtype no global", v3(Str("uint8")), Reason::kMalformed, "dtype"},
      {"dtype of another module", v3(Glob("numpy", "uint8")), Reason::kMalformed, "dtype"},
      {"sparse",
       CallOf(Glob("torch._utils", "_rebuild_sparse_tensor"),
              {CallOf(Glob("torch.serialization", "_get_layout"), {Str("torch.sparse_coo")}),
               TupleOf({})}),
       Reason::kUnsupported,
       "rebuilt by torch._utils._rebuild_sparse_tensor (sparse: torch.sparse_coo), want a plain "
       "dense tensor; save t.to_dense()"},
      {"sparse CSR", CallOf(Glob("torch._utils", "_rebuild_sparse_csr_tensor"), {Num(0)}),
       Reason::kUnsupported, "_rebuild_sparse_csr_tensor (sparse: 0), want"},
      {"quantised",
       CallOf(Glob("torch._utils", "_rebuild_qtensor"),
              {StoragePid("QInt8Storage", "0", 16), Num(0), NumsOf({16}), NumsOf({1}),
               TupleOf({Glob("torch", "per_tensor_affine"), std::string("G\x3f\xf8\0\0\0\0\0\0", 9),
                        Num(3)}),
               "\x89", OrderedDict()}),
       Reason::kUnsupported,
       "(quantised: (torch.per_tensor_affine, 1.5, 3)), want a plain dense tensor; save "
       "t.dequantize(), or t.int_repr() with scale and zero point beside it"},
      {"quantised without arguments", CallOf(Glob("torch._utils", "_rebuild_qtensor"), {}),
       Reason::kUnsupported, "_rebuild_qtensor (quantised), want"},
      {"nested", CallOf(Glob("torch._utils", "_rebuild_nested_tensor"), {Floats()}),
       Reason::kUnsupported, "(nested), want a plain dense tensor; save torch.nested.to_padded"},
      {"meta", CallOf(Glob("torch._utils", "_rebuild_meta_tensor_no_storage"), {}),
       Reason::kUnsupported, "(on device meta, without data), want a plain dense tensor; save it"},
      {"wrapper",
       CallOf(Glob("torch._utils", "_rebuild_wrapper_subclass"), {Glob("torchao", "Int4")}),
       Reason::kUnsupported, "(a wrapper around other tensors: torchao.Int4), want"},
      {"wrapper of a type",
       CallOf(Glob("torch._tensor", "_rebuild_from_type_v2"),
              {Glob("torch._utils", "_rebuild_wrapper_subclass"), Glob("torchao", "Int4"),
               TupleOf({Glob("torchao", "Int4")}), "N"}),
       Reason::kUnsupported, "save t.dequantize(), t.full_tensor()"},
      {"device as numpy",
       CallOf(Glob("torch._utils", "_rebuild_device_tensor_from_numpy"), {Num(0)}),
       Reason::kUnsupported, "save t.cpu()"},
      {"uninitialised", CallOf(Glob("torch.nn.parameter", "UninitializedParameter"), {}),
       Reason::kUnsupported, "(not initialised), want a plain dense tensor; save it once the"},
      {"shard",
       Glob("torch.distributed._shard.sharded_tensor.api", "ShardedTensor") + ")\x81" + DictOf({}) +
           "b",
       Reason::kUnsupported, "(one shard of a tensor), want a plain dense tensor; save the full"},
      {"subclass",
       CallOf(Glob("torch._tensor", "_rebuild_from_type_v2"),
              {V2().function, Glob("torchao", "Quantized"), TupleOf({}), "N"}),
       Reason::kUnsupported,
       "of class torchao.Quantized, want a plain tensor; save t.as_subclass(torch.Tensor)"},
  };
  for (const BadTensor& row : table) {
    const auto dict = ReadObject(DictOf({Str("some.key"), row.tensor}));
    EXPECT_TRUE(FailsWith(dict.status(), row.reason, row.part)) << row.name;
    EXPECT_TRUE(FailsWith(dict.status(), row.reason, "\"some.key\"")) << row.name;
  }
}

TEST(PyTorchReader, RefusesStorageNamedWithTwoSizes) {
  const std::string halves =
      V2{.storage = StoragePid("HalfStorage", "0", 8), .size = NumsOf({8})}.Call();
  EXPECT_TRUE(FailsWith(ReadObject(DictOf({Str("a"), Floats(), Str("b"), halves})).status(),
                        Reason::kMalformed, "named twice"));
}

TEST(PyTorchReader, RefusesKeys) {
  struct Row {
    std::string object;
    Reason reason;
    std::string part;
  };
  const std::vector<Row> table = {
      {DictOf({Str("a"), Floats(), Str("a"), Floats()}), Reason::kMalformed, "twice"},
      {DictOf({Str("a"), Floats(), Str("a"), "N"}), Reason::kMalformed, "twice"},
      {DictOf({Str("a.b"), Floats(), Str("a"), DictOf({Str("b"), Floats()})}), Reason::kAmbiguous,
       "\"a.b\""},
      {DictOf({Num(1), Floats(), Str("1"), Floats()}), Reason::kAmbiguous, "\"1\""},
      {DictOf({TupleOf({Num(1)}), Floats()}), Reason::kUnsupported, "without text form"},
      {DictOf({Str("a\nb"), Floats()}), Reason::kMalformed, "control character"},
      {DictOf({Str("\xff"), Floats()}), Reason::kMalformed, "UTF-8"},
      {DictOf({Str("\xed\xa0\x80"), Floats()}), Reason::kUnsupported, "surrogate"},
      {DictOf({Str(std::string(4097, 'k')), Floats()}), Reason::kLimit, "key_bytes_max"},
      {"}q\1" + Str("self") + "h\1s", Reason::kMalformed, "contains itself"},
      {Num(3), Reason::kUnsupported, "type int"},
      {Instance("A", DictOf({})), Reason::kUnsupported, "my.code.A"},
  };
  for (const Row& row : table) {
    EXPECT_TRUE(FailsWith(ReadObject(row.object).status(), row.reason, row.part))
        << Printable(row.object);
  }
  EXPECT_THAT(Keys(ReadObject(DictOf({Str(""), Floats(), Str("größe"), Floats()}))),
              ElementsAre("", "größe"));
}

TEST(PyTorchReader, BoundsTheWalk) {
  std::string deep = "N";
  for (int i = 0; i < 2000; ++i) deep = "]" + deep + "a";
  EXPECT_TRUE(FailsWith(ReadObject(deep).status(), Reason::kLimit, "pickle_depth_max"));
  // Ten references to the list before, many times over.
  std::string laughs = "](NNe";
  for (int i = 0; i < 30; ++i) {
    laughs += std::string("q") + static_cast<char>(i) + "0](";
    for (int k = 0; k < 10; ++k) laughs += std::string("h") + static_cast<char>(i);
    laughs += "e";
  }
  Limits limits;
  limits.pickle_opcodes_max = 100000;
  EXPECT_TRUE(FailsWith(ReadObject(laughs, {}, limits).status(), Reason::kLimit, "walking"));
  // One object with many attributes, met many times: every meeting searches them.
  std::vector<std::string> attributes;
  for (int i = 0; i < 1000; ++i) attributes.insert(attributes.end(), {Str(absl::StrCat(i)), "N"});
  std::string meetings = "](" + Instance("A", DictOf(attributes)) + "q\1";
  for (int i = 0; i < 100; ++i) meetings += "h\1";
  EXPECT_TRUE(
      FailsWith(ReadObject(meetings + "e", {}, limits).status(), Reason::kLimit, "walking"));
  limits = Limits();
  limits.entries_max = 1;
  EXPECT_TRUE(FailsWith(ReadObject(ListOf({Floats(), Floats()}), {}, limits).status(),
                        Reason::kLimit, "entries_max"));
  limits = Limits();
  limits.materialized_bytes_max = 1000;
  const std::string expanded = V2{.size = NumsOf({1000, 4}), .stride = NumsOf({0, 1})}.Call();
  EXPECT_TRUE(FailsWith(ReadObject(DictOf({Str("w"), expanded}), {}, limits).status(),
                        Reason::kLimit, "materialized_bytes_max"));
}

TEST(PyTorchReader, ChecksTheSmallRecords) {
  const std::string good = Pickled(DictOf({Str("w"), Floats()}));
  const auto with = [&](const std::string& name, const std::string& bytes) {
    return ReadZip(TorchZip(good, {.more = {{name, bytes}}}));
  };
  EXPECT_FALSE(with("byteorder", "little")->storages[0].big_endian);
  EXPECT_TRUE(with("byteorder", "big")->storages[0].big_endian);
  for (const std::string& bad : std::vector<std::string>{"middle", "little\n", ""}) {
    EXPECT_TRUE(FailsWith(with("byteorder", bad).status(), Reason::kMalformed, "byteorder"));
  }
  const auto version = [&](const std::string& text) {
    return ReadZip(TorchZip(good, {.version = text})).status();
  };
  EXPECT_TRUE(version("3\r\n").ok());
  EXPECT_TRUE(version("10\n").ok());
  EXPECT_TRUE(FailsWith(version("0"), Reason::kUnsupported, "version"));
  EXPECT_TRUE(FailsWith(version("11\n"), Reason::kUnsupported, "version"));
  EXPECT_TRUE(FailsWith(version("abc"), Reason::kMalformed, "version"));
  EXPECT_TRUE(FailsWith(version(std::string(1000, '3')), Reason::kLimit, "version"));
  EXPECT_THAT(ReadZip(TorchZip(good, {.version = ""}))->warnings,
              Contains(HasSubstr("no record version")));
  EXPECT_THAT(with("data/9", "orphan")->warnings, Contains(HasSubstr("data/9")));
  EXPECT_TRUE(with("extra/readme.txt", "ignored").ok());
}

TEST(PyTorchReader, RefusesHiddenAndHostilePickles) {
  const std::string good = Pickled(DictOf({Str("w"), Floats()}));
  EXPECT_TRUE(FailsWith(ReadZip(TorchZip(good + good)).status(), Reason::kUnsafe,
                        "follow the pickle's STOP"));
  EXPECT_TRUE(
      FailsWith(ReadZip(TorchZip(good, {.more = {{"constants.pkl", Pickled(")")}}})).status(),
                Reason::kUnsafe, "constants.pkl"));
  EXPECT_TRUE(FailsWith(ReadObject(CallOf(Glob("posix", "system"), {Str("id")})).status(),
                        Reason::kUnsafe, "data.pkl: byte 2: global is posix.system"));
}

TEST(PyTorchReader, WalksTorchScriptObjects) {
  const auto script = [](const std::string& name, const std::vector<std::string>& attributes) {
    return Glob("__torch__.net", name) + ")\x81" + DictOf(attributes) + "b";
  };
  const std::string child = script("Linear", {Str("weight"), Floats(), Str("training"), "\x88"});
  const std::string root =
      script("Net", {Str("sub"), child, Str("scale"), Floats(), Str("list"), ListOf({Floats()})});
  const auto dict = ReadZip(TorchZip(Pickled(root), {.more = {{"constants.pkl", Pickled(")")}}}));
  EXPECT_THAT(Keys(dict), ElementsAre("sub.weight", "scale"));
  EXPECT_EQ(dict->format, Format::kTorchScript);
  EXPECT_TRUE(FailsWith(
      ReadZip(TorchZip(Pickled(root), {.more = {{"constants.pkl", Pickled(Glob("os", "system"))}}}))
          .status(),
      Reason::kUnsafe, "constants.pkl: byte 2: global is os.system"));
}

TEST(PyTorchReader, NamesOtherZips) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"arr_0.npy", "NumPy"},
      {"model.pth", "checkpoint in it"},
      {"serialized_exported_program.json", "torch.export"},
      {"a/.data/extern_modules", "torch.package"},
      {"MAR-INF/MANIFEST.json", "TorchServe"},
      {"model.weights.h5", "Keras"},
      {"a/whatever", "without data.pkl"},
  };
  for (const auto& [name, part] : table) {
    const std::string file = BuildZip({{.name = name, .data = "x"}});
    EXPECT_TRUE(FailsWith(ReadZip(file).status(), Reason::kWrongFormat, part)) << name;
  }
  EXPECT_TRUE(FailsWith(ReadZip(BuildZip({{"data.pkl", "x"}})).status(), Reason::kMalformed,
                        "in no folder"));
  EXPECT_TRUE(FailsWith(ReadZip(BuildZip({{"a/model.json", "x"}})).status(), Reason::kUnsupported,
                        "TorchScript archive of torch 1.0"));
  EXPECT_TRUE(FailsWith(ReadZip(BuildZip({{"a/data.pkl", Pickled("}")}, {"b/x", "y"}})).status(),
                        Reason::kMalformed, "one folder"));
}

// Flipped bits are caught by CRCs, or change nothing that comes out.
TEST(PyTorchReader, NoFlippedBitGivesOtherTensors) {
  const std::string file = TorchZip(Pickled(DictOf({Str("w"), Floats()})));
  const auto want = ReadAll(file);
  ASSERT_TRUE(want.ok()) << want.status();
  for (size_t i = 0; i < file.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = file;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const auto got = ReadAll(bad, Format::kPyTorch);
      if (!got.ok()) continue;
      ASSERT_EQ(got->size(), 1u) << "byte " << i;
      EXPECT_EQ((*got)[0].spec, (*want)[0].spec) << "byte " << i;
      EXPECT_EQ((*got)[0].bytes, (*want)[0].bytes) << "byte " << i;
    }
  }
}

TEST(PyTorchReader, RefusesEveryTruncation) {
  const std::string file = TorchZip(Pickled(DictOf({Str("w"), Floats()})));
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_TRUE(FailsWith(ReadZip(file.substr(0, size)).status(), Reason::kTruncated, "zip"));
  }
}

}  // namespace
}  // namespace ballast

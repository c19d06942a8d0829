#include "tests/fuzz/seeds.h"

#include "absl/time/time.h"
#include "google/protobuf/message_lite.h"
#include "proto/wire.h"
#include "storage/formats/zip_reader.h"
#include "storage/store/model_record.h"
#include "storage/store/version_record.h"
#include "tests/formats/pytorch/legacy_testing.h"
#include "tests/formats/pytorch/pickle_testing.h"
#include "tests/fuzz/check.h"

namespace ballast::fuzz {
namespace {

using Seeds = std::vector<Seed>;

constexpr size_t kFileBytesMax = 8 << 10;

std::string Behind(char mode, absl::string_view input) {
  return absl::StrCat(std::string(1, mode), input);
}

std::string Sized(absl::string_view text) { return absl::StrCat(Le(text.size(), 2), text); }

// --- whole files, from the writers ---

std::vector<Tensor> EveryDType(Format format) {
  std::vector<Tensor> out;
  for (const DTypeInfo& info : AllDTypes()) {
    if (!FormatHasDType(format, info.dtype)) continue;
    out.push_back(MakeTensor(absl::StrCat("layer.", info.name), info.dtype, {2, 4}));
  }
  return out;
}

void AddWritten(Format format, Seeds* seeds) {
  std::vector<std::vector<Tensor>> dicts = {
      EveryDType(format), {}, {MakeTensor("", DType::kFloat32, {})}};
  dicts.push_back({MakeTensor("a", DType::kInt64, {0, 3}), MakeTensor("b", DType::kBool, {3}),
                   MakeTensor("c", DType::kBool, {3})});
  for (const std::vector<Tensor>& dict : dicts) {
    LayoutInput input = InputOf(dict);
    input.metadata_json = R"({"":{"version":1},"a":{"version":2}})";
    if (dict.size() == 3) input.ties = {{1, 2}};
    const absl::StatusOr<std::string> file = WriteAll(format, dict, input);
    Require(file.ok(), "a seed can be written", file.status().ToString());
    for (Seed& seed : SeedsOfFile(*file)) seeds->push_back(std::move(seed));
  }
}

// --- pickles ---

// Every way to rebuild a tensor, in every container.
std::vector<std::string> Objects() {
  const std::string parameter =
      CallOf(Glob("torch._utils", "_rebuild_parameter"), {Floats(), "\x88", OrderedDict()});
  const std::string view =
      V2{.offset = Num(1), .size = NumsOf({1, 2}), .stride = NumsOf({1, 2})}.Call();
  const std::string complex = V2{
      .storage = StoragePid("ComplexFloatStorage", "1", 4),
      .more = {DictOf(
          {Str("conj"), "\x88"})}}.Call();
  const std::string untyped =
      CallOf(Glob("torch._utils", "_rebuild_tensor_v3"),
             {StoragePid("UntypedStorage", "2", 4, "torch.storage"), Num(0), NumsOf({2}),
              NumsOf({1}), "\x89", OrderedDict(), Glob("torch", "uint16")});
  const std::string module =
      Glob("my", "Net") + ")\x81" +
      DictOf({Str("_parameters"), DictOf({Str("w"), parameter}), Str("_buffers"),
              DictOf({Str("b"), Floats()}), Str("_modules"), DictOf({})}) +
      "b";
  const std::string metadata = OrderedDict() + Str("") + DictOf({Str("version"), Num(1)}) + "s";
  return {
      DictOf({Str("w"), Floats(), Str("v"), Floats()}),
      OrderedDict() + "(" + Str("a.w") + Floats() + "u" + DictOf({Str("_metadata"), metadata}) +
          "b",
      DictOf({Str("view"), view, Str("p"), parameter, Num(7), complex, Str("u"), untyped}),
      ListOf({Floats(), TupleOf({view, Floats()})}),
      module,
      DictOf({Str("epoch"), Num(3), Str("lr"), std::string("G\x3f\xf8\0\0\0\0\0\0", 9),
              Str("state_dict"), DictOf({Str("w"), Floats()}), Str("args"),
              Glob("argparse", "Namespace") + ")\x81" + DictOf({Str("t"), "N"}) + "b"}),
      V2{.storage = StoragePid("BoolStorage", "3", 12),
         .size = NumsOf({3, 4}),
         .stride = NumsOf({1, 3})}
          .Call(),
      DictOf({Str("w"), LegacyFloats(), Str("v"),
              LegacyFloats(LegacyPid("10", 4, LegacyView("11", 1, 2)))}),
  };
}

void AddPickles(Seeds* seeds) {
  for (const std::string& object : Objects()) {
    seeds->push_back({"pickle", Pickled(object)});
    for (const char options : {0, 1, 2, 4, 16, 18}) {
      seeds->push_back({"objects", Behind(options, Pickled(object))});
    }
  }
  const std::string script =
      Glob("__torch__", "Net") + ")\x81" + DictOf({Str("w"), Floats()}) + "b";
  seeds->push_back({"objects", Behind(8, Pickled(script))});
  // Protocols 0, 3, 4 and 5, and opcodes that the others lack.
  seeds->push_back({"pickle", "(dp0\nS'a'\np1\nI1\nsV\\u20ac\np2\n(lp3\nF1.5\naL7L\nags."});
  seeds->push_back({"pickle", Hex("8003 7d 7100 5801000000 61 7101 430278 79 73 2e")});
  seeds->push_back(
      {"pickle", Hex("8004 95 0e00000000000000 7d 94 8c0161 94 8c026f73 94 2832 86 752e")});
  seeds->push_back({"pickle", Hex("8005 8f 28 4b01 4b02 90 2e")});
  seeds->push_back({"pickle", Hex("8002 8a0a6cfc9c46f9206aa850192e")});
}

// --- archives and streams ---

std::string DescribedPart(absl::string_view name, absl::string_view data) {
  return absl::StrCat(Sized(name), Sized(data), Le(0, 1), Le(0, 2), Le(4, 1), Le(0, 2));
}

void AddZips(Seeds* seeds) {
  const std::string pickle = Pickled(DictOf({Str("w"), Floats()}));
  const std::string whole =
      DescribedPart("a/data.pkl", pickle) + DescribedPart("a/data/0", std::string(16, 'x'));
  seeds->push_back({"zip", Behind(1, Behind(0, whole + DescribedPart("a/version", "3\n")))});
  seeds->push_back({"zip", Behind(1, Behind(1, whole))});
  seeds->push_back({"zip", Behind(1, Behind(2, Sized("comment") + whole))});
  TorchZipOptions options;
  options.more = {{"byteorder", "little"}, {".data/serialization_id", "1"}};
  for (Seed& seed : SeedsOfFile(TorchZip(pickle, options))) seeds->push_back(std::move(seed));
  const ZipPart deflated = {
      .name = "a/x", .data = "aaaa", .stored = Hex("4b4c4c0400"), .method = 8};
  const ZipPart described = {.name = "a/y", .data = "bb", .flags = 8};
  const ZipPart without_crc = {.name = "a/z", .data = "cc", .crc = 0};
  for (const bool zip64 : {false, true}) {
    const std::string zip =
        BuildZip({deflated, described, without_crc, {"a/", ""}}, {.zip64 = zip64});
    seeds->push_back({"zip", Behind(0, zip)});
  }
}

void AddOld(Seeds* seeds) {
  seeds->push_back({"legacy", LegacyParts().File()});
  LegacyParts empty;
  empty.object = DictOf({});
  empty.keys = ListOf({});
  empty.data = "";
  seeds->push_back({"legacy", empty.File()});
  const TarParts tar;
  seeds->push_back({"tar", Behind(0, tar.File())});
  seeds->push_back({"tar", Behind(1, tar.File())});
  std::vector<TarPart> members = tar.Members();
  seeds->push_back({"tar", Behind(2, Sized(members[0].data) + Sized(members[1].data) +
                                         Sized(members[2].data) + Sized(members[3].data))});
  members.insert(members.begin(), {"pax", PaxRecord("path", "sys_info"), 'x'});
  seeds->push_back({"tar", Behind(1, TarOf(members))});
  seeds->push_back({"auto", TarOf(members)});
}

void AddTorchSharp(Seeds* seeds) {
  seeds->push_back({"torchsharp", Hex("06 02 0102 0000803f 000000c0")});
  const std::string sgd = Hex("03") + "SGD" + Hex("01 02") + std::string(40, '\0') + Hex("0100") +
                          Hex("01 0600 0000803f") + Hex("00");
  seeds->push_back({"torchsharp", sgd});
  seeds->push_back({"auto", sgd});
}

void AddSafetensors(Seeds* seeds) {
  for (
      const char* json : {
          R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
          R"({"__metadata__":{"format":"pt","ballast.ties":"[[\"a\",\"b\"]]","x":"y"},)"
          R"("a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]},)"
          R"("b":{"dtype":"BOOL","shape":[1],"data_offsets":[1,2]}})",
          R"( {"\u00e9\ud83d\ude00":{"dtype":"F4","shape":[2,4],"data_offsets":[0,4],"more":[1]}} )",
      }) {
    seeds->push_back({"safetensors", Behind(1, json)});
  }
}

void AddDeflated(Seeds* seeds) {
  seeds->push_back({"inflate", Le(4, 2) + Hex("4b4c4c0400")});
  seeds->push_back({"inflate", Le(5, 2) + Hex("01 0500 faff") + "hello"});
  seeds->push_back({"inflate", Le(0, 2) + Hex("0300")});
  seeds->push_back({"inflate", Le(1000, 2) + Hex("4b4c1c05a360140c770000")});
}

// --- texts ---

void AddTexts(Seeds* seeds) {
  const std::string zero(1, '\0');
  const std::string net =
      R"({"ballast_schema":1,"entries":[{"key":"fc1.weight","dtype":"float32","shape":[10,"in"],)"
      R"("kind":"parameter","optional":false},{"key":"fc1.bias","shape":[-1]},)"
      R"({"key":"bn.num_batches_tracked","dtype":"int64","shape":[],"optional":true}]})";
  const std::string wrapped =
      R"({"ballast_schema":1,"entries":[{"key":"module.fc1.weight","dtype":"float32","shape":[10,4]},)"
      R"({"key":"module.fc1.bias","dtype":"float64","shape":[10]},)"
      R"({"key":"module.bn.num_batches_tracked","dtype":"int64","shape":[1]}]})";
  seeds->push_back({"schema", net});
  seeds->push_back({"schema", net + zero + wrapped});
  seeds->push_back({"schema", wrapped + zero + net});
  seeds->push_back(
      {"names", "team/net\nteam/net:12\nm@prod\nm:latest\nM\nm@sha256:" + std::string(64, 'a')});
  seeds->push_back(
      {"names", "kmodel.a.w\nkmodel.b\nksteps\nsmodel\ni*.w\ne?\nr(.*)\\.w=\\1.weight"});
  seeds->push_back({"names", "ka.0\nka.1\nra\\.(\\d)=b.\\1\nrb=c"});
}

void AddShards(Seeds* seeds) {
  const std::string index =
      R"({"metadata":{"total_size":12,"x":[1,{"y":null}]},"weight_map":{)"
      R"("a.w":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})";
  const std::string pickled =
      R"({"weight_map":{"a":"pytorch_model.bin","b":"pytorch_model.bin"},"more":[[]],)"
      R"("metadata":{"total_size":"12"}})";
  seeds->push_back({"shards",
                    "model-00001-of-00002.safetensors/model-00002-of-00002.safetensors/"
                    "model.safetensors.index.json/sub+\n" +
                        index});
  seeds->push_back({"shards", "pytorch_model.bin/optimizer.pt/training_args.bin\n" + pickled});
  seeds->push_back({"shards", "m-00001-of-00002.fp16.bin/m-00002-of-00002.fp16.bin\n{}"});
  seeds->push_back({"shards", "mp_rank_00_model_states.pt/__0_0.distcp/.metadata/latest\n"});
}

// --- what the server keeps ---

void AddStored(Seeds* seeds) {
  Manifest manifest;
  for (const char* key : {"a.w", "b.w"}) {
    ManifestEntry entry;
    entry.spec = MakeTensor(key, DType::kFloat32, {2, 2}).spec;
    entry.blocks = {{Sha256Of("x"), 7}};
    manifest.entries.push_back(std::move(entry));
  }
  manifest.ties = {{0, 1}};
  manifest.format = Format::kPyTorch;
  manifest.writer = "torch 2.1";
  manifest.metadata_json = R"({"":{"version":1}})";
  manifest.leaves_json = R"([{"path":"epoch","type":"int","value":3}])";
  seeds->push_back({"stored", Behind(0, EncodeManifest(manifest))});
  VersionRecord version;
  version.info.version = 3;
  version.info.labels = {{"k", "v"}};
  version.info.created = absl::FromUnixMicros(1);
  version.token = "t";
  version.manifest = {5, {Sha256Of("m")}};
  seeds->push_back({"stored", Behind(1, EncodeVersionRecord(version))});
  seeds->push_back({"stored", Behind(2, EncodeHead({3, 2}))});
  seeds->push_back({"stored", Behind(3, EncodeAlias({3, "t"}))});
  seeds->push_back(
      {"stored", Behind(4, EncodeRequest({Operation::kPush, 3, "t", absl::FromUnixMicros(9)}))});
  seeds->push_back({"stored", Behind(5, EncodeSchema({"t", {5, {Sha256Of("s")}}}))});
  seeds->push_back({"stored", Behind(6, VersionKey(12))});
}

std::string Sent(const google::protobuf::MessageLite& message) {
  return Sized(message.SerializeAsString());
}

void AddSent(Seeds* seeds) {
  ManifestEntry entry;
  entry.spec = MakeTensor("a.w", DType::kFloat32, {2, 2}).spec;
  entry.blocks = {{Sha256Of("x"), 7}};
  v1::ManifestPiece piece;
  piece.set_format("pytorch");
  piece.set_metadata_json("{}");
  wire::EntryToProto(entry, 0, entry.blocks.size(), piece.add_entries());
  std::string pieces = Sent(piece);
  piece.Clear();
  entry.spec.key = "b.w";
  wire::EntryToProto(entry, 0, entry.blocks.size(), piece.add_entries());
  piece.add_ties()->add_entries(0);
  piece.mutable_ties(0)->add_entries(1);
  piece.set_last(true);
  pieces += Sent(piece);
  seeds->push_back({"wire", Behind(0, pieces)});
  seeds->push_back({"wire", Behind(1, pieces)});
  v1::ReportPiece report;
  report.add_missing()->set_key("a");
  report.add_dtype_mismatches()->set_expected("float32");
  report.set_last(true);
  seeds->push_back({"wire", Behind(2, Sent(report))});
  v1::PushRequest request;
  request.mutable_file()->set_position(5);
  request.mutable_file()->set_crc32(7);
  request.mutable_file()->set_payload("payload");
  seeds->push_back({"wire", Behind(3, Behind(3, request.SerializeAsString()))});
  const absl::Status status = SchemaMismatchError("does not fit");
  seeds->push_back({"wire", Behind(4, Behind(9, Sized("no") + wire::StatusDetails(status)))});
}

// data.pkl of a zip.
std::optional<std::string> PickleOf(const std::string& file) {
  const StringSource source(file);
  const absl::StatusOr<ZipReader> zip = ZipReader::Open(source, Limits());
  if (!zip.ok()) return std::nullopt;
  for (const ZipRecord& record : zip->records()) {
    if (record.name.size() < 9 || record.name.substr(record.name.size() - 9) != "/data.pkl")
      continue;
    absl::StatusOr<std::string> pickle = zip->Read(record, kFileBytesMax);
    if (pickle.ok()) return *std::move(pickle);
  }
  return std::nullopt;
}

}  // namespace

Seeds SeedsOfFile(const std::string& file) {
  Seeds out;
  if (const std::optional<std::string> pickle = PickleOf(file)) {
    out.push_back({"pickle", *pickle});
    out.push_back({"objects", Behind(0, *pickle)});
  }
  if (file.empty() || file.size() > kFileBytesMax) return out;
  out.push_back({"auto", file});
  const absl::StatusOr<Format> format =
      DetectFormat(absl::string_view(file).substr(0, kDetectBytes));
  if (!format.ok()) return out;
  switch (*format) {
    case Format::kPyTorch:
      out.push_back({"zip", Behind(0, file)});
      break;
    case Format::kPyTorchLegacy:
      out.push_back({"legacy", file});
      break;
    case Format::kPyTorchTar:
      out.push_back({"tar", Behind(1, file)});
      break;
    case Format::kSafetensors:
      out.push_back({"safetensors", Behind(0, file)});
      break;
    case Format::kPickle:
      out.push_back({"pickle", file});
      break;
    default:
      out.push_back({"torchsharp", file});
  }
  return out;
}

Seeds AllSeeds() {
  Seeds seeds;
  for (const Format format : {Format::kTorchSharp, Format::kPyTorch, Format::kSafetensors}) {
    AddWritten(format, &seeds);
  }
  AddPickles(&seeds);
  AddZips(&seeds);
  AddOld(&seeds);
  AddTorchSharp(&seeds);
  AddSafetensors(&seeds);
  AddDeflated(&seeds);
  AddTexts(&seeds);
  AddShards(&seeds);
  AddStored(&seeds);
  AddSent(&seeds);
  return seeds;
}

}  // namespace ballast::fuzz

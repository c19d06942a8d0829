// The tar archives of torch.save before 0.1.10, and tars in general.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/formats/pytorch_tar.h"
#include "storage/formats/tar_reader.h"
#include "tests/formats/pytorch/legacy_testing.h"

namespace ballast {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<SourceStateDict> Read(const std::string& file, const Limits& limits = Limits()) {
  StringSource source(file);
  return ReadPyTorchTar(source, limits);
}

absl::StatusOr<SourceStateDict> Read(const TarParts& parts) { return Read(parts.File()); }

absl::StatusOr<std::vector<TarMember>> Members(const std::string& file) {
  StringSource source(file);
  return ReadTar(source, Limits());
}

TEST(Tar, FindsMembers) {
  const std::string pax = PaxRecord("mtime", "1.5") + PaxRecord("path", std::string(150, 'p'));
  const auto members = Members(TarOf({{.name = "a", .data = "one"},
                                      {.name = "d/", .data = "", .type = '5'},
                                      {.name = "b", .data = std::string(513, 'b'), .prefix = "d"},
                                      {.name = "h", .data = pax, .type = 'x'},
                                      {.name = "short", .data = "", .type = '\0'}}));
  ASSERT_TRUE(members.ok()) << members.status();
  ASSERT_EQ(members->size(), 4u);
  EXPECT_EQ((*members)[0].name, "a");
  EXPECT_EQ((*members)[0].offset_bytes, 512u);
  EXPECT_EQ((*members)[0].size_bytes, 3u);
  EXPECT_FALSE((*members)[1].regular);
  EXPECT_EQ((*members)[2].name, "d/b");
  EXPECT_EQ((*members)[2].size_bytes, 513u);
  EXPECT_TRUE((*members)[2].regular);
  EXPECT_EQ((*members)[3].name, std::string(150, 'p'));
  EXPECT_TRUE(Members(std::string(10240, '\0')).ok());
}

TEST(Tar, TakesSizesFromPaxHeadersAndBinaryFields) {
  const std::string content(600, 'c');
  std::string header = TarHeader({.name = "a", .data = ""});
  const std::string pax = TarMemberOf({.name = "h", .data = PaxRecord("size", "600"), .type = 'x'});
  std::string binary = header;
  binary.replace(124, 12, "\x80" + std::string(9, '\0') + "\x02\x58");
  for (const std::string& front : {pax + header, Summed(binary)}) {
    const auto members = Members(front + Padded(content) + std::string(1024, '\0'));
    ASSERT_TRUE(members.ok()) << members.status();
    EXPECT_EQ((*members)[0].size_bytes, 600u);
  }
}

TEST(Tar, RefusesWhatReadersDifferOver) {
  const std::string zeros(1024, '\0');
  const std::string good = TarHeader({.name = "a"});
  const auto changed = [&](size_t at, const std::string& bytes, bool sum = true) {
    std::string header = good;
    header.replace(at, bytes.size(), bytes);
    return (sum ? Summed(header) : header) + zeros;
  };
  const auto pax = [&](const std::string& text) {
    return TarOf({{.name = "h", .data = text, .type = 'x'}, {.name = "a", .data = ""}});
  };
  const struct {
    std::string file;
    Reason reason;
    std::string part;
  } table[] = {
      {changed(0, "b", false), Reason::kChecksum, "checksum"},
      {changed(148, "zzzzzz", false), Reason::kChecksum, "no number"},
      {changed(257, "gnuus"), Reason::kMalformed, "no ustar"},
      {changed(124, "0000000009x"), Reason::kMalformed, "size"},
      {changed(124, std::string(12, ' ')), Reason::kMalformed, "size"},
      {changed(124, "\x80" + std::string(11, '\xff')), Reason::kMalformed, "size"},
      {changed(124, "\xff" + std::string(11, '\xff')), Reason::kMalformed, "size"},
      {changed(124, "77777777777"), Reason::kTruncated, "ends behind"},
      {changed(156, "1"), Reason::kUnsafe, "link or a device"},
      {changed(156, "2"), Reason::kUnsafe, "link or a device"},
      {changed(156, "3"), Reason::kUnsafe, "link or a device"},
      {changed(156, "6"), Reason::kUnsafe, "link or a device"},
      {changed(156, "L"), Reason::kUnsupported, "type L"},
      {changed(156, "g"), Reason::kUnsupported, "type g"},
      {changed(156, "S"), Reason::kUnsupported, "type S"},
      {changed(0, "/etc/passwd"), Reason::kUnsafe, "/etc/passwd"},
      {changed(0, "a/../../b"), Reason::kUnsafe, "a/../../b"},
      {changed(0, "..\\b"), Reason::kUnsafe, "inside the folder"},
      {TarOf({{.name = "d/", .data = "x", .type = '5'}}), Reason::kMalformed, "want 0"},
      {TarOf({{.name = "d/", .data = "x", .type = '\0'}}), Reason::kMalformed, "want 0"},
      {pax(PaxRecord("path", "../a")), Reason::kUnsafe, "../a"},
      {pax(PaxRecord("size", "-1")), Reason::kMalformed, "pax size is -1"},
      {pax(PaxRecord("size", "18446744073709551615")), Reason::kMalformed, "no number"},
      {pax(PaxRecord("GNU.sparse.major", "1")), Reason::kUnsupported, "sparse"},
      {pax("99 a=b\n"), Reason::kMalformed, "pax record"},
      {pax("3 a\n"), Reason::kMalformed, "pax record"},
      {pax("4 a\n"), Reason::kMalformed, "without ="},
      {pax("2 \n"), Reason::kMalformed, "pax record"},
      {pax("x a=b\n"), Reason::kMalformed, "pax record"},
      {pax(std::string(70000, 'x')), Reason::kLimit, "pax header"},
      {TarOf({{.name = "h", .data = "", .type = 'x'}}), Reason::kMalformed, "behind a pax header"},
      {TarOf({{.name = "h", .data = "", .type = 'x'}, {.name = "h", .data = "", .type = 'x'}}),
       Reason::kMalformed, "two pax headers"},
      {zeros + "x", Reason::kMalformed, "follow the end"},
      {std::string(512, '\0') + good + zeros, Reason::kMalformed, "follow the end"},
      {std::string(512, '\0'), Reason::kTruncated, "want a header or the end"},
      {good, Reason::kTruncated, "want a header or the end"},
      {"", Reason::kTruncated, "want a header"},
  };
  for (const auto& row : table) {
    EXPECT_TRUE(FailsWith(Members(row.file).status(), row.reason, row.part));
  }
  StringSource source(TarOf({{.name = "a", .data = ""}, {.name = "b", .data = ""}}));
  Limits limits;
  limits.entries_max = 1;
  EXPECT_TRUE(FailsWith(ReadTar(source, limits).status(), Reason::kLimit, "entries_max"));
}

TEST(PyTorchTar, ReadsAHandmadeArchive) {
  const auto dict = Read(TarParts());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->format, Format::kPyTorchTar);
  EXPECT_THAT(dict->warnings, ElementsAre());
  const auto tensors = ReadAll(TarParts().File());
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 1u);
  EXPECT_EQ((*tensors)[0].spec, (TensorSpec{"w", DType::kFloat32, {2, 2}}));
  EXPECT_EQ((*tensors)[0].bytes, "0123456789abcdef");
}

TEST(PyTorchTar, ReadsViewsTiesAndStrides) {
  TarParts parts;
  parts.views = Pickled(ListOf(
      {TupleOf({Num(11), Num(10), Num(1), Num(2)}), TupleOf({Num(12), Num(11), Num(1), Num(1)})}));
  parts.tensors = TarCount(4) + TarTensor(20, 10, TarExtent({2, 2}, {1, 2})) +
                  TarTensor(21, 11, TarExtent({2}, {1})) + TarTensor(22, 12, TarExtent({}, {})) +
                  TarTensor(23, 10, TarExtent({1}, {1}, 3));
  const std::vector<std::string> items = {Str("t"), Num(20) + "Q",   Str("v"), Str("21") + "Q",
                                          Str("s"), Str("22") + "Q", Str("o"), Str("23") + "Q",
                                          Str("p"), Str("20") + "Q"};
  parts.object = Glob("UserList", "OrderedDict") + ")R" + DictOf(items).substr(1);
  const auto tensors = ReadAll(parts.File());
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  std::vector<std::string> bytes;
  for (const Tensor& tensor : *tensors) bytes.push_back(tensor.bytes);
  EXPECT_THAT(bytes,
              ElementsAre("012389ab4567cdef", "456789ab", "89ab", "cdef", "012389ab4567cdef"));
  EXPECT_THAT(Read(parts)->ties, ElementsAre(ElementsAre(0, 4)));
}

TEST(PyTorchTar, ReadsParametersAndModules) {
  const std::string parameter = Glob("torch.nn.parameter", "Parameter") + ")\x81" +
                                TupleOf({Str("20") + "Q", "N", "N", "\x88", "\x89"}) + "b";
  const std::string state =
      DictOf({Str("_parameters"), DictOf({Str("p"), parameter}), Str("_buffers"),
              DictOf({Str("b"), Num(20) + "Q"}), Str("_modules"), DictOf({})});
  TarParts parts;
  parts.object =
      TupleOf({Glob("my.code", "Net"), Str("net.py"), Str("source")}) + "Q)\x81" + state + "b";
  const auto dict = Read(parts);
  ASSERT_TRUE(dict.ok()) << dict.status();
  ASSERT_EQ(dict->entries.size(), 2u);
  EXPECT_EQ(dict->entries[0].spec, (TensorSpec{"p", DType::kFloat32, {2, 2}, Kind::kParameter}));
  EXPECT_EQ(dict->entries[1].spec, (TensorSpec{"b", DType::kFloat32, {2, 2}, Kind::kBuffer}));
}

TEST(PyTorchTar, SaysWhatItLeavesOut) {
  TarParts parts;
  parts.storages = TarCount(2) + TarStorage(10, "0123456789abcdef") + TarStorage(11, "");
  std::vector<TarPart> members = parts.Members();
  members.erase(members.begin());  // sys_info is not needed
  members.push_back({.name = "readme", .data = "x"});
  const auto dict = Read(TarOf(members));
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_THAT(dict->warnings, Contains(HasSubstr("1 other members")));
  EXPECT_THAT(dict->warnings, Contains(HasSubstr("1 storages belong to no entry")));
}

TEST(PyTorchTar, RefusesWhatTorchWouldNotWrite) {
  const auto with = [](std::string TarParts::*member, const std::string& bytes) {
    TarParts parts;
    parts.*member = bytes;
    return parts.File();
  };
  const auto storages = [&](const std::string& b) { return with(&TarParts::storages, b); };
  const auto views = [&](const std::string& b) { return with(&TarParts::views, b); };
  const auto tensors = [&](const std::string& b) { return with(&TarParts::tensors, b); };
  const auto object = [&](const std::string& b) { return with(&TarParts::object, b); };
  const auto tensor = [&](const std::string& extent) {
    return tensors(TarCount(1) + TarTensor(20, 10, extent));
  };
  const auto view = [&](int64_t key, int64_t root, int64_t offset, int64_t numel) {
    return views(Pickled(ListOf({TupleOf({Num(key), Num(root), Num(offset), Num(numel)})})));
  };
  const std::string good = TarStorage(10, "0123456789abcdef");
  const std::string head = Pickled(TupleOf({Num(10), Str("cpu"), Glob("torch", "FloatStorage")}));
  const struct {
    std::string file;
    Reason reason;
    std::string part;
  } table[] = {
      {with(&TarParts::system, Pickled(Glob("os", "system"))), Reason::kUnsafe, "os.system"},
      {storages(TarCount(-1)), Reason::kMalformed, "storages: count"},
      {storages(Pickled("N")), Reason::kMalformed, "storages: count"},
      {storages(TarCount(int64_t{1} << 40)), Reason::kLimit, "entries_max"},
      {storages(TarCount(1000000) + good), Reason::kMalformed, "not (key, location, class)"},
      {storages(TarCount(0) + good), Reason::kMalformed, "storages: "},
      {storages(TarCount(2) + good + good), Reason::kMalformed, "key 10 is taken twice"},
      {storages(TarCount(1) + TarStorage(10, "x", "Net")), Reason::kUnsupported, "torch.Net"},
      {storages(TarCount(1) + Pickled(TupleOf({Num(1), Num(2)}))), Reason::kMalformed, "class"},
      {storages(TarCount(1) + head + Le(~uint64_t{0}, 8)), Reason::kMalformed, "numel"},
      {storages(TarCount(1) + head + Le(uint64_t{1} << 62, 8)), Reason::kMalformed,
       "bytes that fit 64 bits"},
      {storages(TarCount(1) + head + Le(uint64_t{1} << 60, 8)), Reason::kTruncated, "storage 10"},
      {storages(TarCount(1) + head + Le(1 << 20, 8)), Reason::kTruncated, "storage 10"},
      {storages(TarCount(1) + Pickled(Str(std::string(2000, 'x')))), Reason::kMalformed,
       "longer than 1024"},
      {storages(TarCount(1) + Pickled(Glob("os", "system"))), Reason::kUnsafe, "os.system"},
      {views("x"), Reason::kMalformed, "opcode"},
      {views(Pickled("N")), Reason::kMalformed, "want a list"},
      {views(Pickled("]") + "x"), Reason::kMalformed, "1 bytes follow"},
      {views(Pickled(ListOf({"N"}))), Reason::kMalformed, "view is not"},
      {view(10, 10, 0, 4), Reason::kMalformed, "key 10 is taken twice"},
      {view(11, 12, 0, 4), Reason::kMalformed, "storage 12 is not among"},
      {view(11, 10, 1, 4), Reason::kMalformed, "ends behind its storage 10"},
      {view(11, 10, -1, 2), Reason::kMalformed, "ends behind its storage 10"},
      {view(11, 10, int64_t{1} << 62, 2), Reason::kMalformed, "ends behind its storage 10"},
      {tensors(TarCount(0)), Reason::kMalformed, "persistent id is 20"},
      {tensors(TarCount(1) + TarTensor(20, 10, TarExtent({2}, {1})) + "x"), Reason::kMalformed,
       "1 bytes follow"},
      {tensors(TarCount(1) + TarTensor(10, 10, TarExtent({2}, {1}))), Reason::kMalformed,
       "key 10 is taken twice"},
      {tensors(TarCount(1) + TarTensor(20, 9, TarExtent({2}, {1}))), Reason::kMalformed,
       "storage 9 is not among"},
      {tensor(TarExtent({5}, {1})), Reason::kMalformed, "\"w\": tensor of shape [5]"},
      {tensor(TarExtent({2}, {1}, 3)), Reason::kMalformed, "ends behind its storage 10"},
      {tensor(TarExtent({-1}, {1})), Reason::kMalformed, "size is -1"},
      {tensor(TarExtent({1}, {-1})), Reason::kMalformed, "stride is -1"},
      {tensor(TarExtent({1}, {1}, -1)), Reason::kMalformed, "storage offset is -1"},
      {tensor(Le(0xffffffff, 4) + "junk"), Reason::kMalformed, "number of dims is -1"},
      {tensor(Le(65, 4) + "junk"), Reason::kLimit, "dims_max"},
      {tensor(TarExtent({2}, {1}).substr(0, 30)), Reason::kTruncated, "tensor 20"},
      {object(Str("21") + "Q"), Reason::kMalformed, "persistent id is 21"},
      {object(Str("w") + "Q"), Reason::kMalformed, "persistent id is no number"},
      {object(Glob("os", "system")), Reason::kUnsafe, "os.system"},
      {object("}.x"), Reason::kMalformed, "tar: member pickle: 2 bytes follow"},
  };
  for (const auto& row : table) {
    EXPECT_TRUE(FailsWith(Read(row.file).status(), row.reason, row.part));
  }
}

TEST(PyTorchTar, RefusesOtherArchives) {
  const auto archive = [](auto change) {
    std::vector<TarPart> members = TarParts().Members();
    change(&members);
    return Read(TarOf(members)).status();
  };
  using Parts = std::vector<TarPart>;
  EXPECT_TRUE(FailsWith(archive([](Parts* m) { m->push_back((*m)[1]); }), Reason::kMalformed,
                        "two members pickle"));
  EXPECT_TRUE(FailsWith(archive([](Parts* m) { (*m)[1].type = '2'; }), Reason::kUnsafe, "link"));
  EXPECT_TRUE(FailsWith(archive([](Parts* m) { m->pop_back(); }), Reason::kWrongFormat,
                        "storages, tensors and pickle"));
  EXPECT_TRUE(FailsWith(archive([](Parts* m) { *m = {{.name = "model.ckpt", .data = "x"}}; }),
                        Reason::kWrongFormat, "the first of which is model.ckpt"));
  EXPECT_TRUE(FailsWith(Read(std::string(1024, '\0')).status(), Reason::kWrongFormat, "empty"));
  EXPECT_TRUE(FailsWith(
      archive([](Parts* m) { m->push_back({.name = "../../.ssh/authorized_keys", .data = "x"}); }),
      Reason::kUnsafe, "authorized_keys"));
}

TEST(PyTorchTar, RefusesEveryTruncation) {
  const std::string file = TarParts().File();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_TRUE(FailsWith(Read(file.substr(0, size)).status(), Reason::kTruncated, "tar"));
  }
}

// Headers have checksums, contents do not: a flipped bit may give other tensors, but
// never for a header, and never more than the file holds.
TEST(PyTorchTar, SurvivesEveryFlippedBit) {
  const std::string file = TarParts().File();
  const auto want = ReadAll(file);
  ASSERT_TRUE(want.ok()) << want.status();
  Limits limits;
  limits.tensor_bytes_max = 1 << 20;
  for (size_t i = 0; i < file.size() * 8; ++i) {
    std::string bad = file;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << i % 8));
    const auto got = ReadAll(bad, Format::kPyTorchTar, limits);
    const bool header = i / 8 / 512 % 2 == 0;
    if (!got.ok()) {
      EXPECT_NE(GetReason(got.status()), Reason::kNone) << got.status();
    } else if (header) {  // a space for a zero in the checksum's text
      ASSERT_EQ(got->size(), 1u) << "byte " << i / 8;
      EXPECT_EQ((*got)[0].spec, (*want)[0].spec) << "byte " << i / 8;
      EXPECT_EQ((*got)[0].bytes, (*want)[0].bytes) << "byte " << i / 8;
    }
  }
}

}  // namespace
}  // namespace ballast

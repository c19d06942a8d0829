// State dicts pickled without torch.save: what comes out, and what is refused.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/file.h"
#include "storage/formats/pytorch_bare_pickle.h"
#include "tests/formats/pytorch/legacy_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<SourceStateDict> Read(const std::string& file) {
  StringSource source(file);
  return ReadStateDict(source, Format::kUnknown, Limits());
}

// The stream of a storage saved by itself: four floats of 'x'.
LegacyParts SavedFloats() {
  LegacyParts parts;
  parts.object = LegacyPid("10", 4);
  return parts;
}

std::string Nested(const std::string& stream) {
  return CallOf(Glob("torch.storage", "_load_from_bytes"),
                {absl::StrCat("B", Le(stream.size(), 4), stream)});
}

std::string Pickle(const std::string& object) { return absl::StrCat("\x80\x03", object, "."); }

std::string FileOf(const LegacyParts& parts) {
  return Pickle(DictOf({Str("w"), V2{.storage = Nested(parts.File())}.Call()}));
}

// row E31: what the catalogue would refuse is read from protocol 3 on.
TEST(BarePickle, ReadsWhatPythonPickled) {
  auto file = OpenFile(BALLAST_SOURCE_DIR "/tests/golden/bare_pickle.pkl");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto tensors = ReadAll(**file);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  std::vector<std::string> lines;
  for (const Tensor& tensor : *tensors) {
    lines.push_back(absl::StrCat(tensor.spec.key, " ", DTypeName(tensor.spec.dtype), " ",
                                 ShapeText(tensor.spec.shape), " ",
                                 absl::BytesToHexString(tensor.bytes)));
  }
  EXPECT_THAT(lines, ElementsAre("view float32 [4] 0000004000004040000080400000a040",
                                 "transposed float32 [4, 3] "
                                 "000000000000804000000041"
                                 "0000803f0000a04000001041"
                                 "000000400000c04000002041"
                                 "000040400000e04000003041",
                                 "half bfloat16 [1] c03f",
                                 "tied int64 [2] 01000000000000000200000000000000",
                                 "again int64 [2] 01000000000000000200000000000000",
                                 "scalar bool [] 01", "empty float32 [0, 3] "));
  const auto dict = ReadStateDict(**file, Format::kUnknown, Limits());
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->format, Format::kPickle);
  EXPECT_EQ(dict->writer, "Python's pickle");
  ASSERT_EQ(dict->leaves.size(), 1u);
  EXPECT_EQ(dict->leaves[0].path, "epoch");
  EXPECT_EQ(dict->globals[2].name, "torch.storage._load_from_bytes");
  EXPECT_EQ(dict->globals[2].verdict, "allowed");
}

TEST(BarePickle, TensorsThatNameOneStorageAreTied) {
  const std::string storage = Nested(SavedFloats().File());
  const auto dict = Read(Pickle(DictOf(
      {Str("a"), V2{.storage = storage + "q\1"}.Call(), Str("b"), V2{.storage = "h\1"}.Call()})));
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_THAT(dict->ties, ElementsAre(ElementsAre(0u, 1u)));
  EXPECT_EQ(dict->storages.size(), 1u);
}

TEST(BarePickle, RefusesTruncationAtEveryLength) {
  const std::string file = FileOf(SavedFloats());
  ASSERT_TRUE(Read(file).ok()) << Read(file).status();
  for (size_t length = 3; length < file.size(); ++length) {
    EXPECT_FALSE(Read(file.substr(0, length)).ok()) << length;
  }
}

TEST(BarePickle, RefusesWhatIsWrong) {
  LegacyParts hostile = SavedFloats();
  hostile.object = CallOf(Glob("posix", "system"), {Str("true")});
  LegacyParts deeper = SavedFloats();
  deeper.object = Nested(SavedFloats().File());
  LegacyParts tensor = SavedFloats();
  tensor.object = LegacyFloats();
  LegacyParts longer = SavedFloats();
  longer.after = "x";
  LegacyParts cut = SavedFloats();
  cut.data.pop_back();
  LegacyParts view = SavedFloats();
  view.object = LegacyPid("10", 4, LegacyView("11", 0, 2));
  const std::string good = FileOf(SavedFloats());
  const std::string text = CallOf(Glob("torch.storage", "_load_from_bytes"),
                                  {CallOf(Glob("_codecs", "encode"), {Str("x"), Str("latin1")})});
  const struct {
    std::string file;
    Reason reason;
    std::string part;
  } kRows[] = {
      {FileOf(hostile), Reason::kUnsafe, "posix.system"},
      {FileOf(deeper), Reason::kUnsafe, "global is torch.storage._load_from_bytes"},
      {FileOf(tensor), Reason::kMalformed, "want a persistent id"},
      {FileOf(longer), Reason::kMalformed, "1 bytes follow the last storage"},
      {FileOf(cut), Reason::kTruncated, "input ends in storage 10"},
      {FileOf(view), Reason::kMalformed, "is a view, want all of it"},
      {Pickle(DictOf({Str("w"), V2{.storage = Nested("")}.Call()})), Reason::kTruncated, ""},
      {Pickle(DictOf({Str("w"), V2{.storage = text}.Call()})), Reason::kUnsupported,
       "bytes are pickled as text"},
      {Pickle(DictOf({Str("w"), V2().Call()})), Reason::kMalformed,
       "storage is a value of type storage, want a call of torch.storage._load_from_bytes"},
      {good + "x", Reason::kUnsafe, "1 bytes follow its STOP"},
      {good + good, Reason::kUnsafe, "bytes follow its STOP"},
      {Pickle(DictOf({Str("epoch"), Num(3)})), Reason::kWrongFormat,
       "a bare pickle without torch tensors, a value of type dict"},
      {Pickle(DictOf({})), Reason::kWrongFormat, "a bare pickle without torch tensors"},
      {Pickle(CallOf(Glob("posix", "system"), {Str("true")})), Reason::kUnsafe, "posix.system"},
      {Pickle(Num(3)), Reason::kUnsupported, "the file holds a value of type int"},
  };
  for (const auto& row : kRows) {
    const auto dict = Read(row.file);
    ASSERT_FALSE(dict.ok()) << row.part;
    EXPECT_TRUE(FailsWith(dict.status(), row.reason, row.part));
  }
}

// Elsewhere the function stays what it is: a way to unpickle anything.
TEST(BarePickle, NestedFilesAreRefusedInOtherContainers) {
  const std::string object = DictOf({Str("w"), V2{.storage = Nested(SavedFloats().File())}.Call()});
  LegacyParts parts;
  parts.object = object;
  for (const std::string& file : {TorchZip(Pickled(object)), parts.File()}) {
    EXPECT_TRUE(FailsWith(Read(file).status(), Reason::kUnsafe,
                          "global is torch.storage._load_from_bytes"));
  }
}

}  // namespace
}  // namespace ballast

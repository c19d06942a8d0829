#include "storage/formats/reader.h"

#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

TEST(Reader, SaysWhatAnUnknownFileWasTakenFor) {
  const struct {
    std::string file;
    Reason reason;
    const char* part;
  } cases[] = {
      {"", Reason::kTruncated, "input is empty"},
      {"../some/where/model.ckpt", Reason::kTruncated,
       "this is not a known weight file; read as TorchSharp .dat: "},
      {"PK\3", Reason::kTruncated, "zip: no end of central directory"},
      {Hex("03") + "SGD" + Hex("0001"), Reason::kTruncated,
       "this begins like a TorchSharp optimizer state"},
      {"GGUF....", Reason::kWrongFormat, "this is a GGUF file"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(FailsWith(ReadAll(c.file).status(), c.reason, c.part));
  }
}

TEST(Reader, RefusesFormatsThatAreNoFiles) {
  EXPECT_TRUE(FailsWith(ReadAll("x", Format::kTensors).status(), Reason::kUnsupported, "tensors"));
}

TEST(Reader, ReadsForwardOnlyWhatCanBe) {
  for (const Format format : AllFormats()) {
    StringSource source(Safetensors("{}"));
    SourceStream stream(&source);
    const bool can = format == Format::kTorchSharp || format == Format::kSafetensors;
    EXPECT_EQ(OpenForwardReader(format, &stream, Limits()).ok(), can) << FormatName(format);
  }
}

TEST(PrefixedStream, PutsBytesBack) {
  StringSource rest("rest");
  SourceStream stream(&rest);
  PrefixedStream all("head, ", &stream);
  std::string got(20, '\0');
  const auto n = ReadFull(&all, absl::MakeSpan(got));
  ASSERT_TRUE(n.ok());
  EXPECT_EQ(got.substr(0, *n), "head, rest");
  StringSource empty("");
  SourceStream nothing(&empty);
  PrefixedStream none("", &nothing);
  EXPECT_EQ(*none.Read(absl::MakeSpan(got)), 0u);
}

}  // namespace
}  // namespace ballast

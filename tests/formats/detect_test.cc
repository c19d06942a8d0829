#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

TEST(Detect, KnowsContainersByTheirFirstBytes) {
  const std::string magic = Hex("8a0a6cfc9c46f9206aa850192e");
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  const struct {
    std::string head;
    Format format;
  } cases[] = {
      {"PK\3\4rest", Format::kPyTorch},
      {"PK\3", Format::kPyTorch},
      {"PK\5\6" + std::string(18, '\0'), Format::kPyTorch},
      {Hex("8002") + magic, Format::kPyTorchLegacy},
      {Hex("8003") + magic, Format::kPyTorchLegacy},
      {Hex("8004950c00000000000000") + magic, Format::kPyTorchLegacy},
      {tar, Format::kPyTorchTar},
      {Hex("80027d71002e"), Format::kPickle},
      {Hex("8004951f0000"), Format::kPickle},
      {Hex("80026363"), Format::kPickle},
      {"cposix\nsystem\n", Format::kPickle},
      {Safetensors("{}"), Format::kSafetensors},
      {Safetensors("  {\"a\":"), Format::kSafetensors},
      {LittleEndian(40, 8) + "\n{ \"a\"", Format::kSafetensors},
      {LittleEndian(1000, 8) + std::string(504, ' '), Format::kSafetensors},
      {Hex("00"), Format::kTorchSharp},
      {Hex("8000"), Format::kTorchSharp},
      {Hex("8002 0161 0600"), Format::kTorchSharp},
      {Hex("06 04 02030405"), Format::kTorchSharp},
      {LittleEndian(40, 8) + "{1", Format::kTorchSharp},
      {"candle\nflame", Format::kPickle},
  };
  for (const auto& c : cases) {
    const auto format = DetectFormat(c.head);
    ASSERT_TRUE(format.ok()) << format.status();
    EXPECT_EQ(*format, c.format) << Printable(c.head.substr(0, 20));
  }
}

// The count and the length of the first key of a module may be any bytes.
TEST(Detect, AModuleThatBeginsLikeSomethingElseIsAModule) {
  const std::string scalar = Hex("0600 00000000");
  const struct {
    uint8_t count;
    std::string key;
  } cases[] = {
      {'B', std::string(1, 'h') + std::string('Z' - 1, 'k')},  // BZh
      {'G', "UF" + std::string('G' - 2, 'k')},                 // GGUF
      {'<', "tml" + std::string('h' - 3, 'k')},                // <html
      {5, "UNET12.conv"},                                      // ET12 at 4
      {'c', "posix" + std::string(45, 'k')},
  };
  for (const auto& c : cases) {
    const std::string head = std::string(1, static_cast<char>(c.count)) +
                             static_cast<char>(c.key.size()) + c.key + scalar;
    const auto format = DetectFormat(head);
    ASSERT_TRUE(format.ok()) << c.key << format.status();
    EXPECT_EQ(*format, Format::kTorchSharp) << c.key;
  }
  for (const int length : {0x28, 0x4b, 0x58, 0x63, 0x7d}) {
    const std::string head = Hex("8002") + static_cast<char>(length) + std::string(length, 'k');
    EXPECT_EQ(*DetectFormat(head + scalar), Format::kTorchSharp) << length;
    EXPECT_EQ(*DetectFormat(head), Format::kPickle) << length;
  }
}

TEST(Detect, NamesWhatIsNotAStateDict) {
  const struct {
    std::string head;
    const char* part;
  } cases[] = {
      {"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
      {"<!DOCTYPE html>", "HTML page"},
      {"\n  <HTML>", "HTML page"},
      {"GGUF\3\0\0\0", "GGUF"},
      {"lmgg", "GGML"},
      {"tjgg", "GGJT"},
      {Hex("894844460d0a1a0a"), "HDF5"},
      {Hex("934e554d5059") + "\1", "NumPy"},
      {Hex("1f8b08"), "gzip"},
      {"BZh9", "bzip2"},
      {Hex("28b52ffd"), "zstd"},
      {Hex("fd377a585a00"), "xz"},
      {"\x18..."
       "ET12",
       "ExecuTorch"},
      {"|TZR|", "Tensorizer"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(FailsWith(DetectFormat(c.head).status(), Reason::kWrongFormat, c.part)) << c.part;
  }
  EXPECT_TRUE(FailsWith(DetectFormat("").status(), Reason::kTruncated, "empty"));
  EXPECT_TRUE(
      FailsWith(DetectFormat("PYTORCH1....").status(), Reason::kUnsupported, "1.0 preview"));
}

}  // namespace
}  // namespace ballast

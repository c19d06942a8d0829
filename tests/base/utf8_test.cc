#include "storage/base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace ballast {
namespace {

// The encoding of a code point as RFC 3629 has it, without any of its bans.
std::string Encode(uint32_t c, int bytes) {
  if (bytes == 1) return {static_cast<char>(c)};
  std::string out;
  for (int i = bytes - 1; i > 0; --i) {
    out.insert(out.begin(), static_cast<char>(0x80 | (c & 0x3F)));
    c >>= 6;
  }
  const int lead = bytes == 2 ? 0xC0 : bytes == 3 ? 0xE0 : 0xF0;
  out.insert(out.begin(), static_cast<char>(static_cast<uint32_t>(lead) | c));
  return out;
}

int ShortestForm(uint32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

TEST(Utf8, TakesEveryCodePointInItsShortestFormOnly) {
  for (uint32_t c = 0; c <= 0x110FFF; ++c) {
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    const bool valid = !surrogate && c <= 0x10FFFF;
    const int shortest = ShortestForm(c);
    for (int bytes = shortest; bytes <= 4; ++bytes) {
      const std::string text = Encode(c, bytes);
      const size_t want = valid && bytes == shortest ? static_cast<size_t>(bytes) : 0;
      ASSERT_EQ(Utf8SequenceLength(text), want) << "U+" << std::hex << c << " in " << bytes;
    }
  }
}

TEST(Utf8, RefusesWhatIsNotASequence) {
  const std::string rows[] = {
      "\x80",                      // continuation alone
      "\xbf",                      //
      "\xc3",                      // cut after the lead
      "\xe2\x82",                  // cut before the last byte
      "\xf0\x9f\x94",              //
      "\xc3(",                     // lead followed by ASCII
      "\xe2\x28\xa1",              //
      "\xf8\x88\x80\x80\x80",      // five bytes
      "\xfc\x84\x80\x80\x80\x80",  // six bytes
      "\xfe",
      "\xff",                               // never appear
      std::string("ok then \xc0\x80", 10),  // overlong NUL behind good text
  };
  for (const std::string& text : rows) EXPECT_FALSE(IsUtf8(text)) << testing::PrintToString(text);
}

TEST(Utf8, APrefixEndsBetweenCharacters) {
  EXPECT_EQ(Utf8Prefix("größe", 9), "größe");
  EXPECT_EQ(Utf8Prefix("größe", 3), "gr");
  EXPECT_EQ(Utf8Prefix("größe", 4), "grö");
  EXPECT_EQ(Utf8Prefix("größe", 0), "");
  EXPECT_EQ(Utf8Prefix("", 5), "");
  EXPECT_EQ(Utf8Prefix("a\xff"
                       "b",
                       5),
            "a")
      << "and before what is none";
}

TEST(Utf8, TakesTextAndNothing) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8(absl::string_view("a\0b", 3)));
  EXPECT_TRUE(IsUtf8("weights of Ærøskøbing, 重み, 🔥"));
  EXPECT_EQ(Utf8SequenceLength(""), 0u);
  EXPECT_EQ(Utf8SequenceLength("é."), 2u);
}

}  // namespace
}  // namespace ballast

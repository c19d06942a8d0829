#include "storage/base/digest.h"

#include <gtest/gtest.h>

#include <string>

#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// FIPS 180-4 examples.
TEST(Sha256, HasTheStandardsValues) {
  EXPECT_EQ(Sha256Of("").Hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Of("abc").Hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Of(std::string(1'000'000, 'a')).Hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheDigestOfTheWholeAndFinishStartsAnew) {
  Sha256 hash;
  for (int round = 0; round < 2; ++round) {
    hash.Update("a");
    hash.Update("");
    hash.Update("bc");
    EXPECT_EQ(hash.Finish(), Sha256Of("abc"));
  }
}

TEST(Digest, HexAndBytesComeBack) {
  const Digest digest = Sha256Of("x");
  EXPECT_EQ(Digest::FromHex(digest.Hex()).value(), digest);
  EXPECT_EQ(Digest::FromBytes(digest.View()).value(), digest);
  EXPECT_NE(digest, Digest{});
}

TEST(Digest, RefusesWhatIsNotOne) {
  const std::string good = Sha256Of("x").Hex();
  std::string upper = good;
  upper[0] = 'A';
  for (const std::string& hex : {std::string(), good.substr(1), good + "0", upper,
                                 "0x" + good.substr(2), std::string(64, ' ')}) {
    const auto digest = Digest::FromHex(hex);
    EXPECT_EQ(digest.status().code(), absl::StatusCode::kInvalidArgument) << hex;
    EXPECT_EQ(GetReason(digest.status()), Reason::kMalformed) << hex;
  }
  EXPECT_EQ(Digest::FromBytes(std::string(31, 'a')).status().message(),
            "digest: length is 31 bytes, want 32");
}

TEST(Crc32, HasTheCheckValue) {
  EXPECT_EQ(Crc32("123456789"), 0xCBF43926u);
  EXPECT_EQ(Crc32(""), 0u);
}

TEST(Crc32, ContinuesAndCombinesAtEverySplit) {
  const std::string text = "The quick brown fox jumps over the lazy dog";
  const uint32_t whole = Crc32(text);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string a = text.substr(0, cut), b = text.substr(cut);
    EXPECT_EQ(Crc32(b, Crc32(a)), whole) << cut;
    EXPECT_EQ(Crc32Combine(Crc32(a), Crc32(b), b.size()), whole) << cut;
  }
}

// 5 GiB of zeros behind "a", combined by doubling: no run of 2^32 bytes is touched.
TEST(Crc32, CombinesLengthsAbove32Bits) {
  uint32_t zeros = Crc32(std::string(1 << 20, '\0'));
  uint64_t size = 1 << 20;
  while (size < (uint64_t{1} << 33)) {
    zeros = Crc32Combine(zeros, zeros, size);
    size *= 2;
  }
  const uint32_t one_step = Crc32Combine(Crc32("a"), zeros, size);
  uint32_t half = Crc32(std::string(1 << 20, '\0'));
  for (uint64_t n = 1 << 20; n < size / 2; n *= 2) half = Crc32Combine(half, half, n);
  const uint32_t two_steps = Crc32Combine(Crc32Combine(Crc32("a"), half, size / 2), half, size / 2);
  EXPECT_EQ(one_step, two_steps);
  EXPECT_NE(one_step, Crc32("a"));
}

}  // namespace
}  // namespace ballast

#include "storage/base/byte_io.h"

#include <gtest/gtest.h>

#include <string>

#include "storage/base/chunk.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Gives one byte at a time, as a slow pipe does.
class DripStream : public ByteStream {
 public:
  explicit DripStream(std::string bytes) : bytes_(std::move(bytes)) {}
  absl::StatusOr<size_t> Read(absl::Span<char> out) override {
    if (used_ == bytes_.size()) return 0;
    out[0] = bytes_[used_++];
    return 1;
  }

 private:
  std::string bytes_;
  size_t used_ = 0;
};

TEST(StringSource, ReadsRangesInsideAndRefusesOthers) {
  const StringSource source("0123456789");
  std::string out(4, '?');
  ASSERT_TRUE(source.ReadAt(6, absl::MakeSpan(out)).ok());
  EXPECT_EQ(out, "6789");
  for (const uint64_t offset : {uint64_t{7}, uint64_t{10}, UINT64_MAX}) {
    const absl::Status status = source.ReadAt(offset, absl::MakeSpan(out));
    EXPECT_EQ(GetReason(status), Reason::kTruncated) << offset;
  }
  EXPECT_TRUE(source.ReadAt(10, absl::Span<char>()).ok());
}

TEST(SourceStream, ReadsToTheEndFromAnOffsetAndThenNothing) {
  const StringSource source("0123456789");
  SourceStream stream(&source, 3);
  std::string out(5, '?');
  EXPECT_EQ(stream.Read(absl::MakeSpan(out)).value(), 5u);
  EXPECT_EQ(out, "34567");
  EXPECT_EQ(stream.Read(absl::MakeSpan(out)).value(), 2u);
  EXPECT_EQ(out.substr(0, 2), "89");
  EXPECT_EQ(stream.Read(absl::MakeSpan(out)).value(), 0u);
}

TEST(SourceStream, StartingBehindTheEndIsTheEnd) {
  const StringSource source("abc");
  SourceStream stream(&source, 9);
  std::string out(1, '?');
  EXPECT_EQ(stream.Read(absl::MakeSpan(out)).value(), 0u);
}

TEST(ReadFull, GathersShortReadsAndStopsAtTheEnd) {
  DripStream stream("abcdef");
  std::string out(4, '?');
  EXPECT_EQ(ReadFull(&stream, absl::MakeSpan(out)).value(), 4u);
  EXPECT_EQ(out, "abcd");
  EXPECT_EQ(ReadFull(&stream, absl::MakeSpan(out)).value(), 2u);
  EXPECT_EQ(out, "efcd");
}

TEST(StringSink, Appends) {
  std::string out = "a";
  StringSink sink(&out);
  ASSERT_TRUE(sink.Write("bc").ok());
  ASSERT_TRUE(sink.Write("").ok());
  EXPECT_EQ(out, "abc");
}

TEST(Chunk, PartsKeepTheWholeAlive) {
  Chunk part;
  std::weak_ptr<const void> watch;
  {
    const Chunk whole = Chunk::Own("0123456789");
    watch = whole.owner;
    part = whole.Sub(3, 4).Sub(1);
  }
  EXPECT_EQ(part.bytes, "456");
  EXPECT_FALSE(watch.expired());
  part = Chunk{};
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace ballast

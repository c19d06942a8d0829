#include "proto/blocking_ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ballast {
namespace {

using testing::HasSubstr;

// Operations that the other end never completes.
BlockingOps Stalled(uint64_t idle_ms) {
  return BlockingOps([](grpc::ByteBuffer*) {}, [](const grpc::ByteBuffer*) {}, idle_ms);
}

TEST(BlockingOps, ReadGivesUpOnAPeerThatSendsNothing) {
  BlockingOps ops = Stalled(5);
  ops.Prefetch();
  const absl::Status status = ops.Read().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("sent nothing for 5 ms"));
}

TEST(BlockingOps, WriteGivesUpOnAPeerThatTakesNothing) {
  BlockingOps ops = Stalled(5);
  ASSERT_TRUE(ops.Write(Frame{{Chunk::Own("first")}}).ok());
  const absl::Status status = ops.Write(Frame{{Chunk::Own("second")}});
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("took nothing for 5 ms"));
}

TEST(BlockingOps, TheEndOfTheCallWakesReadersAndWriters) {
  BlockingOps ops = Stalled(0);
  ops.Prefetch();
  ASSERT_TRUE(ops.Write(Frame{{Chunk::Own("first")}}).ok());
  ops.End(absl::CancelledError("gone"));
  EXPECT_EQ(ops.Read().status().message(), "gone");
  EXPECT_EQ(ops.Write(Frame{{Chunk::Own("second")}}).message(), "gone");
  EXPECT_EQ(ops.DrainWrites().message(), "gone");
}

TEST(BlockingOps, TheEndOfTheStreamIsNoError) {
  BlockingOps ops = Stalled(0);
  ops.Prefetch();
  ops.OnReadDone(false);
  const auto frame = ops.Read();
  ASSERT_TRUE(frame.ok());
  EXPECT_FALSE(frame->has_value());
}

}  // namespace
}  // namespace ballast

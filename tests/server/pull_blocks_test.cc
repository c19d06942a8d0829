// Blocks of a version by their numbers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;

struct Pulled {
  absl::Status status;
  v1::Version header;
  std::vector<DataFrame> data;
  std::string bytes;
};

Pulled PullBlocks(const TestServer& server, const std::string& reference,
                  const std::vector<std::pair<uint64_t, uint64_t>>& runs) {
  v1::PullBlocksRequest request;
  request.set_reference(reference);
  for (const auto& [first, count] : runs) {
    request.add_first(first);
    request.add_count(count);
  }
  const Answers answers = Exchange(server, "PullBlocks", {EncodeMessage(request)});
  Pulled pulled;
  pulled.status = answers.status;
  for (const Frame& frame : answers.frames) {
    EXPECT_LT(frame.size_bytes(), 4u << 20);
    auto data = DecodeData(frame, {v1::PullBlocksResponse::kDataFieldNumber});
    EXPECT_THAT(data, IsOk());
    if (!data->has_value()) {
      v1::PullBlocksResponse response;
      EXPECT_THAT(DecodeMessage(frame, &response), IsOk());
      pulled.header = response.header();
      continue;
    }
    EXPECT_TRUE((*data)->crc32.has_value());
    EXPECT_THAT(CheckDataCrc(**data, absl::StatusCode::kDataLoss, "blocks"), IsOk());
    for (const Chunk& chunk : (*data)->payload) {
      pulled.bytes.append(chunk.bytes.data(), chunk.bytes.size());
    }
    pulled.data.push_back(*std::move(*data));
  }
  return pulled;
}

// The distinct blocks of a model's tensors, by number.
std::vector<std::string> BlocksOf(const std::vector<Tensor>& tensors) {
  std::map<Digest, std::string> by_digest;
  const Manifest manifest = ManifestOf(tensors, &by_digest);
  std::vector<std::string> blocks;
  for (const ManifestEntry& entry : manifest.entries) {
    for (const BlockRef& block : entry.blocks) {
      const auto it = by_digest.find(block.digest);
      if (it == by_digest.end()) continue;  // numbered already
      blocks.push_back(it->second);
      by_digest.erase(it);
    }
  }
  return blocks;
}

TEST(PullBlocks, GivesBlocksByNumberInTheOrderAsked) {
  TestServer server;
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server, "m", tensors);
  const std::vector<std::string> blocks = BlocksOf(tensors);
  ASSERT_EQ(blocks.size(), 6u);
  const Pulled all = PullBlocks(server, "m", {{0, blocks.size()}});
  ASSERT_THAT(all.status, IsOk());
  EXPECT_EQ(all.header.version(), 1u);
  std::string want;
  for (const std::string& block : blocks) want += block;
  EXPECT_EQ(all.bytes, want);
  ASSERT_GE(all.data.size(), 2u) << "a message has at most 2 MiB of blocks";
  EXPECT_EQ(all.data[0].position, 0u);

  const Pulled some = PullBlocks(server, "m", {{4, 2}, {1, 1}, {4, 1}});
  ASSERT_THAT(some.status, IsOk());
  EXPECT_EQ(some.bytes, blocks[4] + blocks[5] + blocks[1] + blocks[4]);
  EXPECT_EQ(some.data[0].position, 4u);
  EXPECT_EQ(PullBlocks(server, "m", {}).bytes, "");
  EXPECT_EQ(PullBlocks(server, "m", {{6, 0}, {2, 1}}).bytes, blocks[2]);
}

TEST(PullBlocks, PacksManySmallOnesIntoAMessage) {
  TestServer server;
  std::vector<Tensor> tensors;
  for (int i = 0; i < 300; ++i) {
    Tensor tensor = SmallModel(static_cast<uint8_t>(i))[0];
    tensor.spec.key = absl::StrCat("t", i);
    tensors.push_back(std::move(tensor));
  }
  MustPush(server, "m", tensors);
  const size_t blocks = BlocksOf(tensors).size();
  const Pulled all = PullBlocks(server, "m", {{0, blocks}});
  ASSERT_THAT(all.status, IsOk());
  EXPECT_EQ(all.data.size(), 1u);
}

TEST(PullBlocks, RefusesWhatTheVersionDoesNotHave) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  const uint64_t blocks = BlocksOf(SmallModel()).size();
  const auto code = absl::StatusCode::kOutOfRange;
  EXPECT_THAT(PullBlocks(server, "m", {{0, blocks + 1}}).status, IsError(code, "m:1: "));
  EXPECT_THAT(PullBlocks(server, "m", {{blocks + 1, 0}}).status, IsError(code, "want some of its"));
  EXPECT_THAT(PullBlocks(server, "m", {{1, UINT64_MAX}}).status, IsError(code, ""));
  EXPECT_THAT(PullBlocks(server, "m", {{UINT64_MAX, 2}}).status, IsError(code, ""));
  EXPECT_THAT(PullBlocks(server, "m", {{0, blocks}, {0, 1}}).status,
              IsError(code, "want each at most once"));
  EXPECT_THAT(PullBlocks(server, "m:2", {}).status, IsError(kNoSuch, "m:2"));
  v1::PullBlocksRequest uneven;
  uneven.set_reference("m");
  uneven.add_first(0);
  EXPECT_THAT(Exchange(server, "PullBlocks", {EncodeMessage(uneven)}).status,
              Fails(kInvalid, Reason::kMalformed, "1 firsts and 0 counts"));
}

TEST(PullBlocks, ADamagedBlockIsDataLoss) {
  TestServer server;
  const std::vector<Tensor> tensors = BigModel();
  MustPush(server, "m", tensors);
  const std::vector<std::string> blocks = BlocksOf(tensors);
  server.memory_blobs()->Corrupt(Sha256Of(blocks[2]), "short");
  EXPECT_THAT(PullBlocks(server, "m", {{2, 1}}).status,
              IsError(absl::StatusCode::kDataLoss, "size is 5 bytes"));
  EXPECT_THAT(PullBlocks(server, "m", {{3, 1}}).status, IsOk());
}

}  // namespace
}  // namespace ballast

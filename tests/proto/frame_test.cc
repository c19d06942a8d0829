#include "proto/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ballast/v1/registry.pb.h"
#include "proto/grpc_bridge.h"
#include "proto/wire.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

std::string Joined(const Frame& frame) {
  std::string out;
  for (const Chunk& chunk : frame.chunks) out.append(chunk.bytes.data(), chunk.bytes.size());
  return out;
}

std::string Payload(const DataFrame& data) {
  std::string out;
  for (const Chunk& chunk : data.payload) out.append(chunk.bytes.data(), chunk.bytes.size());
  return out;
}

DataFrame Sample() {
  DataFrame data;
  data.field = v1::PullResponse::kDataFieldNumber;
  data.position = 1'234'567'890'123;
  data.payload = {Chunk::Own(std::string(5000, 'a')), Chunk::Own(std::string(3, 'b'))};
  data.crc32 = Crc32(std::string(5000, 'a') + "bbb");
  return data;
}

// Cuts a frame into pieces of n bytes, as a transport may.
Frame Cut(const Frame& frame, size_t n) {
  const std::string all = Joined(frame);
  Frame out;
  for (size_t i = 0; i < all.size(); i += n) out.chunks.push_back(Chunk::Own(all.substr(i, n)));
  return out;
}

TEST(Frame, DataIsWhatAnyProtobufEncoderWrites) {
  v1::PullResponse message;
  message.mutable_data()->set_position(Sample().position);
  message.mutable_data()->set_crc32(*Sample().crc32);
  message.mutable_data()->set_payload(std::string(5000, 'a') + "bbb");
  EXPECT_EQ(Joined(EncodeData(Sample())), message.SerializeAsString());
}

TEST(Frame, PayloadIsNotCopied) {
  const DataFrame data = Sample();
  const Frame frame = EncodeData(data);
  EXPECT_EQ(frame.chunks[1].bytes.data(), data.payload[0].bytes.data());
  const auto back = DecodeData(frame, {v1::PullResponse::kDataFieldNumber});
  ASSERT_TRUE(back.ok() && back->has_value());
  EXPECT_EQ((*back)->payload[0].bytes.data(), data.payload[0].bytes.data());
}

TEST(Frame, DataIsReadHoweverTheTransportCutsIt) {
  for (const size_t n : {1, 2, 3, 7, 16, 4999, 100000}) {
    const auto back = DecodeData(Cut(EncodeData(Sample()), n), {3});
    ASSERT_TRUE(back.ok() && back->has_value()) << n;
    EXPECT_EQ((*back)->position, Sample().position);
    EXPECT_EQ((*back)->crc32, Sample().crc32);
    EXPECT_EQ(Payload(**back), std::string(5000, 'a') + "bbb");
  }
}

TEST(Frame, FieldsMayComeInAnyOrderAndUnknownOnesAreSkipped) {
  // payload "xy", unknown field 9 = varint 300, position 5
  const std::string inner = std::string("\x7a\x02xy\x48\xac\x02\x08\x05", 9);
  Frame frame{{Chunk::Own(std::string("\x1a\x09", 2) + inner)}};
  const auto back = DecodeData(frame, {3});
  ASSERT_TRUE(back.ok() && back->has_value()) << back.status();
  EXPECT_EQ((*back)->position, 5u);
  EXPECT_FALSE((*back)->crc32.has_value());
  EXPECT_EQ(Payload(**back), "xy");
}

TEST(Frame, AnotherMessageIsNotData) {
  v1::PushRequest message;
  message.mutable_header()->set_model("m");
  const auto back = DecodeData(EncodeMessage(message), {4, 5});
  ASSERT_TRUE(back.ok());
  EXPECT_FALSE(back->has_value());
}

// Two parsers of one message must not see different ones.
TEST(Frame, ReadsTagsAndLengthsAsProtobufDoes) {
  const struct {
    const char* what;
    std::string bytes;
    bool data;  // else refused, here or by DecodeMessage
  } cases[] = {
      {"plain", std::string("\x1a\x04\x7a\x02xy", 6), true},
      {"length in five bytes", std::string("\x1a\x84\x80\x80\x80\x00\x7a\x02xy", 10), true},
      {"length in six bytes", std::string("\x1a\x84\x80\x80\x80\x80\x00\x7a\x02xy", 11), false},
      {"field number 3 + 2^32", std::string("\x9a\x80\x80\x80\x80\x01\x04\x7a\x02xy", 11), false},
      {"field number 15 + 2^32", std::string("\x1a\x09\xfa\x80\x80\x80\x80\x01\x02xy", 11), false},
      {"field number 0", std::string("\x1a\x06\x00\x01\x7a\x02xy", 8), false},
  };
  for (const auto& c : cases) {
    const Frame frame{{Chunk::Own(c.bytes)}};
    const auto back = DecodeData(frame, {v1::PullResponse::kDataFieldNumber});
    EXPECT_EQ(back.ok() && back->has_value(), c.data) << c.what;
    v1::PullResponse message;
    EXPECT_EQ(DecodeMessage(frame, &message).ok(), c.data) << c.what;
    if (c.data) {
      EXPECT_EQ(Payload(**back), message.data().payload()) << c.what;
    }
  }
}

TEST(Frame, RefusesDataThatIsCutAnywhere) {
  const std::string all = Joined(EncodeData(Sample()));
  for (size_t n = 1; n < all.size(); n += n < 40 ? 1 : 611) {
    const auto back = DecodeData(Frame{{Chunk::Own(all.substr(0, n))}}, {3});
    EXPECT_EQ(back.status().code(), absl::StatusCode::kInvalidArgument) << n;
  }
}

TEST(Frame, MessagesAreReadHoweverTheTransportCutsThem) {
  v1::PushRequest message;
  message.mutable_header()->set_model(std::string(3000, 'm'));
  for (const size_t n : {1, 5, 1000}) {
    v1::PushRequest back;
    ASSERT_TRUE(DecodeMessage(Cut(EncodeMessage(message), n), &back).ok());
    EXPECT_EQ(back.header().model(), message.header().model());
  }
  EXPECT_EQ(GetReason(DecodeMessage(Frame{{Chunk::Own("\xff\xff\xff")}}, &message)),
            Reason::kMalformed);
}

TEST(Frame, WrongCrcIsRefusedWithTheCodeOfTheReceiver) {
  DataFrame data = Sample();
  EXPECT_TRUE(CheckDataCrc(data, absl::StatusCode::kDataLoss, "pull").ok());
  data.payload[1] = Chunk::Own("bbc");
  const absl::Status status = CheckDataCrc(data, absl::StatusCode::kDataLoss, "pull");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(GetReason(status), Reason::kChecksum);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("position 1234567890123"));
  data.crc32.reset();
  EXPECT_TRUE(CheckDataCrc(data, absl::StatusCode::kDataLoss, "pull").ok());
}

TEST(Frame, SurvivesTheTripThroughByteBuffers) {
  const Frame frame = EncodeData(Sample());
  const std::string all = Joined(frame);
  const absl::StatusOr<Frame> back = FromByteBuffer(ToByteBuffer(frame));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(Joined(*back), all);
  const absl::StatusOr<Frame> empty = FromByteBuffer(ToByteBuffer(EncodeMessage(v1::End())));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(Joined(*empty), "");
}

TEST(Frame, StatusKeepsCodeMessageAndReasonOverGrpc) {
  for (const absl::Status& status :
       {SchemaMismatchError("two keys"), LimitError("too many"), absl::NotFoundError("no m:3"),
        TruncatedError("ends at 7"), absl::OkStatus()}) {
    const absl::Status back = FromGrpcStatus(ToGrpcStatus(status));
    EXPECT_EQ(back.code(), status.code());
    EXPECT_EQ(back.message(), status.message());
    EXPECT_EQ(GetReason(back), GetReason(status));
  }
}

TEST(Frame, AMessageThatIsNotTextTravelsPrintableAndKeepsItsReason) {
  const absl::Status back = FromGrpcStatus(ToGrpcStatus(MalformedError("key \xff\n\x1b[2J")));
  EXPECT_EQ(back.message(), "key \\xff\\x0a\\x1b[2J");
  EXPECT_EQ(GetReason(back), Reason::kMalformed);
}

TEST(Frame, AForeignServersMessageIsMadePrintable) {
  EXPECT_EQ(FromGrpcStatus(grpc::Status(grpc::UNKNOWN, "a\x1b[2J")).message(), "a\\x1b[2J");
}

TEST(Frame, StatusDetailsStayBelowFourKibibytes) {
  const grpc::Status status = ToGrpcStatus(MalformedError(std::string(1 << 20, 'x')));
  EXPECT_LE(status.error_details().size(), 4096u);
  EXPECT_LE(status.error_message().size(), wire::kStatusMessageBytesMax);
}

}  // namespace
}  // namespace ballast

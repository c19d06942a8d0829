// One message of a stream, encoded: memory pieces that follow each other. Payload
// travels as it lies in memory, wrapped by a few bytes of protobuf framing, so
// that a pinned block goes to the socket without a copy. The bytes are exactly what
// any protobuf encoder would produce for the .proto files.
#ifndef BALLAST_PROTO_FRAME_H_
#define BALLAST_PROTO_FRAME_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/chunk.h"

namespace google::protobuf {
class MessageLite;
}

namespace ballast {

struct Frame {
  std::vector<Chunk> chunks;
  uint64_t size_bytes() const;
};

// `message` as a frame.
Frame EncodeMessage(const google::protobuf::MessageLite& message);

// Parses the frame as `message`.
// Errors: InvalidArgument/MALFORMED  not such a message.
absl::Status DecodeMessage(const Frame& frame, google::protobuf::MessageLite* message);

// A DataChunk (types.proto) that is field `field` of the outer message.
struct DataFrame {
  int field = 0;
  uint64_t position = 0;
  std::optional<uint32_t> crc32;
  std::vector<Chunk> payload;  // no empty pieces
  uint64_t payload_bytes() const;
};

// The payload's chunks go into the frame as they are.
Frame EncodeData(DataFrame data);

// The frame as a DataFrame if the outer message's one field is one of `fields`, without
// copying the payload (the pieces keep the frame's owners); nullopt if the outer
// message is something else, which DecodeMessage then parses.
// Errors: InvalidArgument/MALFORMED  a data field that is not a DataChunk.
absl::StatusOr<std::optional<DataFrame>> DecodeData(const Frame& frame,
                                                    std::initializer_list<int> fields);

// Checks the payload against its CRC-32, if it carries one.
// Errors: `code` with reason CHECKSUM: "<what>: CRC-32 of … is …, want …".
absl::Status CheckDataCrc(const DataFrame& data, absl::StatusCode code, absl::string_view what);

}  // namespace ballast

#endif  // BALLAST_PROTO_FRAME_H_

#include "proto/frame.h"

#include <google/protobuf/io/zero_copy_stream.h>
#include <google/protobuf/message_lite.h>

#include <algorithm>
#include <climits>
#include <string>
#include <utility>

#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Field numbers of DataChunk, and protobuf's wire types.
constexpr uint32_t kPositionField = 1;
constexpr uint32_t kCrcField = 2;
constexpr uint32_t kPayloadField = 15;
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kLength = 2;
constexpr uint32_t kFixed32 = 5;

void PutVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

size_t VarintBytes(uint64_t value) {
  size_t n = 1;
  while (value >>= 7) ++n;
  return n;
}

// Walks over a frame's chunks without joining them.
class Cursor {
 public:
  explicit Cursor(const std::vector<Chunk>& chunks) : chunks_(chunks) {
    for (const Chunk& chunk : chunks) left_ += chunk.bytes.size();
  }
  uint64_t left() const { return left_; }
  bool ok() const { return ok_; }

  uint8_t Byte() {
    while (index_ < chunks_.size() && offset_ == chunks_[index_].bytes.size()) NextChunk();
    if (index_ == chunks_.size()) return Fail();
    --left_;
    return static_cast<uint8_t>(chunks_[index_].bytes[offset_++]);
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && ok_; shift += 7) {
      const uint8_t byte = Byte();
      value |= shift < 64 ? uint64_t{byte & 0x7Fu} << shift : 0;
      if (byte < 0x80) return value;
    }
    return Fail();
  }
  // A tag or a length, as protobuf reads them: five bytes and 32 bits at most.
  uint32_t Varint32() {
    uint64_t value = 0;
    for (int shift = 0; shift < 35 && ok_; shift += 7) {
      const uint8_t byte = Byte();
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value <= UINT32_MAX ? static_cast<uint32_t>(value) : Fail();
    }
    return Fail();
  }
  // Zero is no field's number.
  uint32_t Tag() {
    const uint32_t tag = Varint32();
    return tag >> 3 != 0 ? tag : Fail();
  }
  uint32_t Fixed32() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value |= uint32_t{Byte()} << (8 * i);
    return value;
  }
  // The next n bytes as pieces (into `out` unless null).
  void Take(uint64_t n, std::vector<Chunk>* out) {
    if (n > left_) {
      Fail();
      return;
    }
    left_ -= n;
    while (n > 0) {
      const Chunk& chunk = chunks_[index_];
      const uint64_t here = std::min<uint64_t>(n, chunk.bytes.size() - offset_);
      if (here > 0 && out != nullptr) out->push_back(chunk.Sub(offset_, here));
      offset_ += here;
      n -= here;
      if (n > 0) NextChunk();
    }
  }

 private:
  void NextChunk() {
    ++index_;
    offset_ = 0;
  }
  uint8_t Fail() {
    ok_ = false;
    left_ = 0;
    index_ = chunks_.size();
    return 0;
  }

  const std::vector<Chunk>& chunks_;
  size_t index_ = 0;
  size_t offset_ = 0;
  uint64_t left_ = 0;
  bool ok_ = true;
};

void SkipField(uint32_t wire_type, Cursor* in) {
  switch (wire_type) {
    case kVarint:
      in->Varint();
      break;
    case kFixed64:
      in->Take(8, nullptr);
      break;
    case kFixed32:
      in->Take(4, nullptr);
      break;
    case kLength:
      in->Take(in->Varint32(), nullptr);
      break;
    default:
      in->Take(UINT64_MAX, nullptr);  // groups: fails
  }
}

// A frame's chunks as protobuf's input.
class FrameInput : public google::protobuf::io::ZeroCopyInputStream {
 public:
  explicit FrameInput(const std::vector<Chunk>& chunks) : chunks_(chunks) {}
  bool Next(const void** data, int* size) override {
    while (index_ < chunks_.size() && offset_ == chunks_[index_].bytes.size()) {
      ++index_;
      offset_ = 0;
    }
    if (index_ == chunks_.size()) return false;
    const absl::string_view bytes = chunks_[index_].bytes.substr(offset_);
    const size_t n = std::min<size_t>(bytes.size(), INT_MAX);
    *data = bytes.data();
    *size = static_cast<int>(n);
    offset_ += n;
    count_ += static_cast<int64_t>(n);
    return true;
  }
  void BackUp(int count) override {
    offset_ -= static_cast<size_t>(count);
    count_ -= count;
  }
  bool Skip(int count) override {
    const void* data = nullptr;
    int size = 0;
    while (count > 0 && Next(&data, &size)) {
      if (size > count) BackUp(size - count);
      count -= std::min(size, count);
    }
    return count == 0;
  }
  int64_t ByteCount() const override { return count_; }

 private:
  const std::vector<Chunk>& chunks_;
  size_t index_ = 0;
  size_t offset_ = 0;
  int64_t count_ = 0;
};

}  // namespace

uint64_t Frame::size_bytes() const {
  uint64_t sum = 0;
  for (const Chunk& chunk : chunks) sum += chunk.bytes.size();
  return sum;
}

uint64_t DataFrame::payload_bytes() const {
  uint64_t sum = 0;
  for (const Chunk& chunk : payload) sum += chunk.bytes.size();
  return sum;
}

Frame EncodeMessage(const google::protobuf::MessageLite& message) {
  return Frame{{Chunk::Own(message.SerializeAsString())}};
}

absl::Status DecodeMessage(const Frame& frame, google::protobuf::MessageLite* message) {
  FrameInput input(frame.chunks);
  if (message->ParseFromZeroCopyStream(&input)) return absl::OkStatus();
  return MalformedError("message: ", frame.size_bytes(), " bytes are not a ",
                        message->GetTypeName());
}

Frame EncodeData(DataFrame data) {
  const uint64_t payload_bytes = data.payload_bytes();
  std::string inner;
  if (data.position != 0) {
    PutVarint(kPositionField << 3 | kVarint, &inner);
    PutVarint(data.position, &inner);
  }
  if (data.crc32.has_value()) {
    PutVarint(kCrcField << 3 | kFixed32, &inner);
    for (int i = 0; i < 4; ++i) inner.push_back(static_cast<char>(*data.crc32 >> (8 * i)));
  }
  PutVarint(kPayloadField << 3 | kLength, &inner);
  PutVarint(payload_bytes, &inner);

  std::string head;
  head.reserve(inner.size() + 1 + VarintBytes(payload_bytes + inner.size()));
  PutVarint(static_cast<uint64_t>(data.field) << 3 | kLength, &head);
  PutVarint(inner.size() + payload_bytes, &head);
  head += inner;

  Frame frame;
  frame.chunks.reserve(data.payload.size() + 1);
  frame.chunks.push_back(Chunk::Own(std::move(head)));
  for (Chunk& chunk : data.payload) {
    if (!chunk.bytes.empty()) frame.chunks.push_back(std::move(chunk));
  }
  return frame;
}

absl::StatusOr<std::optional<DataFrame>> DecodeData(const Frame& frame,
                                                    std::initializer_list<int> fields) {
  Cursor in(frame.chunks);
  if (in.left() == 0) return std::nullopt;
  const uint32_t tag = in.Tag();
  const int field = static_cast<int>(tag >> 3);
  if (std::find(fields.begin(), fields.end(), field) == fields.end()) return std::nullopt;
  DataFrame data;
  data.field = field;
  const uint32_t length = in.Varint32();
  if ((tag & 7) != kLength || !in.ok() || length != in.left()) {
    return MalformedError("message: data field ", field, " is not the whole message");
  }
  while (in.ok() && in.left() > 0) {
    const uint32_t inner = in.Tag();
    switch (inner) {
      case kPositionField << 3 | kVarint:
        data.position = in.Varint();
        break;
      case kCrcField << 3 | kFixed32:
        data.crc32 = in.Fixed32();
        break;
      case kPayloadField << 3 | kLength:
        data.payload.clear();
        in.Take(in.Varint32(), &data.payload);
        break;
      default:
        SkipField(inner & 7, &in);
    }
  }
  if (!in.ok()) return MalformedError("message: data field ", field, " is not a DataChunk");
  return data;
}

absl::Status CheckDataCrc(const DataFrame& data, absl::StatusCode code, absl::string_view what) {
  if (!data.crc32.has_value()) return absl::OkStatus();
  uint32_t crc = 0;
  for (const Chunk& chunk : data.payload) crc = Crc32(chunk.bytes, crc);
  if (crc == *data.crc32) return absl::OkStatus();
  return MakeError(code, Reason::kChecksum,
                   absl::StrCat(what, ": CRC-32 of the data at position ", data.position, " is ",
                                absl::Hex(crc, absl::kZeroPad8), ", want ",
                                absl::Hex(*data.crc32, absl::kZeroPad8)));
}

}  // namespace ballast
